//! The generated tables against everything that knows better: headers, DWARF, the binaries' own `_Py_DebugOffsets`, and a
//! record of offsets that was made independently (`data/offsets.tsv`: field by build, `t` free-threaded, `d` debug).
//!
//! `layouts::<source>::<interpreter>`; a missing interpreter is a failed test.
#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a panic fails the test")]

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};
use pyattach::cpython::debug_offsets;
use pyattach::cpython::layout::{Build, FIELD_NAMES, Layout, Offsets, TABLES, Table};
use pyattach::elf::{Image, dwarf};
use support::registry::{self, Interpreter};
use support::{Failed, Outcome, ensure};

/// Names that the record lacks, with the reason.
const UNRECORDED: &[(&str, &str)] = &[
    ("PyModuleObject.md_dict", "the record is of headers, and up to 3.9 the structure is in Objects/moduleobject.c"),
    (
        "PyThreadState.remote_debugger_support.debugger_script_path",
        "the record has the member before it; debug offsets say the same",
    ),
];

/// Names that were asked for after some builds had gone from where they were to be had. Their tables, which are kept as they
/// were, lack them; readers then say that they do not know.
const ASKED_FOR_LATER: &[&str] = &[
    "_PyRuntimeState.initialized",
    "_PyRuntimeState.main_tstate",
    "_PyRuntimeState.ceval.pending.lock",
    "_PyRuntimeState.ceval.pending_mainthread.lock",
    "_PyRuntimeState.ceval.pending_mainthread.mutex",
    "PyInterpreterState.ceval.pending.lock",
    "PyInterpreterState.config.remote_debug",
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = trials().unwrap_or_else(|failed| vec![Trial::test("layouts::interpreters", || Err(failed))]);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials() -> Result<Vec<Trial>, Failed> {
    let mut trials = vec![
        Trial::test("layouts::complete", every_table_is_complete),
        Trial::test("layouts::sorted", every_table_is_sorted),
        Trial::test("layouts::measured_again", tables_are_what_the_builds_at_hand_say),
    ];
    let record = Record::read()?;
    for column in record.columns.keys() {
        let (record, column) = (record.clone(), column.clone());
        trials.push(Trial::test(format!("layouts::record::{column}"), move || record.agrees(&column)));
    }
    let interpreters: Vec<Interpreter> =
        registry::interpreters()?.into_iter().filter(Interpreter::is_supported).collect();
    let roots: Vec<PathBuf> = interpreters.iter().map(|interpreter| interpreter.root.clone()).collect();
    for interpreter in interpreters {
        let name = interpreter.name.clone();
        let build = Measured::of(&interpreter)?;
        if build.dwarf(&roots)?.is_some() {
            let (build, roots) = (build.clone(), roots.clone());
            trials.push(Trial::test(format!("layouts::dwarf::{name}"), move || build.dwarf_agrees(&roots)));
        } else if interpreter.is("debug") || name == "3.14" {
            let missing =
                Failed::from(format!("{name} has no debug information: pyattach cannot read it, or it is gone"));
            trials.push(Trial::test(format!("layouts::dwarf::{name}"), || Err(missing)));
        }
        if interpreter.since(13) {
            let build = build.clone();
            trials.push(Trial::test(format!("layouts::debug_offsets::{name}"), move || build.debug_offsets_agree()));
        }
        trials.push(Trial::test(format!("layouts::known::{name}"), move || build.table().map(drop)));
    }
    Ok(trials)
}

fn every_table_is_complete() -> Outcome {
    for table in TABLES {
        Layout::from_source(&table.offsets()).map_err(|missing| format!("{}: {missing}", describe(table)))?;
    }
    Ok(())
}

fn every_table_is_sorted() -> Outcome {
    for table in TABLES {
        ensure!(table.fields.is_sorted_by(|a, b| a.0 < b.0), "{}: fields are not in order", describe(table));
    }
    ensure!(TABLES.is_sorted_by_key(|table| table.version), "the list is not in order");
    Ok(())
}

/// Measures with gcc and gdb, not with pyattach.
fn tables_are_what_the_builds_at_hand_say() -> Outcome {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/layouts");
    let output = Command::new(script).arg("--check").output()?;
    ensure!(output.status.success(), "scripts/layouts --check: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn describe(table: &Table) -> String {
    format!("table {:?} {:?} of {} bytes", table.version, table.build, table.runtime_size)
}

/// The table for a build: that of its size, of the newest release up to its own where several have it.
fn table_for(version: (u8, u8, u8), build: Build, size: u64) -> Result<&'static Table, Failed> {
    let (major, minor, _) = version;
    let fits = |table: &&&Table| {
        (table.version.0, table.version.1, table.build) == (major, minor, build)
            && u64::from(table.runtime_size) == size
    };
    let table = TABLES.iter().filter(fits).rfind(|table| table.version <= version);
    let table = table.or_else(|| TABLES.iter().find(fits)).copied();
    table.ok_or_else(|| format!("no table for {version:?} {build:?} with a _PyRuntime of {size} bytes").into())
}

fn parse_version(text: &str) -> Option<(u8, u8, u8)> {
    let mut parts = text.split('.');
    let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let micro = parts.next()?;
    let digits = micro.find(|c: char| !c.is_ascii_digit()).unwrap_or(micro.len());
    Some((major, minor, micro.get(..digits)?.parse().ok()?))
}

/// Fails with all differences in names that both sides have, or that `complete` says `other` has to have.
fn compare(table: &Table, other: &Offsets, complete: bool) -> Outcome {
    let ours = table.offsets();
    let names = FIELD_NAMES.iter().flat_map(|names| names.split('|'));
    let differ = |name: &&str| (complete || other.get(name).is_some()) && ours.get(name) != other.get(name);
    let lines: Vec<String> = names
        .filter(differ)
        .map(|name| format!("{name}: table {:?}, found {:?}", ours.get(name), other.get(name)))
        .collect();
    ensure!(lines.is_empty(), "{}\n{}", describe(table), lines.join("\n"));
    Ok(())
}

/// An installed interpreter: its build, and the file that its runtime is in.
#[derive(Clone)]
struct Measured {
    name: String,
    version: (u8, u8, u8),
    build: Build,
    file: PathBuf,
}

impl Measured {
    fn of(interpreter: &Interpreter) -> Result<Measured, Failed> {
        let build = match (interpreter.is("free-threaded"), interpreter.is("debug")) {
            (true, _) => Build::FreeThreaded,
            (false, true) => Build::Debug,
            (false, false) => Build::Default,
        };
        let version = parse_version(&interpreter.version).ok_or("a version that is none")?;
        let executable = interpreter.root.join(interpreter.python.trim_start_matches('/')).canonicalize()?;
        let prefix = executable.parent().and_then(Path::parent).ok_or("an executable without directories")?;
        let mut files = vec![executable.clone()];
        for entry in std::fs::read_dir(prefix.join("lib"))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(&format!("libpython{}.{}", version.0, version.1)) && name.ends_with(".so.1.0") {
                files.push(path);
            }
        }
        let file = files.into_iter().find(|file| runtime_size(file).is_some());
        let file = file.ok_or_else(|| format!("{}: no _PyRuntime", interpreter.name))?;
        Ok(Measured { name: interpreter.name.clone(), version, build, file })
    }

    fn table(&self) -> Result<&'static Table, Failed> {
        table_for(self.version, self.build, runtime_size(&self.file).ok_or("no _PyRuntime any more")?)
    }

    fn dwarf(&self, roots: &[PathBuf]) -> Result<Option<Offsets>, Failed> {
        let roots: Vec<&Path> = roots.iter().map(PathBuf::as_path).collect();
        let offsets = dwarf::file_offsets(&File::open(&self.file)?, &self.file, &roots, FIELD_NAMES);
        // a build without -g still has a few units: those of the C library's start-up code
        Ok(offsets.map(|(offsets, _)| offsets).filter(|offsets| offsets.get("PyThreadState.interp").is_some()))
    }

    fn dwarf_agrees(&self, roots: &[PathBuf]) -> Outcome {
        compare(self.table()?, &self.dwarf(roots)?.ok_or("no debug information any more")?, true)
    }

    /// The table that the linker put at the start of `.PyRuntime`.
    fn debug_offsets_agree(&self) -> Outcome {
        let file = File::open(&self.file)?;
        let image = Image::parse(&file)?;
        let section = image.section(".PyRuntime").ok_or("no .PyRuntime section")?;
        let found = debug_offsets::parse(&image.section_bytes(section).ok_or("unreadable section")?)?;
        let version = (found.version.major, found.version.minor, found.version.micro);
        ensure!(version == self.version, "{} says it is {version:?}", self.name);
        ensure!(found.free_threaded == (self.build == Build::FreeThreaded), "{}: free-threaded?", self.name);
        let table = self.table()?;
        ensure!(found.offsets.get("sizeof _PyRuntimeState") == Some(table.runtime_size), "{}: size", self.name);
        compare(table, &found.offsets, false)
    }
}

fn runtime_size(path: &Path) -> Option<u64> {
    let file = File::open(path).ok()?;
    let image = Image::parse(&file).ok()?;
    let symbol = || image.dynamic_symbols(["_PyRuntime"])[0].or_else(|| image.static_symbol("_PyRuntime"));
    image.section(".PyRuntime").map(|section| section.size).or_else(|| Some(symbol()?.size))
}

/// The independent record.
#[derive(Clone)]
struct Record {
    columns: BTreeMap<String, Offsets>,
}

impl Record {
    fn read() -> Result<Record, Failed> {
        let text = include_str!("data/offsets.tsv");
        let mut lines = text.lines().map(|line| line.split('\t'));
        let head: Vec<&str> = lines.next().ok_or("an empty record")?.skip(1).collect();
        let mut columns: BTreeMap<String, Offsets> = BTreeMap::new();
        for mut line in lines {
            let name = line.next().ok_or("a row without name")?;
            for (column, value) in head.iter().zip(line) {
                let offsets = columns.entry((*column).to_owned()).or_default();
                if value != "-" {
                    offsets.set(name.to_owned(), value.parse()?);
                }
            }
        }
        Ok(Record { columns })
    }

    fn agrees(&self, column: &str) -> Outcome {
        let mut recorded = self.columns.get(column).ok_or("no such column")?.clone();
        let build = match column.chars().last() {
            Some('t') => Build::FreeThreaded,
            Some('d') => Build::Debug,
            _ => Build::Default,
        };
        let version = parse_version(column).ok_or("a column without version")?;
        let size = recorded.get("sizeof _PyRuntimeState").ok_or("no size")?;
        let table = table_for(version, build, size.into())?;
        for (name, _) in UNRECORDED {
            if let (None, Some(offset)) = (recorded.get(name), table.offsets().get(name)) {
                recorded.set(*name, offset);
            }
        }
        let lacks = |name: &&&str| table.offsets().get(name).is_none();
        ASKED_FOR_LATER.iter().filter(lacks).for_each(|name| recorded.remove(name));
        compare(table, &recorded, true)
    }
}
