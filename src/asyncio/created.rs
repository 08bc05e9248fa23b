//! Where a task was created: what asyncio's debug mode keeps of the stack, a `traceback.StackSummary`.

use crate::base::{Addr, limits};
use crate::objects::Objects;
use crate::target::ReadError;
use std::sync::Arc;

/// File, line, function; innermost first.
pub(super) type Created = Vec<(Arc<str>, i64, Arc<str>)>;

/// Reads a `StackSummary`, a list of `FrameSummary` objects, outermost first.
pub(super) fn read_created(objects: &Objects<'_>, summary: Addr) -> Result<Created, ReadError> {
    let mut frames = Vec::new();
    for frame in objects.list_items(summary, limits::CREATION_FRAMES)?.into_iter().rev() {
        let [file, line, name] = objects.slots(frame, ["filename", "lineno", "name"])?;
        let (Some(file), Some(line), Some(name)) = (file, line, name) else { continue };
        let line = i64::try_from(objects.int(line)?).map_err(|_| ReadError::Invalid("line number"))?;
        frames.push((objects.checked_str(file)?.into(), line, objects.checked_str(name)?.into()));
    }
    Ok(frames)
}
