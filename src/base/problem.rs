//! Problems: what could not be read, or not be proved. They travel in the report beside the facts.

use serde::Serialize;

/// What a problem is about; stable names for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// Memory or a file of the target could not be read.
    Unreadable,
    /// Memory was read, but what it says cannot be.
    Invalid,
    /// A limit that protects pyattach cut something off.
    Limit,
    /// A thread ran while it was read, so its stack is not proved.
    Unproved,
    /// The process or a thread ended while it was read.
    Gone,
    /// The kernel refused access.
    Refused,
    /// The target is set up in a way worth knowing.
    Note,
}

/// One thing that could not be read or proved, with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What it is about.
    pub kind: ProblemKind,
    /// What happened, for people.
    pub message: String,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(kind: ProblemKind, message: impl Into<String>) -> Problem {
        Problem { kind, message: message.into() }
    }
}
