//! That the pages say what the program does: the command line's help, the fields of the JSON, exit codes, links.
//! `UPDATE_DOCS=1 cargo test --test docs` writes the help into docs/cli.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic fails the test")]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_pyattach");

/// The commands whose help is in docs/cli.md, in its order.
const HELPS: &[&[&str]] = &[
    &["--help"],
    &["stack", "--help"],
    &["tasks", "--help"],
    &["exec", "--help"],
    &["eval", "--help"],
    &["ps", "--help"],
    &["doctor", "--help"],
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What a command prints where no terminal and no variable says how wide a line is, without blanks at the ends of lines.
fn help(arguments: &[&str]) -> String {
    let output = Command::new(BINARY).args(arguments).env_remove("COLUMNS").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// docs/cli.md as the program would have it: its words, with each block of help replaced.
fn cli_page(page: &str) -> String {
    let mut page = page.to_owned();
    for arguments in HELPS {
        let start = format!("```text\n$ pyattach {}\n", arguments.join(" "));
        let (before, rest) = page.split_once(&start).unwrap_or_else(|| panic!("docs/cli.md has no block {start}"));
        let (_, after) = rest.split_once("```\n").unwrap();
        page = format!("{before}{start}{}```\n{after}", help(arguments));
    }
    page
}

#[test]
fn the_command_line_page_has_the_help() {
    let page = read("docs/cli.md");
    let fresh = cli_page(&page);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return fs::write(root().join("docs/cli.md"), fresh).unwrap();
    }
    assert!(page == fresh, "docs/cli.md is not what --help says: UPDATE_DOCS=1 cargo test --test docs");
    let old = page.replacen("Usage: pyattach", "Usage: pyatach", 1);
    assert!(old != page && cli_page(&old) == page, "a difference would not be found");
}

#[test]
fn exit_codes_are_the_same_everywhere() {
    let help = help(&["stack", "--help"]);
    let (_, codes) = help.split_once("Exit codes:\n").expect("the help has no exit codes");
    let codes: Vec<(&str, &str)> = codes.lines().filter_map(|line| line.trim().split_once(' ')).collect();
    assert_eq!(codes.len(), 8, "{codes:?}");
    let readme = read("README.md");
    for (code, meaning) in codes {
        let row = format!("| {code} | {}", meaning.trim());
        assert!(readme.contains(&row), "README.md has no row {row:?}");
    }
}

/// Names of all fields in a schema.
fn fields(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get("properties") {
                names.extend(properties.keys().cloned());
            }
            map.values().for_each(|value| fields(value, names));
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, names)),
        _ => {}
    }
}

/// All schemas by their file names.
fn schemas() -> BTreeMap<String, Value> {
    let schema = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        let schema = serde_json::from_str(&read(&format!("docs/schema/{name}"))).unwrap();
        (name, schema)
    };
    fs::read_dir(root().join("docs/schema")).unwrap().map(|entry| schema(entry.unwrap())).collect()
}

/// Everything between single backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| !line.starts_with("```"))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

/// The first column of all tables of `| field | type |`.
fn documented_fields(page: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in page.lines() {
        inside = line.starts_with("| field |") || (inside && line.starts_with('|'));
        if let Some((name, _)) = line.strip_prefix("| `").filter(|_| inside).and_then(|rest| rest.split_once('`')) {
            names.insert(name.to_owned());
        }
    }
    names
}

#[test]
fn the_json_page_and_the_schema_have_the_same_fields() {
    let page = read("docs/json.md");
    let words = quoted(&page);
    let schemas = schemas();
    assert!(schemas.len() >= 4, "{:?}", schemas.keys());
    let mut names = BTreeSet::new();
    for (file, schema) in &schemas {
        let mut own = BTreeSet::new();
        fields(schema, &mut own);
        assert!(own.contains("schema"), "{file}: {own:?}");
        assert!(page.contains(&format!("(schema/{file})")), "docs/json.md does not link {file}");
        names.extend(own);
    }
    assert!(names.len() > 70, "{names:?}");
    let missing: Vec<_> = names.difference(&words).collect();
    assert!(missing.is_empty(), "not in docs/json.md: {missing:?}");
    let unknown: Vec<_> = documented_fields(&page).difference(&names).cloned().collect();
    assert!(unknown.is_empty(), "not in the schema: {unknown:?}");
    for (file, definition, field) in [
        ("stack", "frame", "kind"),
        ("stack", "problem", "kind"),
        ("stack", "check", "layer"),
        ("stack", "check", "verdict"),
        ("stacks", "error", "kind"),
        ("ps", "cgroup", "engine"),
        ("tasks", "task", "state"),
        ("tasks", "awaiting", "kind"),
    ] {
        let schema = &schemas[&format!("{file}.schema.json")];
        for word in schema["$defs"][definition]["properties"][field]["enum"].as_array().unwrap() {
            assert!(words.contains(word.as_str().unwrap()), "docs/json.md lacks the {field} {word} of {definition}");
        }
    }
    for diagnosis in schemas["doctor.schema.json"]["properties"]["diagnosis"]["enum"].as_array().unwrap() {
        assert!(words.contains(diagnosis.as_str().unwrap()), "docs/json.md lacks the diagnosis {diagnosis}");
    }
}

#[test]
fn the_schema_finds_a_misspelt_field() {
    let schema: Value = serde_json::from_str(&read("docs/schema/stack.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let valid = |text: &str| validator.is_valid(&serde_json::from_str(text).unwrap());
    assert!(valid(r#"{"schema": "pyattach.stack/1", "threads": [{"frames": [{"line": null}], "tid": 1}]}"#));
    assert!(!valid(r#"{"schema": "pyattach.stack/2"}"#));
    assert!(!valid(r#"{"schema": "pyattach.stack/1", "thread": []}"#));
    assert!(!valid(r#"{"schema": "pyattach.stack/1", "threads": [{"frames": [{"lineno": 1}]}]}"#));
    assert!(!valid(r#"{"schema": "pyattach.stack/1", "threads": [{"ident": 140000}]}"#));
}

/// Links of a page to files that are not there.
fn broken_links(page: &Path, text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    let files = targets.filter(|target| !target.contains("://")).filter_map(|target| target.split('#').next());
    let folder = page.parent().unwrap_or(root());
    let is_broken = |file: &&str| !file.is_empty() && !folder.join(file).exists();
    files.filter(is_broken).map(|file| format!("{}: {file}", page.display())).collect()
}

fn pages() -> Vec<PathBuf> {
    let folders = [root().to_owned(), root().join("docs")];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap().flatten());
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect()
}

#[test]
fn links_lead_somewhere() {
    let page = root().join("README.md");
    assert_eq!(broken_links(&page, "[a](docs/json.md#rules) [b](https://x.org) [c](docs/none.md)").len(), 1);
    let broken: Vec<String> =
        pages().iter().flat_map(|page| broken_links(page, &fs::read_to_string(page).unwrap())).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_page_is_linked_from_the_readme() {
    let readme = read("README.md");
    for page in pages() {
        let path = page.strip_prefix(root()).unwrap().display().to_string();
        assert!(path == "README.md" || readme.contains(&format!("({path}")), "README.md does not link {path}");
    }
}

#[test]
fn versions_are_those_of_the_package() {
    let newest = format!("\n## {}", env!("CARGO_PKG_VERSION"));
    assert!(read("CHANGELOG.md").contains(&newest), "CHANGELOG.md has no {newest:?}");
    let rust = format!("({} or later", env!("CARGO_PKG_RUST_VERSION"));
    assert!(read("README.md").contains(&rust), "README.md has no {rust:?}");
}
