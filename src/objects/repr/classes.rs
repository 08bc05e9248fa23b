//! Classes of the standard library that are written in Python and have a way of writing of their own: which those are, and
//! the smaller ones. Subclasses are written alike, with their own name.

use super::Writer;
use super::types::Type;
use crate::base::Addr;
use crate::target::ReadError;
use std::rc::Rc;

/// A class by which instances are known, be it their own or a base of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Uuid,
    Path,
    /// `decimal.Decimal` where it is written in Python (`Lib/_pydecimal.py`).
    Decimal,
    ChainMap,
    Queue,
    AsyncQueue,
    Thread,
    Condition,
    Semaphore,
    BoundedSemaphore,
    Event,
    Barrier,
    AsyncLock,
    AsyncCondition,
    AsyncSemaphore,
    AsyncEvent,
    AsyncBarrier,
    Future,
    AsyncFuture,
    AsyncTask,
    Popen,
    /// What `_socket.socket` is the base of.
    Socket,
    /// What `numpy.ndarray` is the base of.
    NumpyArray,
}

impl Class {
    /// The class that a type itself is, if it is one of them.
    pub(super) fn of(ty: &Type) -> Option<Class> {
        match &*ty.tp_name {
            "_socket.socket" => return Some(Class::Socket),
            "numpy.ndarray" => return Some(Class::NumpyArray),
            _ => {}
        }
        Some(match (ty.module(), ty.qualname()) {
            ("uuid", "UUID") => Class::Uuid,
            ("pathlib" | "pathlib._local", name) if name.ends_with("Path") => Class::Path,
            ("decimal" | "_pydecimal", "Decimal") => Class::Decimal,
            ("collections", "ChainMap") => Class::ChainMap,
            ("queue", "Queue") => Class::Queue,
            ("asyncio.queues", "Queue") => Class::AsyncQueue,
            ("threading", "Thread") => Class::Thread,
            ("threading", "Condition") => Class::Condition,
            ("threading", "Semaphore") => Class::Semaphore,
            ("threading", "BoundedSemaphore") => Class::BoundedSemaphore,
            ("threading", "Event") => Class::Event,
            ("threading", "Barrier") => Class::Barrier,
            ("asyncio.locks", "Lock") => Class::AsyncLock,
            ("asyncio.locks", "Condition") => Class::AsyncCondition,
            ("asyncio.locks", "Semaphore") => Class::AsyncSemaphore,
            ("asyncio.locks", "Event") => Class::AsyncEvent,
            ("asyncio.locks", "Barrier") => Class::AsyncBarrier,
            ("concurrent.futures._base", "Future") => Class::Future,
            ("asyncio.futures", "Future") => Class::AsyncFuture,
            ("asyncio.tasks", "Task") => Class::AsyncTask,
            ("subprocess", "Popen") => Class::Popen,
            _ => return None,
        })
    }
}

impl Writer<'_, '_> {
    /// Writes an instance of a class of the library.
    pub(super) fn of_class(&mut self, object: Addr, ty: &Rc<Type>, class: Class) -> Result<(), ReadError> {
        match class {
            Class::Uuid => self.uuid(object, ty),
            Class::Path => self.path(object, ty),
            Class::Decimal => self.python_decimal(object, ty),
            Class::ChainMap => self.chain_map(object, ty),
            Class::Queue => self.queue(object, ty),
            Class::AsyncQueue => self.async_queue(object, ty),
            Class::Thread => self.thread(object, ty),
            Class::Condition => self.condition(object, ty),
            Class::Semaphore => self.semaphore(object, ty, false),
            Class::BoundedSemaphore => self.semaphore(object, ty, true),
            Class::Event => self.event(object, ty),
            Class::Barrier => self.barrier(object, ty),
            Class::AsyncLock | Class::AsyncCondition => self.async_lock(object, ty, class),
            Class::AsyncSemaphore => self.async_semaphore(object, ty),
            Class::AsyncEvent => self.async_event(object, ty),
            Class::AsyncBarrier => self.async_barrier(object, ty),
            Class::Future => self.future(object, ty),
            Class::AsyncFuture | Class::AsyncTask => self.async_future(object, ty),
            Class::Popen => self.popen(object, ty),
            Class::Socket => self.socket(object, ty),
            Class::NumpyArray => self.numpy_array(object, ty),
        }
    }

    /// Values in an instance's own namespace.
    pub(super) fn own<const N: usize>(
        &self,
        object: Addr,
        names: [&'static str; N],
    ) -> Result<[Option<Addr>; N], ReadError> {
        self.objects().instance_attributes(object, names)
    }

    /// A value in an instance's own namespace that it cannot be without.
    pub(super) fn must_own(&self, object: Addr, name: &'static str) -> Result<Addr, ReadError> {
        let [value] = self.own(object, [name])?;
        must(value)
    }

    /// What a `bool` is.
    pub(super) fn truth(&self, object: Addr) -> Result<bool, ReadError> {
        match &*self.objects().type_name(object)? {
            "bool" => Ok(self.objects().int(object)? != 0),
            _ => Err(ReadError::Invalid("bool")),
        }
    }

    /// What an `int` is.
    pub(super) fn number(&self, object: Addr) -> Result<i128, ReadError> {
        match &*self.objects().type_name(object)? {
            "int" | "bool" => self.objects().int(object),
            _ => Err(ReadError::Invalid("int")),
        }
    }

    /// What a short `str` is.
    pub(super) fn word_of(&self, object: Addr) -> Result<String, ReadError> {
        self.objects().checked_str(object)
    }

    /// How many items a list, tuple, or deque has; none where there is `None` instead, or nothing.
    pub(super) fn length(&self, object: Option<Addr>) -> Result<u64, ReadError> {
        let Some(object) = object else { return Ok(0) };
        match &*self.objects().type_name(object)? {
            "NoneType" => Ok(0),
            "list" | "tuple" | "collections.deque" => {
                let size = self.objects().field(object, self.layout().object.ob_size)?;
                u64::try_from(size).map_err(|_| ReadError::Invalid("size"))
            }
            _ => Err(ReadError::Invalid("sequence")),
        }
    }

    /// True when the object is `None`.
    pub(super) fn is_none(&self, object: Addr) -> Result<bool, ReadError> {
        Ok(&*self.objects().type_name(object)? == "NoneType")
    }

    /// `ChainMap({'a': 1}, {})`.
    fn chain_map(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let maps = self.must_own(object, "maps")?;
        let cut = format!("{}(...)", ty.name());
        self.nested(object, &cut, |writer| {
            let (items, total) = writer.list_items(maps)?;
            writer.push_name(ty.name());
            writer.push("(");
            writer.items(&items, total);
            writer.push(")");
            Ok(())
        })
    }

    /// `<subprocess.Popen at 0x… pid=7, returncode=None, args=['sleep', '1']>`.
    fn popen(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let [pid, code, args] = self.own(object, ["pid", "returncode", "args"])?;
        let (pid, code, args) = (must(pid)?, must(code)?, must(args)?);
        let plain = format!("<{} at {object}", ty.full_name());
        self.nested(object, &format!("{plain}>"), |writer| {
            writer.push(&plain);
            writer.named(&[("pid".into(), pid), ("returncode".into(), code), ("args".into(), args)], " ");
            writer.push(">");
            Ok(())
        })
    }
}

/// A value that an instance cannot be without.
pub(super) fn must(value: Option<Addr>) -> Result<Addr, ReadError> {
    value.ok_or(ReadError::Invalid("instance"))
}
