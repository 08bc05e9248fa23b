//! Source lines, read from the target's own file system, and whether they can be trusted.

use crate::base::limits;
use crate::os::open_as_seen_by;
use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::time::{Duration, SystemTime};

/// How far the two clocks that file times and start times come from can be apart: a tick of each.
const CLOCK_SLACK: Duration = Duration::from_millis(50);

/// A line of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceLine<'f> {
    /// The line as it is, without its end.
    pub text: &'f str,
    /// The file was changed after the process had started, so this may not be what it runs.
    pub changed: bool,
}

/// The source files of a process, each read once.
pub struct SourceFiles {
    pid: i32,
    started: Option<SystemTime>,
    files: HashMap<String, Option<SourceFile>>,
}

struct SourceFile {
    text: String,
    lines: Vec<Range<usize>>,
    changed: bool,
}

impl SourceFiles {
    /// The files as the process sees them.
    pub fn of_process(pid: i32, started: Option<SystemTime>) -> SourceFiles {
        SourceFiles { pid, started, files: HashMap::new() }
    }

    /// A line, counted from 1; `None` when the file is not there or has no such line.
    pub fn line(&mut self, file: &str, line: i32) -> Option<SourceLine<'_>> {
        if !self.files.contains_key(file) {
            self.files.insert(file.to_owned(), self.read(file));
        }
        let source = self.files.get(file)?.as_ref()?;
        let index = usize::try_from(line).ok()?.checked_sub(1)?;
        let text = source.text.get(source.lines.get(index)?.clone())?;
        Some(SourceLine { text: text.trim_end_matches('\r'), changed: source.changed })
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
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut start = 0;
        let lines = text.split('\n').map(|line| {
            let range = start..start + line.len();
            start = range.end + 1;
            range
        });
        let lines = lines.collect();
        Some(SourceFile { text, lines, changed })
    }
}
