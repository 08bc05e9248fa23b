//! A PID that is not in `/proc`: hidden, of another PID namespace, or of no process.

use super::advice::{pid_namespaces, privileges};
use super::check::{Check, Layer, Verdict};
use super::evidence::{Surroundings, process_name};
use super::status::{Status, hidepid, read_proc};
use crate::os::process::parse_ids;
use crate::os::processes::pids;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::fs;

/// The link `/proc/self/ns/pid` in the first PID namespace (`PROC_PID_INIT_INO` in `linux/proc_ns.h`).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Processes that are named of those that have the number in a namespace of their own.
const NAMED: usize = 8;

/// Why there is no process of this number here.
pub(super) fn absent(pid: i32) -> Vec<Check> {
    let ours = Surroundings::look();
    let absent = Check::new(Layer::Process, Verdict::Refuses, format!("no process has the PID {pid}"));
    let hidden = hidden(pid, &ours);
    let elsewhere = if hidden.is_some() { None } else { elsewhere(pid) };
    match hidden.or(elsewhere) {
        Some(check) => vec![check],
        None => vec![absent.with(vec!["list the Python processes: pyattach ps".to_owned()])],
    }
}

/// The kernel knows the process (signal 0 goes to nobody, but is checked), and `/proc` does not show it.
fn hidden(pid: i32, ours: &Surroundings) -> Option<Check> {
    if matches!(kill(Pid::from_raw(pid), None), Err(Errno::ESRCH | Errno::EINVAL)) {
        return None;
    }
    let option = match read_proc("/proc/self/mountinfo").and_then(|text| hidepid(&text)) {
        Some(value) => format!("/proc is mounted with hidepid={value}"),
        None => "/proc does not show it".to_owned(),
    };
    let mut advice = privileges(pid, ours);
    advice.push("or, for everybody: sudo mount -o remount,hidepid=0 /proc".to_owned());
    Some(Check::new(Layer::Hidepid, Verdict::Refuses, format!("process {pid} exists, but {option}")).with(advice))
}

fn elsewhere(pid: i32) -> Option<Check> {
    let check = |seen: String| Some(Check::new(Layer::PidNamespace, Verdict::Refuses, seen).with(pid_namespaces()));
    let absent = format!("the PID {pid} does not exist here");
    let own = fs::read_link("/proc/self").ok().and_then(|link| link.to_str()?.parse().ok());
    if own != Some(std::process::id()) {
        return check(format!("{absent}: the /proc that is mounted here belongs to another PID namespace"));
    }
    let inside = inside_others(pid);
    if !inside.is_empty() {
        return check(format!("{absent}, but {}", inside.join(", ")));
    }
    let is_initial = fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.to_str() == Some(INITIAL_PID_NAMESPACE));
    match is_initial {
        true => None,
        false => {
            check(format!("{absent}: pyattach runs in a PID namespace of its own, where the host's PIDs mean nothing"))
        }
    }
}

/// Processes here that call themselves so in a PID namespace of their own.
fn inside_others(pid: i32) -> Vec<String> {
    let is_called = |other: &i32| {
        let ids = Status::read(*other).and_then(|status| Some(parse_ids(status.field("NSpid:")?)));
        ids.is_some_and(|ids| ids.iter().skip(1).any(|inner| *inner == pid))
    };
    let name = |other: i32| {
        let name = process_name(other).unwrap_or_default();
        format!("process {other} ({name}) is {pid} inside its PID namespace")
    };
    pids().unwrap_or_default().into_iter().filter(is_called).take(NAMED).map(name).collect()
}
