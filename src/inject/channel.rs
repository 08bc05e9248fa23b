//! What the code in the target says about a script: records in a file of its memory, read while it grows.
//!
//! A record is a letter, the length of its data in eight hexadecimal digits, and the data. `fields` inside the data are each
//! a length of the same form and that many bytes. The target may write anything else: it is checked and bounded.

use serde_json::value::RawValue;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Bytes of one record. The largest are values, of 64 Ki characters each as text and as JSON.
const RECORD_BYTES: usize = 4 << 20;
/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// Bytes of all records: what the code in the target writes at most, and half as much again for the heads of small ones.
const ALL_BYTES: u64 = super::bootstrap::OUTPUT_BYTES * 10 + (16 << 20);
/// Letter and length.
const HEAD_BYTES: usize = 9;

/// Where a script prints to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// `sys.stdout`.
    Stdout,
    /// `sys.stderr`.
    Stderr,
}

/// An exception that ended a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thrown {
    /// Its class, with the module unless that is builtin.
    pub kind: String,
    /// `str()` of it.
    pub message: String,
    /// As Python prints it, but without source lines.
    pub traceback: String,
}

/// What a script gave to `SystemExit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptExit {
    /// Nothing.
    Plain,
    /// A number, as Python writes it: it can be longer than any integer type.
    Code(String),
    /// Anything else, for people to read.
    Text(String),
}

/// The value of an expression.
#[derive(Clone, Debug)]
pub struct Value {
    /// Its type, `module.Class`, without the module for builtins.
    pub kind: String,
    /// Its `repr()`, perhaps cut.
    pub repr: String,
    /// Characters of all of its `repr()`.
    pub repr_chars: u64,
    /// The value as JSON, if it has such a form: dicts with other keys than strings, other objects and large values have none.
    pub json: Option<Box<RawValue>>,
}

/// One piece of news of a script.
#[derive(Clone, Debug)]
pub enum Event {
    /// It is about to run.
    Started {
        /// `threading.get_ident()` of the thread that runs it.
        ident: u64,
        /// The kernel's id of it in the target's PID namespace; `None` before 3.8.
        native_id: Option<i32>,
        /// The thread's name, where `threading` knows it.
        name: Option<String>,
    },
    /// It printed.
    Output(Stream, Vec<u8>),
    /// What it prints from here on is dropped.
    OutputLimit,
    /// It ended by an exception.
    Thrown(Thrown),
    /// It ended by `SystemExit`.
    Exited(ScriptExit),
    /// The value of the expression.
    Value(Value),
    /// A signal handler of the application was interrupted by nobody but ran on top of the script, and threw: the signal with
    /// this number is sent again, to the application.
    SignalPassedOn(i32),
    /// It is over, and all is as before. Always the last.
    Done {
        /// How long it ran.
        ran: Duration,
    },
}

/// Why a channel cannot be read on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The kernel says no.
    #[error("reading what the script says: {0}")]
    Io(#[from] io::Error),
    /// Something else than records.
    #[error("what the script says is not valid at byte {at}: {why}")]
    Invalid {
        /// Where.
        at: u64,
        /// What is wrong.
        why: &'static str,
    },
}

/// A channel and how far it has been read.
#[derive(Debug)]
pub struct Channel {
    file: File,
    at: u64,
    start: u64,
    done: bool,
}

impl Channel {
    /// Reads records from `start` on.
    pub fn new(file: File, start: u64) -> Channel {
        Channel { file, at: start, start, done: false }
    }

    /// True once the last record was read.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Hands on all records that are there, and returns whether there were any. A record that is not complete yet stays for the
    /// next time, and is then read anew.
    ///
    /// # Errors
    /// When the file cannot be read, or holds something else. Nothing that follows can be understood then.
    pub fn poll(&mut self, sink: &mut dyn FnMut(Event)) -> Result<bool, ChannelError> {
        let (mut any, mut size) = (false, CHUNK_BYTES);
        let mut buffer = Vec::new();
        while !self.done {
            buffer.resize(size, 0);
            let count = read_all_at(&self.file, &mut buffer, self.at)?;
            let used = self.take(buffer.get(..count).unwrap_or_default(), sink)?;
            any |= used > 0;
            match used {
                0 if count == size && size < HEAD_BYTES + RECORD_BYTES => size = HEAD_BYTES + RECORD_BYTES,
                0 => break,
                _ => {}
            }
        }
        Ok(any)
    }

    /// Hands on the records at the beginning of `bytes`, and returns how many bytes they take.
    fn take(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Event)) -> Result<usize, ChannelError> {
        let mut used = 0;
        while !self.done {
            let invalid = |why| ChannelError::Invalid { at: self.at, why };
            let Some((tag, data)) = record(bytes.get(used..).unwrap_or_default()).map_err(invalid)? else { break };
            let event = event(tag, data).map_err(invalid)?;
            used += HEAD_BYTES + data.len();
            self.at += (HEAD_BYTES + data.len()) as u64;
            if self.at - self.start > ALL_BYTES {
                return Err(ChannelError::Invalid { at: self.at, why: "more than there can be" });
            }
            self.done = matches!(event, Event::Done { .. });
            sink(event);
        }
        Ok(used)
    }
}

fn read_all_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + count as u64) {
            Ok(0) => break,
            Ok(n) => count += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// The first record of `bytes`, if it is complete.
fn record(bytes: &[u8]) -> Result<Option<(u8, &[u8])>, &'static str> {
    let Some((&tag, rest)) = bytes.split_first() else { return Ok(None) };
    if !TAGS.contains(&tag) {
        return Err("no such kind of record");
    }
    let Some((digits, rest)) = rest.split_at_checked(8) else { return Ok(None) };
    let length = length(digits)?;
    if length > RECORD_BYTES {
        return Err("a record is too long");
    }
    Ok(rest.get(..length).map(|data| (tag, data)))
}

/// The letters of [`event`].
const TAGS: &[u8] = b"soelxqrid";

fn length(digits: &[u8]) -> Result<usize, &'static str> {
    digits.iter().try_fold(0_usize, |sum, digit| {
        let value = char::from(*digit).to_digit(16).ok_or("a length is no number")?;
        Ok(sum << 4 | value as usize)
    })
}

/// Exactly `N` fields.
fn fields<const N: usize>(mut data: &[u8]) -> Result<[&[u8]; N], &'static str> {
    let mut found = [&[][..]; N];
    for field in &mut found {
        let (digits, rest) = data.split_at_checked(8).ok_or("a field is missing")?;
        (*field, data) = rest.split_at_checked(length(digits)?).ok_or("a field is cut off")?;
    }
    if data.is_empty() { Ok(found) } else { Err("more fields than there should be") }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn number<T: std::str::FromStr>(bytes: &[u8]) -> Result<T, &'static str> {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).ok_or("a number is none")
}

fn event(tag: u8, data: &[u8]) -> Result<Event, &'static str> {
    Ok(match tag {
        b's' => {
            let [ident, native_id, name] = fields(data)?;
            let native_id = if native_id.is_empty() { None } else { Some(number(native_id)?) };
            let name = (!name.is_empty()).then(|| text(name));
            Event::Started { ident: number(ident)?, native_id, name }
        }
        b'o' => Event::Output(Stream::Stdout, data.to_vec()),
        b'e' => Event::Output(Stream::Stderr, data.to_vec()),
        b'l' => Event::OutputLimit,
        b'x' => {
            let [kind, message, traceback] = fields(data)?;
            Event::Thrown(Thrown { kind: text(kind), message: text(message), traceback: text(traceback) })
        }
        b'q' => {
            let [kind, value] = fields(data)?;
            Event::Exited(match kind {
                b"" => ScriptExit::Plain,
                b"code" => ScriptExit::Code(text(value)),
                _ => ScriptExit::Text(text(value)),
            })
        }
        b'r' => {
            let [kind, chars, repr, json] = fields(data)?;
            let json = if json.is_empty() { None } else { Some(raw_json(json)?) };
            Event::Value(Value { kind: text(kind), repr: text(repr), repr_chars: number(chars)?, json })
        }
        b'i' => {
            let [signal] = fields(data)?;
            Event::SignalPassedOn(number(signal)?)
        }
        b'd' => {
            let [micros] = fields(data)?;
            Event::Done { ran: Duration::from_micros(number(micros)?) }
        }
        _ => return Err("no such kind of record"),
    })
}

fn raw_json(bytes: &[u8]) -> Result<Box<RawValue>, &'static str> {
    serde_json::from_slice(bytes).map_err(|_| "a value is no JSON")
}

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
