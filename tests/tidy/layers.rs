//! Which part of `src` may import which.

use super::source::{File, repository};
use std::collections::HashMap;

/// The parts of `src`, from the ground up: a file imports from its own part and from those before it. What CPython's
/// structures look like is a part of its own, below the readers of files and objects that need it; finding and validating a
/// runtime comes after them.
const ORDER: &[(&str, &[&str])] = &[
    ("base", &["base"]),
    ("target", &["target"]),
    ("layout", &["cpython/layout", "cpython/quirks"]),
    ("objects", &["objects"]),
    ("elf", &["elf"]),
    ("os", &["os"]),
    ("cpython", &["cpython"]),
    ("interp", &["interp"]),
    ("asyncio", &["asyncio"]),
    ("inject", &["inject"]),
    ("report", &["report"]),
    ("cli", &["cli"]),
];

/// The order, with what is needed to tell where an imported name comes from.
pub(crate) struct Layers {
    /// Names that a folder's `mod.rs` passes on from a file of its own: `cpython/Quirks` comes from `cpython/quirks`.
    passed_on: HashMap<String, String>,
}

impl Layers {
    pub(crate) fn read() -> Layers {
        let mut passed_on = HashMap::new();
        for file in repository(&["src"]).iter().filter(|file| file.path.ends_with("/mod.rs")) {
            let folder = module_of(&file.path);
            for (at, _) in file.code.match_indices("pub use ") {
                let path = parse_path(&file.code[at + "pub use ".len()..]);
                if let [module, _] = path.segments.as_slice() {
                    let names = path.last_names().into_iter().map(|name| format!("{folder}/{name}"));
                    passed_on.extend(names.map(|name| (name, format!("{folder}/{module}"))));
                }
            }
        }
        Layers { passed_on }
    }

    pub(crate) fn check(&self, file: &File) -> Vec<String> {
        let module = module_of(&file.path);
        if matches!(module.as_str(), "lib" | "main") {
            return Vec::new();
        }
        let Some(own) = rank(&module) else { return vec![format!("{}: no part of ORDER", file.path)] };
        let mut complaints: Vec<String> = Vec::new();
        for (line, target) in imports(file, &module) {
            let source = self.passed_on.get(&target).unwrap_or(&target);
            if rank(source).is_none_or(|rank| rank > own) {
                complaints.push(format!("{}:{line}: imports {source}, which comes later", file.path));
            }
        }
        complaints
    }
}

/// The place of a module in [`ORDER`], by the longest path that it begins with.
fn rank(module: &str) -> Option<usize> {
    let is_below = |path: &str| module == path || module.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    let places = ORDER.iter().enumerate().flat_map(|(rank, (_, paths))| paths.iter().map(move |path| (rank, *path)));
    places.filter(|(_, path)| is_below(path)).max_by_key(|(_, path)| path.len()).map(|(rank, _)| rank)
}

/// `src/os/mod.rs` is `os`, `src/os/sys.rs` is `os/sys`.
fn module_of(path: &str) -> String {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    path.strip_suffix("/mod").unwrap_or(path).to_owned()
}

/// What a file takes from elsewhere in the crate, as module paths of at most two parts, with the line.
fn imports(file: &File, module: &str) -> Vec<(usize, String)> {
    let tests_begin = file.code.find("#[cfg(test)]").unwrap_or(file.code.len());
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in file.code.match_indices(start) {
            let before = file.code[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || before == '_' || before == ':' {
                continue;
            }
            let line = file.code[..at].matches('\n').count() + 1;
            let path = parse_path(&file.code[at..]);
            let within = if at > tests_begin { format!("{module}/tests") } else { module.to_owned() };
            found.extend(path.absolute(&within).into_iter().map(|target| (line, target)));
        }
    }
    found
}

/// `a::b::{c::d, e}` as `a`, `b` and the group's parts.
struct ImportPath {
    segments: Vec<String>,
    /// First names in the group at the end, if there is one.
    group: Vec<String>,
}

impl ImportPath {
    /// The names that end the path.
    fn last_names(&self) -> Vec<String> {
        match self.segments.last() {
            Some(last) if last.is_empty() => self.group.clone(),
            Some(last) => vec![last.clone()],
            None => Vec::new(),
        }
    }

    /// The modules it leads to from within `module`, as two parts each: folder, and file or name.
    fn absolute(&self, module: &str) -> Vec<String> {
        let mut base: Vec<&str> = module.split('/').collect();
        let mut rest = self.segments.as_slice();
        while let Some((first, others)) = rest.split_first() {
            match first.as_str() {
                "crate" => base.clear(),
                "super" => drop(base.pop()),
                _ => break,
            }
            rest = others;
        }
        base.extend(rest.iter().map(String::as_str).filter(|segment| !segment.is_empty()));
        let two = |parts: &[&str]| parts.iter().take(2).copied().collect::<Vec<_>>().join("/");
        match (base.len(), self.group.is_empty()) {
            // A group of folders hides what is imported.
            (0, false) => vec!["{a group of folders}".to_owned()],
            (0, true) => Vec::new(),
            (1, false) => self.group.iter().map(|name| two(&[base[0], name.as_str()])).collect(),
            _ => vec![two(&base)],
        }
    }
}

/// Parses what is at the start of `code`; an empty last segment stands for the group.
fn parse_path(code: &str) -> ImportPath {
    let mut path = ImportPath { segments: Vec::new(), group: Vec::new() };
    let mut rest = code;
    loop {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        path.segments.push(rest[..end].to_owned());
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(after) => rest = after,
            None => break,
        }
    }
    if let Some(group) = rest.strip_prefix('{') {
        path.group = group_names(group);
    }
    path
}

/// First names of the parts of a group, up to the brace that closes it.
fn group_names(group: &str) -> Vec<String> {
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => parts.push(String::new()),
            c => {
                if let Some(part) = parts.last_mut() {
                    part.push(c);
                }
            }
        }
    }
    let first = |part: &String| part.trim().split("::").next().unwrap_or_default().to_owned();
    parts.iter().map(first).filter(|name| !name.is_empty()).collect()
}
