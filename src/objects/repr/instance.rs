//! Instances of classes made by class statements: their attributes, wherever they are, enumerations, data classes, named
//! tuples, exceptions.

use super::classes::Class;
use super::types::{Shape, Type};
use super::{MOST_NAMES, Writer};
use crate::base::{Addr, FieldValue};
use crate::target::ReadError;
use std::rc::Rc;

/// Entries of a class's namespace that are looked through for slots.
const CLASS_ENTRIES: usize = 2000;

/// Names with values.
pub(super) type Attributes = Vec<(Rc<str>, Addr)>;

impl Writer<'_, '_> {
    /// `<module.Class at 0x… name=value, …>`, a data class as its constructor would be called.
    pub(super) fn instance(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        if !ty.is_heap() {
            return self.plain(object, ty);
        }
        let class = self.shape(ty).map(|shape| shape.class);
        if class == Err(ReadError::Deferred) {
            // Most are not of the library: what they need then is asked for at the same time.
            self.attributes(object, ty)?;
        }
        if let Some(class) = class? {
            let start = self.out.len();
            match self.of_class(object, ty, class) {
                Ok(()) => return Ok(()),
                Err(ReadError::Deferred) => return Err(ReadError::Deferred),
                // It is not as the library leaves it, as while it is made: shown as any other.
                Err(_) => self.out.truncate(start),
            }
        }
        let attributes = self.attributes(object, ty)?;
        let plain = format!("<{} at {object}>", ty.full_name());
        if attributes.is_empty() {
            self.push(&plain);
            return Ok(());
        }
        if let Some(fields) = &self.shape(ty)?.fields {
            let own = |name: &Rc<str>| attributes.iter().find(|(own, _)| own == name).cloned();
            let fields: Attributes = fields.iter().filter_map(own).collect();
            let cut = format!("{}(...)", ty.qualname());
            return self.nested(object, &cut, |writer| {
                writer.push_name(ty.qualname());
                writer.named(&fields, "(");
                writer.push(")");
                Ok(())
            });
        }
        self.nested(object, &plain, |writer| {
            writer.push("<");
            writer.push_name(&ty.full_name());
            writer.push(&format!(" at {object}"));
            writer.named(&attributes, " ");
            writer.push(">");
            Ok(())
        })
    }

    /// The attributes of an instance: slots, those of the innermost base first, then its `__dict__`.
    pub(super) fn attributes(&mut self, object: Addr, ty: &Type) -> Result<Rc<Attributes>, ReadError> {
        if let Some(known) = self.repr.known.borrow().attributes.get(&object) {
            return Ok(known.clone());
        }
        let shape = self.shape(ty);
        // Asked for at the same time as what the type says.
        let attributes = self.objects().named_attributes(object, MOST_NAMES);
        let mut found = Vec::new();
        for (name, at) in &shape?.slots {
            let word = self.objects().cache.bytes(object.offset(*at), 8)?;
            found.extend(Addr::from_bytes(&word).and_then(Addr::non_null).map(|value| (name.clone(), value)));
        }
        found.extend(attributes?);
        let found = Rc::new(found);
        self.repr.keep_attributes(object, &found);
        Ok(found)
    }

    /// What all instances of a type have, read once.
    fn shape<'t>(&mut self, ty: &'t Type) -> Result<&'t Shape, ReadError> {
        if let Some(shape) = ty.shape.get() {
            return Ok(shape);
        }
        // Another instance of the type has asked for what is missing.
        let reads = Some(self.objects().cache.reads());
        if ty.shape_missing_at.get() == reads {
            return Err(ReadError::Deferred);
        }
        let shape = self.read_shape(ty);
        if let Err(ReadError::Deferred) = shape {
            ty.shape_missing_at.set(reads);
        }
        let shape = shape?;
        Ok(ty.shape.get_or_init(|| shape))
    }

    fn read_shape(&mut self, ty: &Type) -> Result<Shape, ReadError> {
        let behind = ty.basicsize.max(0) as u64;
        let mut slots = Vec::new();
        let mut class = None;
        for base in self.mro(ty.address)?.into_iter().rev() {
            slots.extend(self.slots(base)?.into_iter().filter(|(_, at)| *at < behind));
            class = Class::of(&*self.read_type(base)?).or(class);
        }
        Ok(Shape { slots, fields: self.data_fields(ty)?, class })
    }

    /// Names and offsets of the `__slots__` that a class itself has: its namespace holds a `member_descriptor` for each.
    fn slots(&mut self, ty: Addr) -> Result<Vec<(Rc<str>, u64)>, ReadError> {
        if !self.read_type(ty)?.is_heap() {
            return Ok(Vec::new());
        }
        let Some(field) = self.layout().type_object.tp_dict else { return Ok(Vec::new()) };
        let Some(dict) = self.objects().field(ty, field)?.non_null() else { return Ok(Vec::new()) };
        let dict = self.objects().first_of_dict(dict, CLASS_ENTRIES)?;
        let mut slots = Vec::new();
        let mut missing = false;
        for entry in dict.entries() {
            match self.slot(entry.key, entry.value) {
                Ok(slot) => slots.extend(slot),
                Err(ReadError::Deferred) => missing = true,
                Err(_) => {}
            }
        }
        if missing { Err(ReadError::Deferred) } else { Ok(slots) }
    }

    fn slot(&self, name: Addr, descriptor: Addr) -> Result<Option<(Rc<str>, u64)>, ReadError> {
        let objects = self.objects();
        let Some(offset) = objects.member_offset(descriptor)? else { return Ok(None) };
        Ok(Some((objects.checked_str(name)?.into(), offset)))
    }

    /// The names of a data class's fields in their order; `None` when it is none.
    fn data_fields(&mut self, ty: &Type) -> Result<Option<Vec<Rc<str>>>, ReadError> {
        let Some(fields) = self.class_attribute(ty.address, "__dataclass_fields__")? else { return Ok(None) };
        if &*self.objects().type_name(fields)? != "dict" {
            return Ok(None);
        }
        let dict = self.objects().first_of_dict(fields, CLASS_ENTRIES)?;
        let mut names = Vec::new();
        let mut missing = false;
        for entry in dict.entries() {
            match self.objects().checked_str(entry.key) {
                Ok(name) => names.push(name.into()),
                Err(ReadError::Deferred) => missing = true,
                Err(error) => return Err(error),
            }
        }
        if missing { Err(ReadError::Deferred) } else { Ok(Some(names)) }
    }

    /// `<Color.RED: 1>`: classes made by `enum.EnumMeta`, since 3.11 `EnumType`.
    pub(super) fn is_enum(&mut self, ty: &Type) -> Result<bool, ReadError> {
        Ok(ty.is_heap() && matches!(&*self.objects().type_name(ty.address)?, "EnumMeta" | "EnumType"))
    }

    pub(super) fn enumeration(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let attributes = self.attributes(object, ty)?;
        let find = |name: &str| attributes.iter().find(|(own, _)| **own == *name).map(|(_, value)| *value);
        let (Some(name), Some(value)) = (find("_name_"), find("_value_")) else {
            return self.plain(object, ty);
        };
        let name = match &*self.objects().type_name(name)? {
            "str" => self.objects().checked_str(name)?,
            // A combination of flags, which has a name from 3.11 on only.
            _ => self.flag_names(ty, value)?,
        };
        self.push("<");
        self.push_name(ty.name());
        self.push(if name.is_empty() { "" } else { "." });
        self.push_name(&name);
        self.push(": ");
        self.named_value(&name, value);
        self.push(">");
        Ok(())
    }

    /// `R|W`: the flags of one bit each that a value is made of, in the order of their definition; empty when it has others.
    fn flag_names(&mut self, ty: &Type, value: Addr) -> Result<String, ReadError> {
        let Ok(mut rest) = self.number(value) else { return Ok(String::new()) };
        let Some(members) = self.class_attribute(ty.address, "_member_map_")? else { return Ok(String::new()) };
        let mut names = Vec::new();
        for (name, member) in self.named_entries(members)? {
            let value = self.own(member, ["_value_"]);
            let [Some(value)] = self.later(value)?.unwrap_or_default() else { continue };
            let number = self.number(value);
            let bits = self.later(number)?.unwrap_or_default();
            if bits.count_ones() == 1 && rest & bits == bits {
                names.push(name);
                rest -= bits;
            }
        }
        match (self.deferred, rest) {
            (true, _) => Err(ReadError::Deferred),
            (false, 0) => Ok(names.join("|")),
            (false, _) => Ok(String::new()),
        }
    }

    /// `Point(x=1, y=2)`: subclasses of `tuple` with `_fields`; others as `Class((1, 2))`.
    pub(super) fn named_tuple(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let mut fields = None;
        for base in self.mro(ty.address)? {
            if self.read_type(base)?.is_heap() {
                fields = fields.or(self.class_attribute(base, "_fields")?);
            }
        }
        let cut = format!("{}(...)", ty.name());
        let Some(fields) = fields else {
            self.push_name(ty.qualname());
            self.push("(");
            self.tuple(object)?;
            self.push(")");
            return Ok(());
        };
        self.nested(object, &cut, |writer| {
            let (values, _) = writer.tuple_items(object, writer.limits().items + 1)?;
            let (names, _) = writer.tuple_items(fields, writer.limits().items + 1)?;
            let mut named = Vec::new();
            for (name, value) in names.into_iter().zip(values) {
                let name = writer.objects().checked_str(name);
                named.extend(writer.later(name)?.map(|name| (Rc::from(name), value)));
            }
            writer.push_name(ty.name());
            writer.named(&named, "(");
            writer.push(if named.is_empty() { "()" } else { ")" });
            Ok(())
        })
    }

    /// `ValueError('what', 1)`.
    pub(super) fn exception(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let field = self.layout().value.exception_args.ok_or(ReadError::Invalid("layout"))?;
        let args = self.objects().field(object, field)?;
        let cut = format!("{}(...)", ty.name());
        self.nested(object, &cut, |writer| {
            writer.push_name(ty.name());
            writer.arguments(args)
        })
    }

    /// `(1, 2)` without the comma of a tuple of one.
    fn arguments(&mut self, args: Addr) -> Result<(), ReadError> {
        let (items, total) = self.tuple_items(args, self.limits().items)?;
        self.push("(");
        self.items(&items, total);
        self.push(")");
        Ok(())
    }
}
