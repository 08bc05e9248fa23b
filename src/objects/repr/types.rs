//! What a type is, and which way of writing its instances fits it.

use super::Writer;
use super::classes::Class;
use crate::base::{Addr, FieldValue};
use crate::target::ReadError;
use std::cell::{Cell, OnceCell};
use std::rc::Rc;

/// `Py_TPFLAGS_*` (`Include/object.h`).
const HEAP_TYPE: u64 = 1 << 9;
const LONG: u64 = 1 << 24;
const LIST: u64 = 1 << 25;
const TUPLE: u64 = 1 << 26;
const BYTES: u64 = 1 << 27;
const STR: u64 = 1 << 28;
const DICT: u64 = 1 << 29;
const EXCEPTION: u64 = 1 << 30;
pub(super) const TYPE: u64 = 1 << 31;

/// Views of dicts.
const VIEWS: &[&str] = &["dict_keys", "dict_values", "dict_items", "odict_keys", "odict_values", "odict_items"];

/// A type.
pub(super) struct Type {
    pub(super) address: Addr,
    /// `tp_name`.
    pub(super) tp_name: Rc<str>,
    module: Option<String>,
    qualname: Option<String>,
    flags: u64,
    /// Bytes of an instance.
    pub(super) basicsize: i64,
    /// What its instances have, once that was asked for.
    pub(super) shape: OnceCell<Shape>,
    /// [`Cache::reads`](crate::target::Cache::reads) when that was asked for in vain.
    pub(super) shape_missing_at: Cell<Option<u64>>,
}

/// What the instances of a type have, whatever their values.
pub(super) struct Shape {
    /// Names and offsets of their `__slots__`, those of the innermost base first.
    pub(super) slots: Vec<(Rc<str>, u64)>,
    /// Names of the fields, for a data class.
    pub(super) fields: Option<Vec<Rc<str>>>,
    /// How the nearest of the library's classes among its bases is written.
    pub(super) class: Option<Class>,
}

impl Type {
    /// `module.Class`, without the module for builtins.
    pub(super) fn full_name(&self) -> String {
        match (&self.qualname, &self.module) {
            (Some(name), Some(module)) if module != "builtins" => format!("{module}.{name}"),
            (Some(name), _) => name.clone(),
            (None, _) => self.tp_name.to_string(),
        }
    }

    /// `__qualname__`.
    pub(super) fn qualname(&self) -> &str {
        self.qualname.as_deref().unwrap_or_else(|| self.name())
    }

    /// `__name__`.
    pub(super) fn name(&self) -> &str {
        self.tp_name.rsplit('.').next().unwrap_or_default()
    }

    pub(super) fn module(&self) -> &str {
        self.module.as_deref().unwrap_or_default()
    }

    /// Made by a class statement, or by C code at run time.
    pub(super) fn is_heap(&self) -> bool {
        self.flags & HEAP_TYPE != 0
    }

    /// Its instances are types themselves.
    pub(super) fn is_class(&self) -> bool {
        self.is(TYPE)
    }

    fn is(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }

    /// The name by which instances of types written in C are known; class statements make no `tp_name` with a dot.
    fn c_name(&self) -> Option<&str> {
        (!self.is_heap() || self.tp_name.contains('.')).then_some(&self.tp_name)
    }
}

impl Writer<'_, '_> {
    /// The type of an object.
    pub(super) fn type_of(&mut self, object: Addr) -> Result<Rc<Type>, ReadError> {
        let address = self.objects().type_of(object)?;
        self.read_type(address)
    }

    /// A type by its address; an error when it is none.
    pub(super) fn read_type(&mut self, address: Addr) -> Result<Rc<Type>, ReadError> {
        if let Some(known) = self.repr.types.borrow().get(&address) {
            return Ok(known.clone());
        }
        self.together(address, super::TYPE_BYTES)?;
        let objects = self.objects();
        let layout = &self.layout().type_object;
        let metaclass = objects.type_of(address)?;
        if !metaclass.is_plausible() || objects.field(metaclass, layout.tp_flags)? & TYPE == 0 {
            return Err(ReadError::Invalid("object"));
        }
        let mut ty = Type {
            address,
            tp_name: objects.name_of_type(address)?,
            module: None,
            qualname: None,
            flags: objects.field(address, layout.tp_flags)?,
            basicsize: objects.field(address, layout.tp_basicsize)?,
            shape: OnceCell::new(),
            shape_missing_at: Cell::new(None),
        };
        if ty.is_heap() {
            if let Some(field) = layout.ht_qualname {
                ty.qualname = Some(objects.checked_str(objects.field(address, field)?)?);
            }
            if let Some(module) = self.class_attribute(address, "__module__")? {
                ty.module = match objects.checked_str(module) {
                    Err(ReadError::Deferred) => return Err(ReadError::Deferred),
                    module => module.ok(),
                };
            }
        }
        let ty = Rc::new(ty);
        self.repr.types.borrow_mut().insert(address, ty.clone());
        Ok(ty)
    }

    /// A value in a class's own namespace.
    pub(super) fn class_attribute(&mut self, ty: Addr, name: &'static str) -> Result<Option<Addr>, ReadError> {
        let Some(field) = self.layout().type_object.tp_dict else { return Ok(None) };
        match self.objects().field(ty, field)?.non_null() {
            Some(dict) => self.objects().dict_get(dict, name),
            None => Ok(None),
        }
    }

    /// The types whose attributes an instance has, its own first.
    pub(super) fn mro(&mut self, ty: Addr) -> Result<Vec<Addr>, ReadError> {
        let Some(field) = self.layout().type_object.tp_mro else { return Ok(vec![ty]) };
        let Some(mro) = self.objects().field(ty, field)?.non_null() else { return Ok(vec![ty]) };
        Ok(self.tuple_items(mro, 64)?.0)
    }

    /// Writes an instance of a type.
    pub(super) fn of_type(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        if let Some(name) = ty.c_name()
            && let Some(result) = self.known(object, ty, name)
        {
            return result;
        }
        match () {
            () if ty.is(TYPE) => self.class(object),
            () if ty.is(EXCEPTION) => self.exception(object, ty),
            () if self.is_enum(ty)? => self.enumeration(object, ty),
            () if ty.is(LONG) => self.subclass(object, ty, Self::int),
            () if ty.is(STR) => self.subclass(object, ty, Self::str),
            () if ty.is(BYTES) => self.subclass(object, ty, Self::bytes),
            () if ty.is(TUPLE) => self.named_tuple(object, ty),
            () if ty.is(LIST) => self.subclass(object, ty, Self::list),
            () if ty.is(DICT) => self.subclass(object, ty, Self::dict),
            () => self.instance(object, ty),
        }
    }

    /// `Class(value)` for an instance of a subclass of a builtin type.
    fn subclass(
        &mut self,
        object: Addr,
        ty: &Type,
        value: fn(&mut Self, Addr) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.push_name(ty.qualname());
        self.push("(");
        value(self, object)?;
        self.push(")");
        Ok(())
    }

    /// Types that are known by name; `None` for others.
    fn known(&mut self, object: Addr, ty: &Rc<Type>, name: &str) -> Option<Result<(), ReadError>> {
        Some(match name {
            "NoneType" => self.constant("None"),
            "ellipsis" => self.constant("Ellipsis"),
            "NotImplementedType" => self.constant("NotImplemented"),
            "bool" => self.boolean(object),
            "int" => self.int(object),
            "float" => self.float(object),
            "complex" => self.complex(object),
            "str" => self.str(object),
            "bytes" => self.bytes(object),
            "bytearray" => self.bytearray(object),
            "list" => self.list(object),
            "tuple" => self.tuple(object),
            "dict" => self.dict(object),
            "set" | "frozenset" => self.set(object, name),
            "range" => self.range(object),
            "slice" => self.slice(object),
            "collections.deque" => self.deque(object),
            "collections.defaultdict" => self.default_dict(object),
            "collections.OrderedDict" => self.ordered_dict(object),
            "function" => self.function(object),
            "method" => self.method(object),
            "builtin_function_or_method" => self.c_function(object),
            "module" => self.module(object),
            "functools.partial" => self.partial(object),
            "datetime.date" => self.date(object),
            "datetime.time" => self.time(object),
            "datetime.datetime" => self.datetime(object),
            "datetime.timedelta" => self.timedelta(object),
            "datetime.timezone" => self.timezone(object),
            "decimal.Decimal" => self.decimal(object),
            "_thread.lock" => self.lock(object, ty),
            "_thread.RLock" => self.rlock(object, ty),
            "_multiprocessing.SemLock" => self.process_lock(object, ty),
            "_queue.SimpleQueue" => self.simple_queue(object, ty),
            "_asyncio.Future" | "_asyncio.Task" => self.c_future(object, ty),
            "generator" | "coroutine" | "async_generator" => self.generator(object, name),
            "mappingproxy" => self.proxy(object),
            "types.SimpleNamespace" => self.namespace(object),
            "memoryview" => self.memory(object),
            "array.array" => self.array(object),
            "re.Pattern" => self.pattern(object),
            "re.Match" => self.matched(object),
            // Up to 3.9, and later.
            "weakref" | "weakref.ReferenceType" => self.weak_reference(object),
            "ContextVar" | "_contextvars.ContextVar" => self.context_variable(object),
            "_io.FileIO" | "_io.BufferedReader" | "_io.BufferedWriter" | "_io.BufferedRandom" | "_io.TextIOWrapper" => {
                self.file(object, name)
            }
            "numpy.ndarray" => self.numpy_array(object, ty),
            _ if VIEWS.contains(&name) => self.view(object, name),
            _ => return self.numpy_scalar(object, name),
        })
    }

    fn constant(&mut self, text: &str) -> Result<(), ReadError> {
        self.push(text);
        Ok(())
    }

    fn boolean(&mut self, object: Addr) -> Result<(), ReadError> {
        let value = self.objects().int(object)?;
        self.push(if value == 0 { "False" } else { "True" });
        Ok(())
    }

    /// A word of an object, so many words behind its header.
    pub(super) fn word<T: FieldValue>(&self, object: Addr, at: u64) -> Result<T, ReadError> {
        let address = object.offset(u64::from(self.layout().object.size) + at);
        T::from_bytes(&self.objects().cache.bytes(address, T::SIZE)?).ok_or(ReadError::Unmapped)
    }

    /// Bytes of an instance of a type behind its header.
    pub(super) fn size_behind_header(&self, ty: &Type) -> i64 {
        ty.basicsize - i64::from(self.layout().object.size)
    }
}
