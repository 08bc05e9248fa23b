//! Local variables of frames: their names, from the code, and their values, as short texts.
//!
//! Up to 3.10 a frame object ends with the local variables, the cells, the free variables; from 3.11 on a frame of the
//! interpreter does, in the order in which the code names them (`co_localsplusnames`). Variables of class bodies are in a
//! dict; those of modules are their globals, and not shown.

use super::code::{Code, CodeKind};
use super::collect::RawThread;
use crate::base::{Addr, AddrMap, FieldValue, Problem, ProblemKind, limits};
use crate::objects::{Objects, Repr, Value, ValueLimits};
use crate::target::ReadError;
use std::sync::Arc;
use std::time::Instant;

/// `CO_VARARGS`, `CO_VARKEYWORDS` (`Include/cpython/code.h`).
const CO_VARARGS: i32 = 0x4;
const CO_VARKEYWORDS: i32 = 0x8;
/// `CO_FAST_CELL`, `CO_FAST_FREE` (`Include/internal/pycore_code.h`, 3.11 on).
const FAST_CELL: u8 = 0x40;
const FAST_FREE: u8 = 0x80;

/// What a local variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalKind {
    /// A parameter.
    Argument,
    /// Any other variable that only its function uses.
    Local,
    /// A variable, perhaps a parameter, that inner functions use, too.
    Cell,
    /// An outer function's variable.
    Free,
}

/// A local variable that has a value.
#[derive(Clone, Debug)]
pub struct RawLocal {
    /// Its name.
    pub name: Arc<str>,
    /// What it is.
    pub kind: LocalKind,
    /// The object.
    pub address: Addr,
    /// The object's type.
    pub type_name: Arc<str>,
    /// The object as text; something else for secrets.
    pub text: Arc<str>,
}

/// The exception that a thread handles.
#[derive(Clone, Debug)]
pub struct RawException {
    /// The object.
    pub address: Addr,
    /// Its type and text.
    pub value: Value,
}

/// What is wanted of values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// How much of each.
    pub(super) limits: ValueLimits,
    /// After this no more is read: stacks must not wait for values.
    pub(super) until: Instant,
}

/// Names of a code's variables, in the order of a frame's slots.
pub(super) type Names = Vec<(Arc<str>, LocalKind)>;

/// A variable with its object.
type Slot = (Arc<str>, LocalKind, Addr);

/// Reads the local variables of all frames, and the exceptions that threads handle.
pub(super) fn read_locals<'t>(
    objects: &Objects<'_>,
    codes: &AddrMap<Result<Code, ReadError>>,
    threads: impl Iterator<Item = &'t mut RawThread>,
    wanted: Wanted,
) -> Option<Problem> {
    let mut threads: Vec<&mut RawThread> = threads.collect();
    let names = read_names(objects, codes);
    let mut frames = Vec::new();
    for (index, thread) in threads.iter().enumerate() {
        let of_thread = thread.frames.iter().zip(&thread.frame_addresses);
        frames.extend(of_thread.map(|(frame, address)| (index, *address, frame.code, frame.globals)));
    }
    let slots = objects.cache.batched(&frames, |(_, frame, code, globals)| {
        if Instant::now() >= wanted.until {
            return Err(ReadError::Deadline);
        }
        let Some(Ok(facts)) = codes.get(code) else { return Ok(Vec::new()) };
        match (facts.kind, names.get(code)) {
            (CodeKind::Module | CodeKind::Class, _) => namespace(objects, *frame, *globals),
            (_, Some(Ok(names))) => variables(objects, *frame, names),
            (_, Some(Err(error))) => Err(*error),
            (_, None) => Ok(Vec::new()),
        }
    });
    let room = limits::LOCALS;
    let total: usize = slots.iter().flatten().map(Vec::len).sum();
    let failed = slots.iter().filter_map(|slots| slots.as_ref().err()).next().copied();
    let exceptions = objects.cache.batched(&threads, |thread| handled(objects, thread.address));
    let in_frames = slots.iter().flatten().flatten().take(room).map(|(_, _, object)| *object);
    let mut wanted_objects: Vec<Addr> = in_frames.chain(exceptions.iter().flatten().flatten().copied()).collect();
    wanted_objects.sort_unstable();
    wanted_objects.dedup();
    let repr = Repr::new(objects, wanted.limits, wanted.until);
    let values = objects.cache.batched(&wanted_objects, |object| repr.value(*object));
    let values: AddrMap<Shared> =
        wanted_objects.iter().copied().zip(values.into_iter().map(|value| Shared::new(value.ok()))).collect();
    let mut left = room;
    for ((thread, ..), slots) in frames.iter().zip(slots) {
        let slots = slots.unwrap_or_default();
        let shown = slots.len().min(left);
        left -= shown;
        let local = |slot: Slot| local(&repr, &values, slot);
        if let Some(thread) = threads.get_mut(*thread) {
            thread.locals.push(slots.into_iter().take(shown).filter_map(local).collect());
        }
    }
    for (thread, exception) in threads.iter_mut().zip(exceptions) {
        let address = exception.ok().flatten();
        thread.exception =
            address.and_then(|address| Some(RawException { address, value: values.get(&address)?.value.clone() }));
    }
    match failed {
        Some(error) => Some(Problem::new(ProblemKind::Unreadable, format!("local variables of some frames: {error}"))),
        None if total > room => {
            Some(Problem::new(ProblemKind::Limit, format!("{room} of {total} local variables are shown")))
        }
        None => None,
    }
}

/// A value that many variables may have.
struct Shared {
    value: Value,
    type_name: Arc<str>,
    text: Arc<str>,
}

impl Shared {
    fn new(value: Option<Value>) -> Shared {
        let value = value.unwrap_or_else(|| Value { type_name: String::new(), text: "<unreadable>".to_owned() });
        Shared { type_name: value.type_name.as_str().into(), text: value.text.as_str().into(), value }
    }
}

fn local(repr: &Repr<'_, '_>, values: &AddrMap<Shared>, (name, kind, address): Slot) -> Option<RawLocal> {
    let shared = values.get(&address)?;
    let shown = repr.shown(&name, &shared.value);
    let text = if *shown == *shared.text { shared.text.clone() } else { shown.into() };
    Some(RawLocal { name, kind, address, type_name: shared.type_name.clone(), text })
}

fn read_names(objects: &Objects<'_>, codes: &AddrMap<Result<Code, ReadError>>) -> AddrMap<Result<Names, ReadError>> {
    let addresses: Vec<Addr> = codes.iter().filter(|(_, code)| code.is_ok()).map(|(address, _)| *address).collect();
    let names = objects.cache.batched(&addresses, |code| names_of(objects, *code));
    addresses.into_iter().zip(names).collect()
}

pub(super) fn names_of(objects: &Objects<'_>, code: Addr) -> Result<Names, ReadError> {
    let layout = &objects.layout.code;
    let bytes = objects.bytes(code, layout.end())?;
    let record = bytes.record();
    let count = |field| usize::try_from(record.get_opt::<i32>(field).unwrap_or(0)).unwrap_or(0);
    let flags = record.get(layout.flags).unwrap_or(0);
    let arguments = count(layout.argcount)
        .saturating_add(count(layout.kwonlyargcount))
        .saturating_add(usize::from(flags & CO_VARARGS != 0) + usize::from(flags & CO_VARKEYWORDS != 0));
    let of_local = |index: usize| if index < arguments { LocalKind::Argument } else { LocalKind::Local };
    let tuple = |field| record.get_opt::<Addr>(field).and_then(Addr::non_null);
    let mut objects_and_kinds = Vec::new();
    if let (Some(names), Some(kinds)) = (tuple(layout.localsplusnames), tuple(layout.localspluskinds)) {
        let kinds = objects.bytes_object(kinds, limits::FRAME_LOCALS);
        let (names, _) = objects.tuple_items(names, limits::FRAME_LOCALS)?;
        for (index, (name, kind)) in names.into_iter().zip(kinds?.iter()).enumerate() {
            let kind = match kind {
                kind if kind & FAST_FREE != 0 => LocalKind::Free,
                kind if kind & FAST_CELL != 0 => LocalKind::Cell,
                _ => of_local(index),
            };
            objects_and_kinds.push((name, kind));
        }
    } else {
        let tuples = [
            (layout.varnames, None),
            (layout.cellvars, Some(LocalKind::Cell)),
            (layout.freevars, Some(LocalKind::Free)),
        ];
        for (field, kind) in tuples {
            let Some(names) = tuple(field) else { continue };
            let (names, _) = objects.tuple_items(names, limits::FRAME_LOCALS)?;
            let named =
                names.into_iter().enumerate().map(|(index, name)| (name, kind.unwrap_or_else(|| of_local(index))));
            objects_and_kinds.extend(named);
        }
    }
    objects.cache.prefetch(objects_and_kinds.iter().map(|(name, _)| Objects::str_extent(*name)));
    objects_and_kinds.into_iter().map(|(name, kind)| Ok((objects.checked_str(name)?.into(), kind))).collect()
}

/// The variables of a function's frame that have a value.
fn variables(objects: &Objects<'_>, frame: Addr, names: &Names) -> Result<Vec<Slot>, ReadError> {
    let field = match objects.quirks.interpreter_frames {
        true => objects.layout.frame.localsplus,
        false => objects.layout.frame_object.localsplus,
    };
    let first = field.ok_or(ReadError::Invalid("layout: it has no local variables"))?;
    let bytes = objects.cache.bytes(first.of(frame), names.len() * 8)?;
    let words = bytes.chunks_exact(8).filter_map(Addr::from_bytes);
    let mut slots = Vec::new();
    let mut missing = false;
    for ((name, kind), word) in names.iter().zip(words) {
        let object = word.untagged();
        // From 3.14 on an empty slot is 1, and the lowest two bits mark an integer that is no object (`pycore_stackref.h`).
        if object.is_null() || word.0 & 3 == 3 {
            continue;
        }
        let object = match kind {
            LocalKind::Cell | LocalKind::Free => contents(objects, object),
            LocalKind::Argument | LocalKind::Local => Ok(Some(object)),
        };
        match object {
            Ok(object) => slots.extend(object.map(|object| (name.clone(), *kind, object))),
            Err(ReadError::Deferred) => missing = true,
            // It is a bad pointer: what becomes of it is said where its value would stand.
            Err(_) => slots.push((name.clone(), *kind, word.untagged())),
        }
    }
    if missing { Err(ReadError::Deferred) } else { Ok(slots) }
}

/// What a cell holds. Before its function's first instructions made the cell, the slot has the value itself.
pub(super) fn contents(objects: &Objects<'_>, object: Addr) -> Result<Option<Addr>, ReadError> {
    match (&*objects.type_name(object)?, objects.layout.value.cell) {
        ("cell", Some(field)) => Ok(objects.field(object, field)?.non_null()),
        _ => Ok(Some(object)),
    }
}

/// The variables of a class body, and of code given to `exec` with a namespace of its own.
fn namespace(objects: &Objects<'_>, frame: Addr, globals: Addr) -> Result<Vec<Slot>, ReadError> {
    let field = match objects.quirks.interpreter_frames {
        true => objects.layout.frame.locals,
        false => objects.layout.frame_object.locals,
    };
    let field = field.ok_or(ReadError::Invalid("layout: it has no local variables"))?;
    let Some(dict) = objects.field(frame, field)?.non_null().filter(|dict| *dict != globals) else {
        return Ok(Vec::new());
    };
    if &*objects.type_name(dict)? != "dict" {
        return Ok(Vec::new());
    }
    let dict = objects.first_of_dict(dict, limits::FRAME_LOCALS)?;
    objects.cache.prefetch(dict.entries().map(|entry| Objects::str_extent(entry.key)));
    let mut slots = Vec::new();
    for entry in dict.entries() {
        match objects.checked_str(entry.key) {
            Ok(name) => slots.push((name.into(), LocalKind::Local, entry.value)),
            Err(ReadError::Deferred) => return Err(ReadError::Deferred),
            Err(_) => {}
        }
    }
    Ok(slots)
}

/// The exception that a thread is handling: the innermost `_PyErr_StackItem` that has one. Generators that run put theirs on
/// top of the thread's own.
fn handled(objects: &Objects<'_>, thread: Addr) -> Result<Option<Addr>, ReadError> {
    let layout = &objects.layout;
    let (Some(info), Some(value), Some(previous)) =
        (layout.thread.exc_info, layout.exc_item.exc_value, layout.exc_item.previous_item)
    else {
        return Ok(None);
    };
    let mut item = objects.field(thread, info)?;
    for _ in 0..limits::EXCEPTIONS {
        let Some(at) = item.non_null() else { break };
        if let Some(exception) = objects.field(at, value)?.non_null()
            && &*objects.type_name(exception)? != "NoneType"
        {
            return Ok(Some(exception));
        }
        item = objects.field(at, previous)?;
    }
    Ok(None)
}
