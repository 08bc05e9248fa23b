//! Readers of Python objects, one file a type. They take memory as it comes: every length is bounded, every pointer may be
//! wild, and what does not fit is an error, never a guess.

mod callable;
mod containers;
mod dict;
mod instance;
mod redact;
mod repr;
mod scalar;
mod sequence;
mod slots;
mod string;

pub use callable::Callable;
pub use dict::{Dict, Entry};
pub use redact::{REDACTED, is_secret_name, redact};
pub use repr::{Repr, Value, ValueLimits};

use self::instance::TypeValues;
use crate::base::{Addr, AddrMap, Field};
use crate::cpython::Quirks;
use crate::cpython::layout::Layout;
use crate::target::{Bytes, Cache, ReadError};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Longest type name that is read, in bytes; CPython's own are below 40, those of extension modules below 200.
const TYPE_NAME_BYTES: usize = 256;

/// Slots of names in one keys object; `None` where a name has none.
type NameSlots = Vec<(&'static str, Option<usize>)>;

/// Reads objects of one interpreter build.
pub struct Objects<'c> {
    /// The memory, each piece read once.
    pub cache: &'c Cache<'c>,
    /// Where fields are.
    pub layout: &'c Layout,
    /// What they mean.
    pub quirks: Quirks,
    type_names: RefCell<AddrMap<Rc<str>>>,
    key_texts: RefCell<AddrMap<Option<Rc<str>>>>,
    /// Slots of names in keys objects that many instances share, by the keys object.
    shared_slots: RefCell<AddrMap<NameSlots>>,
    /// How many slots of a keys object were looked through in vain for a name.
    passed_slots: RefCell<HashMap<(Addr, &'static str), usize>>,
    /// Where instances keep their values, by their type.
    type_values: RefCell<AddrMap<TypeValues>>,
    /// Where instances of a type keep a slot.
    slot_offsets: RefCell<HashMap<(Addr, &'static str), Option<u64>>>,
}

impl<'c> Objects<'c> {
    /// A reader over this memory.
    pub fn new(cache: &'c Cache<'c>, layout: &'c Layout, quirks: Quirks) -> Objects<'c> {
        Objects {
            cache,
            layout,
            quirks,
            type_names: RefCell::default(),
            key_texts: RefCell::default(),
            shared_slots: RefCell::default(),
            passed_slots: RefCell::default(),
            type_values: RefCell::default(),
            slot_offsets: RefCell::default(),
        }
    }

    /// One field of the structure at `base`.
    pub fn field<T: crate::base::FieldValue>(&self, base: Addr, field: Field<T>) -> Result<T, ReadError> {
        let bytes = self.cache.bytes(field.of(base), T::SIZE)?;
        T::from_bytes(&bytes).ok_or(ReadError::Unmapped)
    }

    /// The first `len` bytes of an object; the address must be that of one.
    pub fn bytes(&self, object: Addr, len: usize) -> Result<Bytes, ReadError> {
        if !object.is_plausible() {
            return Err(ReadError::Invalid("pointer to an object"));
        }
        self.cache.bytes(object, len)
    }

    /// The address of the object's type.
    pub fn type_of(&self, object: Addr) -> Result<Addr, ReadError> {
        let field = self.layout.object.ob_type;
        let bytes = self.bytes(object, field.end())?;
        bytes.record().get(field).ok_or(ReadError::Unmapped)
    }

    /// The name of the object's type as in `tp_name`.
    pub fn type_name(&self, object: Addr) -> Result<Rc<str>, ReadError> {
        self.name_of_type(self.type_of(object)?)
    }

    /// `tp_name` of a type.
    pub fn name_of_type(&self, ty: Addr) -> Result<Rc<str>, ReadError> {
        if let Some(name) = self.type_names.borrow().get(&ty) {
            return Ok(name.clone());
        }
        if !ty.is_plausible() {
            return Err(ReadError::Invalid("type"));
        }
        let name = self.field(ty, self.layout.type_object.tp_name)?;
        let name: Rc<str> = self.c_string(name, TYPE_NAME_BYTES)?.into();
        self.type_names.borrow_mut().insert(ty, name.clone());
        Ok(name)
    }

    /// A NUL-terminated string of at most `limit` bytes.
    fn c_string(&self, addr: Addr, limit: usize) -> Result<String, ReadError> {
        // Piecewise, as the string may end just before unmapped memory; type names are mostly short.
        const PIECE: usize = 32;
        let mut bytes = Vec::new();
        while bytes.len() < limit {
            let at = addr.offset(bytes.len() as u64);
            let to_boundary = PIECE - (at.0 as usize % PIECE);
            let piece = self.cache.bytes(at, to_boundary)?;
            match piece.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    bytes.extend(piece.iter().take(end));
                    return Ok(String::from_utf8_lossy(&bytes).into_owned());
                }
                None => bytes.extend_from_slice(&piece),
            }
        }
        Err(ReadError::TooLarge)
    }
}
