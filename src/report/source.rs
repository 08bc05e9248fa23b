//! Source lines, read from the target's own file system, and whether they can be trusted.

use crate::base::limits;
use crate::os::open_as_seen_by;
use std::collections::HashMap;
use std::io::Read;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

/// How far the two clocks that file times and start times come from can be apart: a tick of each.
const CLOCK_SLACK: Duration = Duration::from_millis(50);

/// A line of source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    /// The line as it is, without its end.
    pub text: String,
    /// The file was changed after the process had started, so this may not be what it runs.
    pub changed: bool,
}

/// The source files of a process, each read once.
pub struct SourceFiles {
    pid: i32,
    started: Option<SystemTime>,
    files: HashMap<String, Option<Rc<SourceFile>>>,
}

struct SourceFile {
    lines: Vec<String>,
    changed: bool,
}

impl SourceFiles {
    /// The files as the process sees them.
    pub fn of_process(pid: i32, started: Option<SystemTime>) -> SourceFiles {
        SourceFiles { pid, started, files: HashMap::new() }
    }

    /// A line, counted from 1; `None` when the file is not there or has no such line.
    pub fn line(&mut self, file: &str, line: i32) -> Option<SourceLine> {
        let source = self.file(file)?;
        let index = usize::try_from(line).ok()?.checked_sub(1)?;
        Some(SourceLine { text: source.lines.get(index)?.clone(), changed: source.changed })
    }

    fn file(&mut self, name: &str) -> Option<Rc<SourceFile>> {
        if let Some(known) = self.files.get(name) {
            return known.clone();
        }
        let file = self.read(name).map(Rc::new);
        self.files.insert(name.to_owned(), file.clone());
        file
    }

    fn read(&self, name: &str) -> Option<SourceFile> {
        // "<string>", "<frozen importlib._bootstrap>" and their like are no files.
        if name.starts_with('<') || name.is_empty() {
            return None;
        }
        let file = open_as_seen_by(self.pid, name)?;
        let metadata = file.metadata().ok()?;
        if metadata.len() > limits::SOURCE_BYTES {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(limits::SOURCE_BYTES).read_to_end(&mut bytes).ok()?;
        let changed = matches!((metadata.modified(), self.started), (Ok(modified), Some(started)) if modified > started + CLOCK_SLACK);
        let text = String::from_utf8_lossy(&bytes);
        Some(SourceFile { lines: text.split('\n').map(|l| l.trim_end_matches('\r').to_owned()).collect(), changed })
    }
}
