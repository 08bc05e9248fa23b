//! State and callbacks of futures, those written in C and those written in Python.

use super::Explainer;
use crate::asyncio::types::Kind;
use crate::base::{Addr, Field, limits};
use crate::cpython::layout::FutureOffsets;
use crate::target::ReadError;

/// `fut_state` of a future that is not done (`Modules/_asynciomodule.c`).
const PENDING: u32 = 0;

impl Explainer<'_, '_> {
    /// Where a future written in C keeps its things; `None` for one written in Python, an error for what is none.
    fn offsets(&self, future: Addr) -> Result<Option<FutureOffsets>, ReadError> {
        match self.types.of(future)?.kind {
            Kind::Task(task) => Ok(Some(task.future)),
            Kind::Future(future) => Ok(Some(future)),
            Kind::PythonTask | Kind::PythonFuture => Ok(None),
            _ => Err(ReadError::Invalid("future")),
        }
    }

    /// True when a future has a result, an exception, or was cancelled; an error when it is no future.
    pub(super) fn is_done(&self, future: Addr) -> Result<bool, ReadError> {
        if let Some(offsets) = self.offsets(future)? {
            return Ok(self.objects.field(future, Field::<u32>::new(offsets.state))? != PENDING);
        }
        let [state] = self.objects.instance_attributes(future, ["_state"])?;
        let state = state.ok_or(ReadError::Invalid("future"))?;
        Ok(self.objects.checked_str(state)? != "PENDING")
    }

    /// The functions that a future will call when it is done.
    pub(super) fn callbacks(&self, future: Addr) -> Result<Vec<Addr>, ReadError> {
        let mut found = Vec::new();
        let others = match self.offsets(future)? {
            Some(offsets) => {
                found.extend(self.objects.field(future, Field::<Addr>::new(offsets.callback0))?.non_null());
                self.objects.field(future, Field::<Addr>::new(offsets.callbacks))?.non_null()
            }
            None => self.objects.instance_attributes(future, ["_callbacks"])?[0],
        };
        let Some(others) = others else { return Ok(found) };
        for pair in self.objects.items(others, limits::DICT_ENTRIES)? {
            match &*self.objects.type_name(pair)? {
                "tuple" => found.extend(self.objects.tuple_items(pair, 1)?.0),
                _ => return Err(ReadError::Invalid("callback")),
            }
        }
        Ok(found)
    }
}
