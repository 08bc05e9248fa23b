//! The list of processes for people: a line a process, children below their parents.

use crate::base::{ProblemKind, display_safe};
use crate::os::Cgroup;
use crate::report::ps::{PsProcess, PsReport};
use std::io::{self, Write};

/// Digits of a container's id that people use.
const ID_DIGITS: usize = 12;

const TITLES: [&str; 9] = ["PID", "PYTHON", "THREADS", "STATE", "CPU", "RSS", "AGE", "USER", "IN"];
/// Columns of numbers, which end at the same place.
const NUMBERS: [bool; 9] = [true, false, true, false, true, true, true, false, false];

/// Writes the list.
pub fn write_ps(out: &mut dyn Write, report: &PsReport) -> io::Result<()> {
    let rows: Vec<[String; 9]> = report.processes.iter().map(cells).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(TITLES.get(column).map(|title| title.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..TITLES.len()).map(width).collect();
    write_row(out, &TITLES.map(str::to_owned), &widths, "COMMAND")?;
    for (row, process) in rows.iter().zip(&report.processes) {
        write_row(out, row, &widths, &command(process))?;
        let indent = widths.iter().map(|width| width + 2).sum::<usize>() + 2 * process.depth;
        for problem in &process.problems {
            let word = if problem.kind == ProblemKind::Note { "Note" } else { "Problem" };
            writeln!(out, "{:indent$}{word}: {}", "", display_safe(&problem.message))?;
        }
    }
    if report.processes.is_empty() {
        writeln!(out, "no Python process was found")?;
    }
    for problem in &report.problems {
        writeln!(out, "Problem: {}", display_safe(&problem.message))?;
    }
    match report.unseen_count {
        0 => Ok(()),
        1 => writeln!(out, "1 other process could not be looked at: access is refused"),
        n => writeln!(out, "{n} other processes could not be looked at: access is refused"),
    }
}

fn write_row(out: &mut dyn Write, row: &[String; 9], widths: &[usize], command: &str) -> io::Result<()> {
    for ((cell, width), is_number) in row.iter().zip(widths).zip(NUMBERS) {
        match is_number {
            true => write!(out, "{cell:>width$}  ")?,
            false => write!(out, "{cell:<width$}  ")?,
        }
    }
    writeln!(out, "{command}")
}

fn cells(process: &PsProcess) -> [String; 9] {
    let inside = process.ns_pids.get(1..).and_then(<[i32]>::last);
    let runtime = process.runtime.as_deref().unwrap_or("?");
    let unknown = || "?".to_owned();
    let user = || process.uid.map(|uid| uid.to_string());
    [
        inside.map_or_else(|| process.pid.to_string(), |inside| format!("{} ({inside})", process.pid)),
        runtime.strip_prefix("CPython ").unwrap_or(runtime).to_owned(),
        process.threads.to_string(),
        process.state.clone(),
        duration(process.cpu_seconds),
        bytes(process.rss_bytes),
        process.age_seconds.map_or_else(unknown, duration),
        process.user.clone().or_else(user).map_or_else(unknown, |user| display_safe(&user).into_owned()),
        place(&process.cgroup),
    ]
}

fn command(process: &PsProcess) -> String {
    let words = match process.cmdline.is_empty() {
        true => format!("[{}]", process.name),
        false => process.cmdline.join(" "),
    };
    format!("{:indent$}{}", "", display_safe(&words), indent = 2 * process.depth)
}

/// The container or the service.
fn place(cgroup: &Cgroup) -> String {
    let id = cgroup.container_id.as_deref().map(|id| id.get(..ID_DIGITS).unwrap_or(id));
    let words = match (cgroup.engine, id, &cgroup.unit) {
        (Some(engine), Some(id), _) => format!("{engine} {id}"),
        (Some(engine), None, _) => engine.to_owned(),
        (None, _, Some(unit)) => unit.clone(),
        (None, _, None) => "-".to_owned(),
    };
    display_safe(&words).into_owned()
}

/// Two units at the most: `3.2s`, `5m12s`, `2h05m`, `3d04h`.
fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..60 => format!("{seconds:.1}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole / 3600 % 24),
    }
}

fn bytes(count: u64) -> String {
    const MIB: f64 = (1 << 20) as f64;
    let mib = count as f64 / MIB;
    if mib < 1024.0 { format!("{mib:.1} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        let durations = [0.04, 59.9, 312.0, 7500.0, 273_600.0].map(duration);
        assert_eq!(durations, ["0.0s", "59.9s", "5m12s", "2h05m", "3d04h"]);
        assert_eq!([0, 35 << 20, 3 << 30].map(bytes), ["0.0 MiB", "35.0 MiB", "3.0 GiB"]);
    }

    #[test]
    fn nothing_drives_the_terminal() {
        let process =
            PsProcess { cmdline: vec!["py\x1b[2J".to_owned()], name: "\x1b".to_owned(), ..PsProcess::default() };
        let report = PsReport { schema: "", processes: vec![process], unseen_count: 2, problems: Vec::new() };
        let mut text = Vec::new();
        write_ps(&mut text, &report).unwrap();
        assert!(!text.contains(&0x1b));
        assert!(String::from_utf8(text).unwrap().contains("py\\x1b[2J"));
    }
}
