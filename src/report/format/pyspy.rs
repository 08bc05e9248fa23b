//! The report as `py-spy dump --json` of py-spy 0.4.3 prints it, field for field, for programs that read that.
//!
//! What a field holds was found out by comparing the two on live processes; `tests/live/pyspy.rs` does that again, and says
//! where they differ.

use crate::interp::Entry;
use crate::os::open_as_seen_by;
use crate::report::model::{StackReport, Thread};
use serde::Serialize;
use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// One thread. The order of the fields is py-spy's.
#[derive(Serialize)]
struct PySpyThread<'r> {
    pid: i32,
    thread_id: u64,
    thread_name: Option<&'r str>,
    os_thread_id: Option<i32>,
    active: bool,
    owns_gil: bool,
    frames: Vec<PySpyFrame<'r>>,
    /// Of `py-spy record` only.
    process_info: Option<()>,
}

/// One frame, innermost first.
#[derive(Serialize)]
struct PySpyFrame<'r> {
    name: &'r str,
    filename: &'r str,
    /// Of C code only.
    module: Option<()>,
    short_filename: Option<&'r str>,
    line: i32,
    /// With `--locals` only.
    locals: Option<()>,
    is_entry: bool,
    is_shim_entry: bool,
}

/// Writes the report. Without `names`, which are read from files, `short_filename` is null.
pub fn write_pyspy(out: &mut dyn Write, report: &StackReport, names: Option<&mut ShortNames>) -> io::Result<()> {
    if let Some(names) = names {
        report.threads.iter().flat_map(|thread| &thread.frames).for_each(|frame| names.learn(&frame.file));
        return write(out, report, &names.names);
    }
    write(out, report, &HashMap::new())
}

fn write(out: &mut dyn Write, report: &StackReport, names: &HashMap<String, Option<String>>) -> io::Result<()> {
    // Newest thread first, interpreter by interpreter.
    let interpreters = report.threads.chunk_by(|a, b| a.interpreter == b.interpreter);
    let threads: Vec<_> =
        interpreters.flat_map(|threads| threads.iter().rev()).map(|t| thread(report, t, names)).collect();
    let mut buffer = BufWriter::new(out);
    serde_json::to_writer_pretty(&mut buffer, &threads).map_err(io::Error::from)?;
    buffer.write_all(b"\n")?;
    buffer.flush()
}

fn thread<'r>(report: &StackReport, thread: &'r Thread, names: &'r HashMap<String, Option<String>>) -> PySpyThread<'r> {
    let entries = thread.places.iter().map(|place| place.entry).chain(std::iter::repeat(Entry::Python));
    let mut frames: Vec<PySpyFrame<'r>> = Vec::with_capacity(thread.frames.len());
    for (frame, entry) in thread.frames.iter().zip(entries) {
        frames.push(PySpyFrame {
            name: &frame.function,
            filename: &frame.file,
            module: None,
            short_filename: names.get(&*frame.file).and_then(Option::as_deref),
            line: frame.line.unwrap_or(0),
            locals: None,
            is_entry: entry == Entry::Loop,
            is_shim_entry: entry == Entry::LoopFrame,
        });
    }
    if let Some(outermost) = frames.last_mut() {
        outermost.is_shim_entry = true;
    }
    PySpyThread {
        pid: report.process.pid,
        thread_id: u64::from_str_radix(thread.ident.trim_start_matches("0x"), 16).unwrap_or_default(),
        thread_name: thread.name.as_deref(),
        os_thread_id: thread.ns_tid.or(thread.tid),
        active: thread.os_state.as_deref() == Some("R"),
        owns_gil: thread.holds_gil == Some(true),
        frames,
        process_info: None,
    }
}

/// File names without the directories that no package is in: `pkg/module.py`. A directory is in a package when it has an
/// `__init__.py`; the directories are those that the process sees.
pub struct ShortNames {
    pid: i32,
    packages: HashMap<PathBuf, bool>,
    names: HashMap<String, Option<String>>,
}

impl ShortNames {
    /// Names as the process sees them.
    pub fn of_process(pid: i32) -> ShortNames {
        ShortNames { pid, packages: HashMap::new(), names: HashMap::new() }
    }

    fn learn(&mut self, name: &str) {
        if !self.names.contains_key(name) {
            let short = self.short(name);
            self.names.insert(name.to_owned(), short);
        }
    }

    fn short(&mut self, name: &str) -> Option<String> {
        let mut outside = Path::new(name);
        while let Some(parent) = outside.parent() {
            outside = parent;
            if !self.is_package(parent) {
                break;
            }
        }
        let rest = Path::new(name).strip_prefix(outside).ok()?;
        Some(rest.to_string_lossy().into_owned())
    }

    fn is_package(&mut self, directory: &Path) -> bool {
        if let Some(known) = self.packages.get(directory) {
            return *known;
        }
        let file = directory.join("__init__.py");
        let is = open_as_seen_by(self.pid, &file.to_string_lossy()).is_some();
        self.packages.insert(directory.to_owned(), is);
        is
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shortened_to_the_outermost_package() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("outer/inner");
        std::fs::create_dir_all(&inner).unwrap();
        for package in ["outer", "outer/inner"] {
            std::fs::write(directory.path().join(package).join("__init__.py"), "").unwrap();
        }
        let mut names = ShortNames::of_process(std::process::id() as i32);
        let mut short = |path: &str| names.short(&directory.path().join(path).to_string_lossy()).unwrap();
        assert_eq!(short("outer/inner/module.py"), "outer/inner/module.py");
        assert_eq!(short("outer/module.py"), "outer/module.py");
        assert_eq!(short("module.py"), "module.py");
        for (name, expected) in [("<string>", "<string>"), ("", ""), ("/", ""), ("/no/such/file.py", "file.py")] {
            assert_eq!(names.short(name).as_deref(), Some(expected), "{name}");
        }
    }
}
