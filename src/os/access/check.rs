//! What was looked at, as data: a layer, what was seen of it, what follows, and what helps.

use serde::Serialize;
use std::fmt;

/// Something that can stand between pyattach and a process. The names are part of the JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Layer {
    /// The process itself: whether there is one, and of which kind.
    Process,
    /// The PID namespace: the number may be that of another one.
    PidNamespace,
    /// The mount option `hidepid` of `/proc`.
    Hidepid,
    /// User and group ids.
    User,
    /// Capabilities that the process has and pyattach lacks.
    Capability,
    /// The user namespace, in which capabilities count.
    UserNamespace,
    /// The process has closed itself (`PR_SET_DUMPABLE`).
    Dumpable,
    /// Yama's `kernel.yama.ptrace_scope`.
    Yama,
    /// Another security module: AppArmor, SELinux and the like.
    Lsm,
    /// A seccomp filter that is in force for pyattach.
    Seccomp,
    /// Reading its memory: tried.
    Memory,
    /// Another process traces it, so pyattach cannot stop its threads.
    Tracer,
    /// It is stopped or sleeps uninterruptibly.
    State,
    /// Whether its threads could be stopped.
    Stopping,
    /// Its interpreter.
    Interpreter,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layer::Process => "process",
            Layer::PidNamespace => "PID namespace",
            Layer::Hidepid => "hidepid",
            Layer::User => "user",
            Layer::Capability => "capability",
            Layer::UserNamespace => "user namespace",
            Layer::Dumpable => "dumpable",
            Layer::Yama => "Yama",
            Layer::Lsm => "security module",
            Layer::Seccomp => "seccomp",
            Layer::Memory => "memory",
            Layer::Tracer => "tracer",
            Layer::State => "state",
            Layer::Stopping => "stopping",
            Layer::Interpreter => "interpreter",
        })
    }
}

/// What follows from what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// It does not stand in the way.
    Fine,
    /// Stacks can be read, but something is not as usual.
    Limits,
    /// It refuses.
    Refuses,
    /// It could not be looked at.
    Unknown,
}

/// One layer that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Which.
    pub layer: Layer,
    /// What follows.
    pub verdict: Verdict,
    /// What was seen, for people.
    pub seen: String,
    /// Commands and settings that help, the nearest first.
    pub advice: Vec<String>,
}

impl Check {
    /// A check without advice.
    pub fn new(layer: Layer, verdict: Verdict, seen: impl Into<String>) -> Check {
        Check { layer, verdict, seen: seen.into(), advice: Vec::new() }
    }

    /// The same with advice.
    pub fn with(mut self, advice: Vec<String>) -> Check {
        self.advice = advice;
        self
    }
}

/// Why access was refused: all that was looked at, in the kernel's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// At least one of these refuses.
    pub checks: Vec<Check>,
}

impl Refusal {
    /// The layers that refuse, the first that the kernel asks first.
    pub fn refusing(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.verdict == Verdict::Refuses)
    }

    /// The layer that refuses.
    pub fn layer(&self) -> Option<Layer> {
        self.refusing().next().map(|check| check.layer)
    }

    /// What a person can do about it, the nearest first.
    pub fn advice(&self) -> Vec<String> {
        let mut advice: Vec<String> = Vec::new();
        for line in self.refusing().flat_map(|check| &check.advice) {
            if !advice.contains(line) {
                advice.push(line.clone());
            }
        }
        advice
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, check) in self.refusing().enumerate() {
            write!(f, "{}{} [{}]", if number > 0 { "; " } else { "" }, check.seen, check.layer)?;
        }
        Ok(())
    }
}
