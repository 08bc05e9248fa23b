//! Names and messages made to drive a terminal, in all formats of the report.

use proptest::prelude::*;
use pyattach::base::{Problem, ProblemKind, display_safe, is_safe};
use pyattach::report::format::{TextOptions, write_json, write_pyspy, write_text};
use pyattach::report::{
    EndedThread, Frame, FrameKind, Interpreter, NativeThread, ProcessReport, PythonReport, Samples, SnapshotMode,
    SnapshotReport, StackReport, Thread,
};
use std::time::Duration;

/// Text in which everything is likely that a terminal takes for more than text.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\x1b[31m".to_owned()),
        Just("\x1b]0;title\x07".to_owned()),
        Just("\r\n".to_owned()),
        Just("\u{202e}\u{2066}\u{200b}\u{feff}\u{e0041}".to_owned()),
        Just("\u{9b}2J\u{85}\u{2028}\x7f\0\t".to_owned()),
        any::<String>(),
        "[a-z]{1,8}".prop_map(|word| word),
    ];
    prop::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

fn report(text: &str, lines: (i32, i32), columns: (i32, i32)) -> StackReport {
    let own = || text.to_owned();
    let problem = Problem::new(ProblemKind::Invalid, text);
    let frame = Frame {
        kind: FrameKind::Function,
        function: text.into(),
        name: text.into(),
        module: Some(text.into()),
        file: text.into(),
        line: Some(lines.0),
        end_line: Some(lines.1),
        column: Some(columns.0),
        end_column: Some(columns.1),
        locals: None,
    };
    let thread = Thread {
        tid: Some(12),
        ident: "0x1".to_owned(),
        name: Some(own()),
        os_name: Some(own()),
        frames: std::iter::repeat_n(std::sync::Arc::new(frame), 5).collect(),
        problems: vec![problem.clone()],
        ..Thread::default()
    };
    let ended = vec![EndedThread { tid: Some(15), ident: "0x2".to_owned(), name: Some(own()) }];
    let unnamed = Thread { name: None, frames: Vec::new(), ..thread.clone() };
    StackReport {
        schema: "pyattach.stack/1",
        process: ProcessReport { pid: 12, ns_pids: vec![12, 1], exe: Some(own()), cmdline: vec![own(), own()] },
        python: PythonReport {
            version: "3.14.0".to_owned(),
            free_threaded: false,
            debug_build: true,
            layout_source: format!("DWARF of {text}"),
            found_by: "scan".to_owned(),
            runtime_address: "0x1".to_owned(),
            module: own(),
        },
        snapshot: SnapshotReport {
            mode: SnapshotMode::None,
            stopped_threads: 0,
            pause_us: 0,
            attempts: 1,
            consistent: false,
        },
        samples: Some(Samples { count: 2, interval: Duration::ZERO, window: Duration::ZERO, ended }),
        interpreters: vec![Interpreter { id: 0, gil: None, gc_collecting: true }],
        threads: vec![thread, unnamed],
        native_threads: Some(vec![NativeThread { tid: 14, os_name: Some(own()), os_state: None }]),
        native_thread_count: 1,
        problems: vec![problem],
    }
}

fn text(report: &StackReport, reverse: bool) -> String {
    let mut options = TextOptions { reverse, fold: true, max_frames: 2, color: false, verbose: true, sources: None };
    let mut out = Vec::new();
    write_text(&mut out, report, &mut options).unwrap();
    String::from_utf8(out).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn nothing_drives_the_terminal(text in nasty()) {
        let safe = display_safe(&text);
        prop_assert!(is_safe(&safe));
        prop_assert!(safe.chars().all(|c| !c.is_control()));
        prop_assert_eq!(display_safe(&safe), safe.as_ref());
        if is_safe(&text) {
            prop_assert_eq!(safe.as_ref(), text.as_str());
        }
    }

    #[test]
    fn a_report_has_only_the_lines_it_writes_itself(
        hostile in nasty(),
        lines in any::<(i32, i32)>(),
        columns in any::<(i32, i32)>(),
        reverse: bool,
    ) {
        let shown = text(&report(&hostile, lines, columns), reverse);
        let lines_of_plain = text(&report("plain", lines, columns), reverse).lines().count();
        prop_assert_eq!(shown.lines().count(), lines_of_plain, "{}", shown);
        for line in shown.split('\n') {
            prop_assert!(is_safe(line), "{:?}", line);
        }
    }

    #[test]
    fn json_can_always_be_parsed(hostile in nasty(), lines in any::<(i32, i32)>(), columns in any::<(i32, i32)>()) {
        let mut out = Vec::new();
        write_json(&mut out, &report(&hostile, lines, columns)).unwrap();
        prop_assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        prop_assert!(!out.contains(&0x1b));
        let parsed: serde_json::Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(parsed["threads"][0]["name"].as_str(), Some(hostile.as_str()));
        let mut out = Vec::new();
        write_pyspy(&mut out, &report(&hostile, lines, columns), None).unwrap();
        prop_assert!(!out.contains(&0x1b));
        let parsed: serde_json::Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(parsed[1]["frames"][4]["filename"].as_str(), Some(hostile.as_str()));
    }
}
