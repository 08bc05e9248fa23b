//! The Python statement that runs a script inside the target and writes what becomes of it into the channel.
//!
//! `bootstrap.py` is that code, for people to read, and three files beside it; [`render`] puts it and the script into one line of
//! ASCII, so that it is a C string in any encoding.

use super::script::{Kind, Script};
use std::fmt::Write;

/// Bytes of output kept in the channel, which is memory of the target. What a script prints beyond that is dropped, and said.
pub const OUTPUT_BYTES: u64 = 64 << 20;
/// Characters of the value of an expression.
pub const VALUE_CHARS: u64 = 64 << 10;
/// Bytes of a script. Larger ones are data, which should not be in the memory of a service for it.
pub const SCRIPT_BYTES: usize = 4 << 20;

/// The code around the script.
const SOURCE: &str = include_str!("bootstrap.py");
/// What it needs when something was thrown.
const ERRORS: &str = include_str!("bootstrap_errors.py");
/// What it needs when a script asks its streams for more than writing.
const STREAM: &str = include_str!("bootstrap_stream.py");
/// What it needs for a value.
const VALUES: &str = include_str!("bootstrap_value.py");

/// What the code inside the target has to know about the channel and the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The channel's descriptor in the target.
    pub fd: i32,
    /// A descriptor that the text itself is read from, to be closed first.
    pub text_fd: Option<i32>,
    /// `st_dev` of the channel: another file under this number is left alone.
    pub device: u64,
    /// `st_ino` of the channel.
    pub inode: u64,
    /// Where in the channel records begin. A channel that is longer has been used, and the script does not run again.
    pub start: u64,
    /// The target's PID as it sees it itself: in a child forked meanwhile, nothing runs.
    pub ns_pid: i32,
    /// `CLOCK_MONOTONIC` in nanoseconds after which it is too late; `None` where that, the process and the descriptor have been
    /// looked at before.
    pub deadline_ns: Option<u64>,
}

/// A script, put into words as far as that does not depend on the place; the rest is done while the target stands still.
pub struct Prepared {
    before: String,
    after: String,
}

/// Prepares the statement that runs a script.
pub fn prepare(script: &Script) -> Prepared {
    let mut before = "exec(compile('".to_owned();
    push_code(&mut before, SOURCE);
    before.push_str("','<pyattach>','exec',0,1),{");
    let mut after = format!(
        "'LIMIT':{OUTPUT_BYTES},'CUT':{VALUE_CHARS},'KIND':{},'SOURCE':b'",
        u8::from(script.kind == Kind::Eval)
    );
    push_bytes(&mut after, &script.source);
    after.push_str("','NAME':'");
    push_str(&mut after, &script.name);
    after.push_str("','FILE':'");
    push_str(&mut after, &script.file);
    after.push_str("','ARGUMENTS':[");
    for argument in &script.arguments {
        after.push('\'');
        push_str(&mut after, argument);
        after.push_str("',");
    }
    after.push_str("],'SPACE':");
    match &script.namespace {
        None => after.push_str("None"),
        Some(name) => {
            after.push('\'');
            push_str(&mut after, name);
            after.push('\'');
        }
    }
    for (name, code) in [("ERRORS", ERRORS), ("VALUES", VALUES), ("STREAM", STREAM)] {
        let _ = write!(after, ",'{name}':'");
        push_code(&mut after, code);
        after.push('\'');
    }
    after.push_str("})\n");
    Prepared { before, after }
}

impl Prepared {
    /// The statement, for `Py_file_input`: ASCII without NUL, on one line.
    pub fn render(&self, place: &Place) -> String {
        let mut text = String::with_capacity(self.before.len() + self.after.len() + 256);
        text.push_str(&self.before);
        let _ = write!(
            text,
            "'FD':{},'TEXT':{},'DEVICE':{},'INODE':{},'AT':{},'PID':{},'DEADLINE':{},",
            place.fd,
            number_or_none(place.text_fd),
            place.device,
            place.inode,
            place.start,
            place.ns_pid,
            number_or_none(place.deadline_ns),
        );
        text.push_str(&self.after);
        text
    }
}

/// The same at once.
pub fn render(script: &Script, place: &Place) -> String {
    prepare(script).render(place)
}

/// Appends code inside a literal, without comments and empty lines, and a space for four: the target has to read it all.
fn push_code(out: &mut String, source: &str) {
    for line in source.lines() {
        let code = line.trim_start();
        if code.is_empty() || code.starts_with('#') {
            continue;
        }
        out.extend(std::iter::repeat_n(' ', (line.len() - code.len()) / 4));
        push_str(out, code);
        out.push_str("\\n");
    }
}

fn number_or_none(number: Option<impl ToString>) -> String {
    number.map_or_else(|| "None".to_owned(), |number| number.to_string())
}

/// Appends what stands for the text between the quotes of a `str` literal.
fn push_str(out: &mut String, text: &str) {
    for c in text.chars() {
        let _ = match c {
            '\\' | '\'' => write!(out, "\\{c}"),
            ' '..='~' => write!(out, "{c}"),
            c if u32::from(c) < 0x100 => write!(out, "\\x{:02x}", u32::from(c)),
            c if u32::from(c) < 0x1_0000 => write!(out, "\\u{:04x}", u32::from(c)),
            c => write!(out, "\\U{:08x}", u32::from(c)),
        };
    }
}

/// The same for a `bytes` literal.
fn push_bytes(out: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        let _ = match byte {
            b'\\' | b'\'' => write!(out, "\\{}", char::from(byte)),
            b' '..=b'~' => write!(out, "{}", char::from(byte)),
            byte => write!(out, "\\x{byte:02x}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(source: &[u8]) -> Script {
        let (name, file) = ("it's.py".to_owned(), "/a\\b/\u{e9}\u{1f600}.py".to_owned());
        let arguments = vec!["-x".to_owned(), "a\0\nb".to_owned()];
        Script { source: source.to_vec(), name, file, arguments, namespace: None, kind: Kind::Exec }
    }

    const PLACE: Place =
        Place { fd: 7, text_fd: None, device: 1, inode: 42, start: 4096, ns_pid: 5, deadline_ns: Some(9) };

    #[test]
    fn it_is_one_line_of_ascii() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let text = render(&script(&every_byte), &PLACE);
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\n'), "{text}");
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(text.ends_with("})\n"), "{text}");
    }

    #[test]
    fn what_is_passed_on_is_quoted() {
        let text = render(&script(b"x='\\n'\n"), &PLACE);
        assert!(text.contains(r"'SOURCE':b'x=\'\\n\'\x0a'"), "{text}");
        assert!(text.contains(r"'NAME':'it\'s.py','FILE':'/a\\b/\xe9\U0001f600.py'"), "{text}");
        assert!(text.contains(r"'ARGUMENTS':['-x','a\x00\x0ab',],'SPACE':None,'ERRORS':'def errors("), "{text}");
        assert!(text.contains("'FD':7,'TEXT':None,'DEVICE':1,'INODE':42,'AT':4096,'PID':5,'DEADLINE':9,"), "{text}");
    }

    #[test]
    fn comments_stay_here() {
        let starts = ["def run(", "def errors(", "def values(", "def attributes("];
        for (source, start) in [SOURCE, ERRORS, VALUES, STREAM].into_iter().zip(starts) {
            let mut code = String::new();
            push_code(&mut code, source);
            assert!(source.is_ascii() && source.starts_with('#') && code.starts_with(start), "{code}");
            assert!(!code.contains("Never imported") && !code.contains("# ---"), "{code}");
            // No text over several lines, in which a line could look like a comment.
            assert!(!source.contains("\"\"\"") && !source.contains("'''"));
        }
    }
}
