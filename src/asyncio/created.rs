//! Where a task was created: what asyncio's debug mode keeps of the stack, a `traceback.StackSummary`.

use crate::base::{Addr, limits};
use crate::objects::Objects;
use crate::target::ReadError;
use std::sync::Arc;

/// File, line, function.
type Place = (Arc<str>, i64, Arc<str>);
/// Innermost first.
pub(super) type Created = Vec<Place>;

/// Reads a `StackSummary`, a list of `FrameSummary` objects, outermost first.
pub(super) fn read_created(objects: &Objects<'_>, summary: Addr) -> Result<Created, ReadError> {
    let mut frames = Vec::new();
    let mut missing = Ok(());
    for frame in objects.list_items(summary, limits::CREATION_FRAMES)?.into_iter().rev() {
        match read_frame(objects, frame) {
            Ok(frame) => frames.extend(frame),
            // What the others miss is read together with it.
            Err(error) => missing = Err(error),
        }
    }
    missing.map(|()| frames)
}

fn read_frame(objects: &Objects<'_>, frame: Addr) -> Result<Option<Place>, ReadError> {
    let [file, line, name] = objects.slots(frame, ["filename", "lineno", "name"])?;
    let (Some(file), Some(line), Some(name)) = (file, line, name) else { return Ok(None) };
    let (file, line, name) = (objects.checked_str(file), objects.int(line), objects.checked_str(name));
    let line = i64::try_from(line?).map_err(|_| ReadError::Invalid("line number"))?;
    Ok(Some((file?.into(), line, name?.into())))
}
