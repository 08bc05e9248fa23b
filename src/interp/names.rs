//! What `threading` calls its threads: `threading._active`, a dict from ident to `Thread`, and the attributes of those.

use super::threads::InterpreterFacts;
use crate::base::Addr;
use crate::objects::{Entry, Objects};
use crate::target::ReadError;
use std::collections::HashMap;

/// What `threading` knows of a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadName {
    /// `Thread.name`.
    pub name: Option<String>,
    /// `Thread.daemon`.
    pub daemon: Option<bool>,
    /// `Thread.native_id`, from 3.8 on.
    pub native_id: Option<u64>,
}

/// The threads of an interpreter by ident; empty when it has not imported `threading`.
pub(super) fn read_names(
    objects: &Objects<'_>,
    interpreter: &InterpreterFacts,
) -> Result<HashMap<u64, ThreadName>, ReadError> {
    let Some(active) = active_threads(objects, interpreter)? else { return Ok(HashMap::new()) };
    let threads: Vec<Entry> = objects.dict(active)?.entries().collect();
    let named = objects.cache.batched(&threads, |entry| read_name(objects, entry));
    Ok(named.into_iter().flatten().collect())
}

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

fn read_name(objects: &Objects<'_>, entry: &Entry) -> Result<(u64, ThreadName), ReadError> {
    let [name, daemon, native_id] = objects.instance_attributes(entry.value, ["_name", "_daemonic", "_native_id"])?;
    let ident = u64::try_from(objects.int(entry.key)?).map_err(|_| ReadError::Invalid("thread ident"))?;
    let text = |object| tolerate(objects.checked_str(object));
    let flag = |object: Addr| match &*objects.type_name(object)? {
        "bool" => tolerate(objects.int(object)),
        _ => Ok(None),
    };
    let number = |object: Addr| match &*objects.type_name(object)? {
        "int" => tolerate(objects.int(object)),
        _ => Ok(None),
    };
    let thread = ThreadName {
        name: name.map(text).transpose()?.flatten(),
        daemon: daemon.map(flag).transpose()?.flatten().map(|value| value != 0),
        native_id: native_id.map(number).transpose()?.flatten().and_then(|id| u64::try_from(id).ok()),
    };
    Ok((ident, thread))
}

/// A value that cannot be read costs only itself; one that is only not read yet is waited for.
fn tolerate<T>(result: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
    match result {
        Err(ReadError::Deferred) => Err(ReadError::Deferred),
        other => Ok(other.ok()),
    }
}
