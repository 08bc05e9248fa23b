//! What the tests on live processes share: the interpreters, the programs run on them, the command, the comparison.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod attach;
pub(crate) mod compare;
pub(crate) mod kernel;
pub(crate) mod registry;
pub(crate) mod stage;
pub(crate) mod target;

pub(crate) use libtest_mimic::Failed;

/// What a test ends with.
pub(crate) type Outcome = Result<(), Failed>;

/// Fails the test with these words unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(format!($($words)+).into());
        }
    };
}
pub(crate) use ensure;
