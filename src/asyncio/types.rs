//! What the types of the objects on the way are: which of them are tasks, futures, coroutines, and what they are called.

use crate::base::{Addr, AddrMap, limits};
use crate::cpython::AsyncioDebug;
use crate::cpython::layout::{FutureOffsets, TaskOffsets, future_offsets, task_offsets};
use crate::objects::Objects;
use crate::target::ReadError;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// `Py_TPFLAGS_HEAPTYPE`, `Py_TPFLAGS_TYPE_SUBCLASS` (`Include/object.h`).
const HEAP_TYPE: u64 = 1 << 9;
const TYPE: u64 = 1 << 31;
/// Bases of a class that are looked through.
const BASES: usize = 64;

/// A type.
pub(super) struct Type {
    /// `module.qualname`.
    pub(super) class: Arc<str>,
    /// What its instances are.
    pub(super) kind: Kind,
}

/// What instances of a type are to a reader of asyncio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `_asyncio.Task`, or a subclass.
    Task(TaskOffsets),
    /// `_asyncio.Future`, or a subclass that is no task.
    Future(FutureOffsets),
    /// `_asyncio.Task`, of a shape that is not known.
    UnknownTask,
    /// `asyncio.tasks._PyTask`, or a subclass: everything is in its `__dict__`.
    PythonTask,
    /// `asyncio.futures._PyFuture`, or a subclass that is no task.
    PythonFuture,
    /// A coroutine.
    Coroutine,
    /// A generator.
    Generator,
    /// An asynchronous generator.
    AsyncGenerator,
    /// Something that leads to another link: the first word behind its header.
    Wrapper,
    /// `_asyncio.FutureIter`: the first word behind its header is the future.
    FutureIter,
    /// Anything else.
    Other,
}

impl Kind {
    pub(super) fn is_task(self) -> bool {
        matches!(self, Kind::Task(_) | Kind::PythonTask)
    }

    pub(super) fn is_future(self) -> bool {
        self.is_task() || matches!(self, Kind::Future(_) | Kind::PythonFuture)
    }
}

/// Types by address.
pub(super) struct Types<'o, 'c> {
    pub(super) objects: &'o Objects<'c>,
    debug: Option<AsyncioDebug>,
    known: RefCell<AddrMap<Rc<Type>>>,
    /// Callbacks and edges that there is room for.
    edges_left: Cell<usize>,
}

impl<'o, 'c> Types<'o, 'c> {
    pub(super) fn new(objects: &'o Objects<'c>, debug: Option<AsyncioDebug>) -> Types<'o, 'c> {
        Types { objects, debug, known: RefCell::default(), edges_left: Cell::new(limits::TASK_EDGES) }
    }

    /// The type of an object.
    pub(super) fn of(&self, object: Addr) -> Result<Rc<Type>, ReadError> {
        self.at(self.objects.type_of(object)?)
    }

    /// Pays for callbacks or edges that are kept.
    pub(super) fn charge(&self, count: usize) -> Result<(), ReadError> {
        self.edges_left.set(self.edges_left.get().checked_sub(count).ok_or(ReadError::TooLarge)?);
        Ok(())
    }

    /// What the instances of a class are.
    pub(super) fn instances_of(&self, class: Addr) -> Result<Kind, ReadError> {
        Ok(self.at(class)?.kind)
    }

    /// The type at an address; an error when there is none.
    fn at(&self, address: Addr) -> Result<Rc<Type>, ReadError> {
        if let Some(known) = self.known.borrow().get(&address) {
            return Ok(known.clone());
        }
        let objects = self.objects;
        let layout = &objects.layout.type_object;
        let metaclass = objects.type_of(address)?;
        if !metaclass.is_plausible() || objects.field(metaclass, layout.tp_flags)? & TYPE == 0 {
            return Err(ReadError::Invalid("object"));
        }
        let tp_name = objects.name_of_type(address)?;
        let is_heap = objects.field(address, layout.tp_flags)? & HEAP_TYPE != 0;
        let kind = match by_name(&tp_name) {
            Kind::FutureIter => Kind::FutureIter,
            // A class statement may give these names, too.
            kind if kind != Kind::Other && !is_heap => kind,
            _ => self.by_bases(address)?,
        };
        let ty = Rc::new(Type { class: self.class(address, &tp_name)?, kind });
        self.known.borrow_mut().insert(address, ty.clone());
        Ok(ty)
    }

    /// `module.qualname`. Types written in C have both, or neither, in `tp_name`.
    fn class(&self, ty: Addr, tp_name: &str) -> Result<Arc<str>, ReadError> {
        let objects = self.objects;
        let layout = &objects.layout.type_object;
        let is_heap = objects.field(ty, layout.tp_flags)? & HEAP_TYPE != 0;
        let (Some(qualname), true) = (layout.ht_qualname, is_heap && !tp_name.contains('.')) else {
            return Ok(tp_name.into());
        };
        let qualname = objects.checked_str(objects.field(ty, qualname)?)?;
        Ok(match self.module(ty)?.filter(|module| module != "builtins") {
            Some(module) => format!("{module}.{qualname}").into(),
            None => qualname.into(),
        })
    }

    fn module(&self, ty: Addr) -> Result<Option<String>, ReadError> {
        let objects = self.objects;
        let dict = match objects.layout.type_object.tp_dict {
            Some(field) => objects.field(ty, field)?.non_null(),
            None => None,
        };
        let Some(dict) = dict else { return Ok(None) };
        match objects.dict_get(dict, "__module__")?.map(|module| objects.checked_str(module)) {
            Some(Err(ReadError::Deferred)) => Err(ReadError::Deferred),
            // What the class claims may be any object.
            module => Ok(module.and_then(Result::ok)),
        }
    }

    /// Whether a class is a kind of task or future.
    fn by_bases(&self, ty: Addr) -> Result<Kind, ReadError> {
        let objects = self.objects;
        let layout = &objects.layout.type_object;
        let mro = match layout.tp_mro {
            Some(field) => objects.field(ty, field)?.non_null(),
            None => None,
        };
        let bases = match mro {
            Some(mro) => objects.tuple_items(mro, BASES)?.0,
            None => vec![ty],
        };
        let header = objects.layout.object.size;
        let mut kind = Kind::Other;
        for base in bases {
            match &*objects.name_of_type(base)? {
                "_asyncio.Task" => {
                    let (size, dict) = self.shape(base)?;
                    return Ok(self.task_offsets(header, size, dict).map_or(Kind::UnknownTask, Kind::Task));
                }
                "_asyncio.Future" => {
                    let (size, dict) = self.shape(base)?;
                    return Ok(future_offsets(header, size, dict).map_or(Kind::Other, Kind::Future));
                }
                "Task" if self.module(base)?.as_deref() == Some("asyncio.tasks") => return Ok(Kind::PythonTask),
                "Future" if self.module(base)?.as_deref() == Some("asyncio.futures") => kind = Kind::PythonFuture,
                _ => {}
            }
        }
        Ok(kind)
    }

    /// The offsets for a task; where the target says some of them itself, these.
    fn task_offsets(&self, header: u32, size: i64, dict: i64) -> Option<TaskOffsets> {
        let mut offsets = task_offsets(header, size, dict)?;
        if let Some(debug) = self.debug.filter(|debug| debug.task_size == offsets.size) {
            offsets.name = Some(debug.name);
            offsets.coro = debug.coro;
            offsets.node = Some(debug.node);
            offsets.future.awaited_by = Some((debug.awaited_by, debug.awaited_by_is_set));
        }
        Some(offsets)
    }

    /// `tp_basicsize` and `tp_dictoffset`.
    fn shape(&self, ty: Addr) -> Result<(i64, i64), ReadError> {
        let layout = &self.objects.layout.type_object;
        Ok((self.objects.field(ty, layout.tp_basicsize)?, self.objects.field(ty, layout.tp_dictoffset)?))
    }
}

/// Kinds that cannot be subclassed; all but the last are of static types.
fn by_name(tp_name: &str) -> Kind {
    match tp_name {
        "coroutine" => Kind::Coroutine,
        "generator" => Kind::Generator,
        "async_generator" => Kind::AsyncGenerator,
        "coroutine_wrapper" | "async_generator_asend" | "async_generator_athrow" | "anext_awaitable" => Kind::Wrapper,
        "_asyncio.FutureIter" => Kind::FutureIter,
        _ => Kind::Other,
    }
}
