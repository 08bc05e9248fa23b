//! What `threading` calls its threads: `threading._active`, a dict from ident to `Thread`, and the attributes of those.

use super::threads::InterpreterFacts;
use crate::base::{Addr, AddrHashing, AddrMap};
use crate::objects::{Entry, Objects};
use crate::target::ReadError;
use std::cell::RefCell;
use std::collections::HashMap;

/// What `threading` knows of a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadName {
    /// `Thread.name`.
    pub name: Option<String>,
    /// `Thread.daemon`.
    pub daemon: Option<bool>,
    /// `Thread.native_id`, from 3.8 on; only where the interpreter itself does not record it (up to 3.10).
    pub native_id: Option<u64>,
}

/// By ident.
pub(super) type Names = HashMap<u64, ThreadName, AddrHashing>;

/// The threads of an interpreter by ident; empty when it has not imported `threading`.
pub(super) fn read_names(objects: &Objects<'_>, interpreter: &InterpreterFacts) -> Result<Names, ReadError> {
    let Some(active) = active_threads(objects, interpreter)? else { return Ok(Names::default()) };
    let threads: Vec<Entry> = objects.dict(active)?.entries().collect();
    let flags = Flags::default();
    // Some of them alone: what they show of their types need not be found out for all. The first is the main thread.
    for thread in [threads.first(), threads.last()].into_iter().flatten() {
        let _ = read_name(objects, thread, &flags);
    }
    let extents = threads.iter().flat_map(|t| [Objects::instance_extent(t.value), objects.int_extent(t.key)]);
    objects.cache.prefetch(extents);
    let named = objects.cache.batched(&threads, |entry| read_name(objects, entry, &flags));
    Ok(named.into_iter().flatten().collect())
}

/// `True` and `False`, by address: one look is enough for all threads.
type Flags = RefCell<AddrMap<Option<bool>>>;

fn active_threads(objects: &Objects<'_>, interpreter: &InterpreterFacts) -> Result<Option<Addr>, ReadError> {
    if interpreter.modules.is_null() {
        return Ok(None);
    }
    let Some(module) = objects.dict_get(interpreter.modules, "threading")? else { return Ok(None) };
    if &*objects.type_name(module)? != "module" {
        return Ok(None);
    }
    let namespace = objects.field(module, objects.layout.module.md_dict)?;
    if namespace.is_null() {
        return Ok(None);
    }
    let active = objects.dict_get(namespace, "_active")?;
    // The module is replaced by None, its names too, while the interpreter shuts down.
    Ok(active.filter(|active| objects.type_name(*active).is_ok_and(|name| &*name == "dict")))
}

fn read_name(objects: &Objects<'_>, entry: &Entry, flags: &Flags) -> Result<(u64, ThreadName), ReadError> {
    let [name, daemon, native_id] = match objects.layout.thread.native_thread_id {
        Some(_) => {
            let [name, daemon] = objects.instance_attributes(entry.value, ["_name", "_daemonic"])?;
            [name, daemon, None]
        }
        None => objects.instance_attributes(entry.value, ["_name", "_daemonic", "_native_id"])?,
    };
    let ident = u64::try_from(objects.int(entry.key)?).map_err(|_| ReadError::Invalid("thread ident"))?;
    let number = |object: Addr| match &*objects.type_name(object)? {
        "int" => tolerate(objects.int(object)),
        _ => Ok(None),
    };
    let thread = ThreadName {
        name: name.map(|object| tolerate(objects.checked_str(object))).transpose()?.flatten(),
        daemon: daemon.map(|object| read_flag(objects, object, flags)).transpose()?.flatten(),
        native_id: native_id.map(number).transpose()?.flatten().and_then(|id| u64::try_from(id).ok()),
    };
    Ok((ident, thread))
}

fn read_flag(objects: &Objects<'_>, object: Addr, flags: &Flags) -> Result<Option<bool>, ReadError> {
    if let Some(flag) = flags.borrow().get(&object) {
        return Ok(*flag);
    }
    let flag = match &*objects.type_name(object)? {
        "bool" => tolerate(objects.int(object))?.map(|value| value != 0),
        _ => None,
    };
    flags.borrow_mut().insert(object, flag);
    Ok(flag)
}

/// A value that cannot be read costs only itself; one that is only not read yet is waited for.
fn tolerate<T>(result: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
    match result {
        Err(ReadError::Deferred) => Err(ReadError::Deferred),
        other => Ok(other.ok()),
    }
}
