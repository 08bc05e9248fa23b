//! State and callbacks of futures.

use super::Explainer;
use crate::base::Addr;
use crate::target::ReadError;

impl Explainer<'_> {
    /// True when a future has a result, an exception, or was cancelled; an error when it is none.
    pub(super) fn is_done(&self, _future: Addr) -> Result<bool, ReadError> {
        Err(ReadError::Invalid("future"))
    }

    /// The functions that a future will call when it is done.
    pub(super) fn callbacks(&self, _future: Addr) -> Result<Vec<Addr>, ReadError> {
        Ok(Vec::new())
    }
}
