//! A short text for any object, as Python's `repr` would give it, without running any code of the target's.
//!
//! Builtin types and the common ones of the standard library are written as Python writes them; instances of other classes
//! as `<module.Class at 0x7f… name=value, …>`; what has nothing to show as `<module.Class at 0x7f…>`. All of it is bounded in
//! depth, items, text and the number of objects looked at, and cycles are cut. What cannot be read stands as `<…>` in its
//! place. Secrets are not shown, see [`is_secret_name`](super::is_secret_name).

mod callable;
mod classes;
mod container;
mod generator;
mod instance;
mod io;
mod library;
mod number;
mod numpy;
mod packed;
mod queues;
mod regex;
mod text;
mod threads;
mod time;
mod types;
mod views;

use self::instance::Attributes;
use self::types::Type;
use super::Objects;
use super::redact::{REDACTED, is_secret_name};
use crate::base::{Addr, AddrHashing, AddrMap};
use crate::cpython::layout::Layout;
use crate::target::ReadError;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

/// Objects looked at for one value: what bounds its time, whatever the other limits are.
const OBJECTS: usize = 4000;
/// Enough for the fields of most objects, and of a type.
const OBJECT_BYTES: usize = 128;
const TYPE_BYTES: usize = 912;
/// Objects between two looks at the clock.
const OBJECTS_PER_LOOK: u32 = 16;
/// Bytes of texts, and number of names, that are kept to be used again.
const KNOWN_BYTES: usize = 4 << 20;
const KNOWN_NAMES: usize = 10_000;
/// Longest name of an attribute or argument that is shown, in characters.
const NAME_CHARS: usize = 100;

/// Names in one namespace that are looked at, to say how many there are beside those that are shown.
const MOST_NAMES: usize = 1000;

/// How much of a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueLimits {
    /// Levels of containers and instances within each other.
    pub depth: usize,
    /// Items of one container, attributes of one instance.
    pub items: usize,
    /// Characters of one value, roughly.
    pub chars: usize,
    /// Show values whose names say that they are secret, too.
    pub show_secrets: bool,
}

impl Default for ValueLimits {
    fn default() -> ValueLimits {
        ValueLimits { depth: 3, items: 20, chars: 400, show_secrets: false }
    }
}

/// An object as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// `module.Class`, without the module for builtins. Empty when it cannot be read.
    pub type_name: String,
    /// What it is.
    pub text: String,
}

/// Turns objects into texts.
pub struct Repr<'o, 'c> {
    objects: &'o Objects<'c>,
    limits: ValueLimits,
    /// After this nothing more is read.
    until: Instant,
    types: RefCell<AddrMap<Rc<Type>>>,
    /// Whether a name is that of a secret.
    secrets: RefCell<HashMap<Box<str>, bool>>,
    known: RefCell<Known>,
    /// Objects looked at so far.
    looked_at: Cell<u32>,
    over: Cell<bool>,
}

/// Texts that were written before. A batch writes a value anew whenever some of what it holds was missing, and many values
/// hold the same things.
#[derive(Default)]
struct Known {
    /// By object and level; what a text looks like depends on nothing else, see [`Writer::object`].
    texts: HashMap<(Addr, usize), Rc<str>, AddrHashing>,
    /// Of instances.
    attributes: AddrMap<Rc<Attributes>>,
    /// Bytes that all of this takes, roughly.
    bytes: usize,
}

impl<'o, 'c> Repr<'o, 'c> {
    /// Within these limits, and up to a moment.
    pub fn new(objects: &'o Objects<'c>, limits: ValueLimits, until: Instant) -> Repr<'o, 'c> {
        Repr {
            objects,
            limits,
            until,
            types: RefCell::default(),
            secrets: RefCell::default(),
            known: RefCell::default(),
            looked_at: Cell::new(0),
            over: Cell::new(false),
        }
    }

    /// The text of an object.
    ///
    /// # Errors
    /// Only [`ReadError::Deferred`], within a batch; whatever else goes wrong is said in the text.
    pub fn value(&self, object: Addr) -> Result<Value, ReadError> {
        let mut writer =
            Writer { repr: self, out: String::new(), path: Vec::new(), deferred: false, passing: false, left: OBJECTS };
        let type_name = match self.is_over() {
            true => String::new(),
            false => writer.type_of(object).map(|ty| ty.full_name()).or_else(|error| match error {
                ReadError::Deferred => Err(error),
                _ => Ok(String::new()),
            })?,
        };
        writer.object(object);
        if writer.deferred { Err(ReadError::Deferred) } else { Ok(Value { type_name, text: writer.out }) }
    }

    /// What stands for the value of a name: the value, unless the name says that it is secret.
    pub fn shown<'v>(&self, name: &str, value: &'v Value) -> &'v str {
        if self.hides(name) && value.text != "None" { REDACTED } else { &value.text }
    }

    fn hides(&self, name: &str) -> bool {
        if self.limits.show_secrets {
            return false;
        }
        if let Some(known) = self.secrets.borrow().get(name) {
            return *known;
        }
        let is_secret = is_secret_name(name);
        let mut secrets = self.secrets.borrow_mut();
        if secrets.len() < KNOWN_NAMES {
            secrets.insert(name.into(), is_secret);
        }
        is_secret
    }

    fn keep(&self, key: (Addr, usize), text: &str) {
        let mut known = self.known.borrow_mut();
        if known.bytes < KNOWN_BYTES {
            known.bytes += text.len() + size_of_val(&key);
            known.texts.insert(key, text.into());
        }
    }

    fn keep_attributes(&self, object: Addr, attributes: &Rc<Attributes>) {
        let mut known = self.known.borrow_mut();
        if known.bytes < KNOWN_BYTES {
            known.bytes += size_of_val(attributes.as_slice()) + size_of_val(&object);
            known.attributes.insert(object, attributes.clone());
        }
    }

    /// Whether the time is up: looked at once in a while, as it is asked for every object.
    fn is_over(&self) -> bool {
        let count = self.looked_at.get();
        self.looked_at.set(count.wrapping_add(1));
        if count.is_multiple_of(OBJECTS_PER_LOOK) {
            self.over.set(Instant::now() >= self.until);
        }
        self.over.get()
    }
}

/// One text in the making.
struct Writer<'r, 'c> {
    repr: &'r Repr<'r, 'c>,
    out: String,
    /// The containers that are being written, outermost first.
    path: Vec<Addr>,
    /// Something is still to be read, so that the text is not of use.
    deferred: bool,
    /// The text would be another one at another time or place.
    passing: bool,
    /// Objects that may still be looked at.
    left: usize,
}

impl<'r, 'c> Writer<'r, 'c> {
    fn objects(&self) -> &'r Objects<'c> {
        self.repr.objects
    }

    fn layout(&self) -> &'c Layout {
        self.repr.objects.layout
    }

    fn limits(&self) -> ValueLimits {
        self.repr.limits
    }

    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// A name from the target, short whatever it is.
    fn push_name(&mut self, name: &str) {
        match name.char_indices().nth(NAME_CHARS) {
            Some((end, _)) => {
                self.push(name.get(..end).unwrap_or_default());
                self.push("...");
            }
            None => self.push(name),
        }
    }

    /// Bytes for which there is still room.
    fn room(&self) -> usize {
        self.limits().chars.saturating_sub(self.out.len())
    }

    /// Writes an object, or why it cannot be.
    ///
    /// What was written before is used again where there is as much room for it as it takes: then nothing of it was, or
    /// would be, cut for want of room.
    fn object(&mut self, object: Addr) {
        let key = (object, self.path.len());
        let known = self.repr.known.borrow().texts.get(&key).cloned();
        if let Some(text) = known.filter(|text| text.len() < self.room()) {
            return self.push(&text);
        }
        let start = self.out.len();
        let outer = (std::mem::take(&mut self.passing), std::mem::take(&mut self.deferred));
        let result = match self.left.checked_sub(1) {
            None => Err(ReadError::TooLarge),
            Some(_) if self.repr.is_over() => Err(ReadError::Deadline),
            Some(left) => {
                self.left = left;
                self.try_object(object)
            }
        };
        if let Err(error) = result {
            self.out.truncate(start);
            self.passing |= matches!(error, ReadError::TooLarge | ReadError::Deadline);
            self.fail(error);
        }
        if !self.passing && !self.deferred && self.room() > 0 {
            self.repr.keep(key, self.out.get(start..).unwrap_or_default());
        }
        self.passing |= outer.0;
        self.deferred |= outer.1;
    }

    fn try_object(&mut self, object: Addr) -> Result<(), ReadError> {
        self.together(object, OBJECT_BYTES)?;
        let ty = self.type_of(object)?;
        self.of_type(object, &ty)
    }

    /// Reads the bytes of which some are looked at soon, as far as they are on one page: one read instead of several.
    fn together(&self, start: Addr, len: usize) -> Result<(), ReadError> {
        let to_page_end = 0x1000 - (start.0 & 0xfff) as usize;
        match self.objects().cache.bytes(start, len.min(to_page_end)) {
            Err(ReadError::Deferred) if start.is_plausible() => Err(ReadError::Deferred),
            // What is missing is noticed where it is needed.
            _ => Ok(()),
        }
    }

    fn fail(&mut self, error: ReadError) {
        match error {
            ReadError::Deferred => self.deferred = true,
            ReadError::Deadline => self.push("<not read in time>"),
            ReadError::TooLarge => self.push("<too large>"),
            ReadError::Invalid(what) => self.push(&format!("<not a valid {what}>")),
            _ => self.push("<unreadable>"),
        }
    }

    /// Goes on when something is still to be read, so that all that is missing is asked for at once.
    fn later<T>(&mut self, result: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
        match result {
            Err(ReadError::Deferred) => {
                self.deferred = true;
                Ok(None)
            }
            result => result.map(Some),
        }
    }

    /// Writes what holds other objects; `cut` where it is within itself, or too deep.
    fn nested(
        &mut self,
        object: Addr,
        cut: &str,
        body: impl FnOnce(&mut Self) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let is_within_itself = self.path.contains(&object);
        if is_within_itself || self.path.len() >= self.limits().depth {
            self.passing |= is_within_itself;
            self.push(cut);
            return Ok(());
        }
        self.path.push(object);
        let result = body(self);
        self.path.pop();
        result
    }

    /// `name=value, …` within what is being written, with this before the first.
    fn named(&mut self, values: &[(Rc<str>, Addr)], before: &str) {
        for (index, (name, value)) in values.iter().enumerate() {
            self.push(if index == 0 { before } else { ", " });
            if index >= self.limits().items || self.room() == 0 {
                self.push(&format!("<{} more>", values.len() - index));
                return;
            }
            self.push_name(name);
            self.push("=");
            self.named_value(name, *value);
        }
    }

    /// The value of something with a name.
    fn named_value(&mut self, name: &str, value: Addr) {
        match self.repr.hides(name) {
            true => self.hidden(value),
            false => self.object(value),
        }
    }

    /// Something secret; that it is not set is no secret.
    fn hidden(&mut self, object: Addr) {
        let name = self.objects().type_name(object);
        match self.later(name) {
            Ok(Some(name)) if &*name == "NoneType" => self.push("None"),
            _ => self.push(REDACTED),
        }
    }

    /// `<module.Class at 0x…>`.
    fn plain(&mut self, object: Addr, ty: &Type) -> Result<(), ReadError> {
        self.push("<");
        self.push_name(&ty.full_name());
        self.push(&format!(" at {object}>"));
        Ok(())
    }
}
