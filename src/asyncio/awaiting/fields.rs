//! What loops say of themselves (`Lib/asyncio/base_events.py`). uvloop's are written in C and do not.

use crate::asyncio::RawLoop;
use crate::base::Addr;
use crate::objects::Objects;
use crate::target::ReadError;

/// What was read of a loop.
struct Fields {
    ready: Option<u64>,
    scheduled: Option<u64>,
    closed: Option<bool>,
    debug: Option<bool>,
    ident: Option<u64>,
}

/// Fills in what is in the attributes of loops.
pub(in crate::asyncio) fn read_loops(objects: &Objects<'_>, loops: &mut [RawLoop]) {
    let read = objects.cache.batched(loops, |event_loop| fields(objects, event_loop.address));
    for (event_loop, fields) in loops.iter_mut().zip(read) {
        let Ok(fields) = fields else { continue };
        event_loop.ready = fields.ready;
        event_loop.scheduled = fields.scheduled;
        event_loop.closed = fields.closed;
        event_loop.debug = fields.debug;
        event_loop.ident = event_loop.ident.or(fields.ident);
    }
}

fn fields(objects: &Objects<'_>, event_loop: Addr) -> Result<Fields, ReadError> {
    let names = ["_ready", "_scheduled", "_closed", "_debug", "_thread_id"];
    let [ready, scheduled, closed, debug, ident] = objects.instance_attributes(event_loop, names)?;
    let count = |container: Option<Addr>| match container {
        Some(container) => Ok(objects.count(container)?.map(|count| count as u64)),
        None => Ok(None),
    };
    let number = |object: Option<Addr>| match object {
        Some(object) => match &*objects.type_name(object)? {
            "int" | "bool" => objects.int(object).map(Some),
            _ => Ok(None),
        },
        None => Ok(None),
    };
    Ok(Fields {
        ready: count(ready)?,
        scheduled: count(scheduled)?,
        closed: number(closed)?.map(|closed| closed != 0),
        debug: number(debug)?.map(|debug| debug != 0),
        ident: number(ident)?.and_then(|ident| u64::try_from(ident).ok()),
    })
}
