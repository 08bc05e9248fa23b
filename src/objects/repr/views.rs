//! What looks at something else: proxies, namespaces, views of memory, arrays, weak references, context variables.

use super::packed::Number;
use super::{MOST_NAMES, Writer};
use crate::base::{Addr, FieldValue};
use crate::target::ReadError;
use std::rc::Rc;

/// Longest format of a view of memory that is read.
const FORMAT_BYTES: usize = 64;
/// `_Py_MEMORYVIEW_RELEASED` (`Include/cpython/memoryobject.h`).
const RELEASED: u32 = 1;

impl Writer<'_, '_> {
    /// `mappingproxy({'a': 1})`: `mappingproxyobject { mapping }` (`Objects/descrobject.c`).
    pub(super) fn proxy(&mut self, object: Addr) -> Result<(), ReadError> {
        let mapping: Addr = self.word(object, 0)?;
        self.nested(object, "mappingproxy(...)", |writer| {
            writer.push("mappingproxy(");
            writer.object(mapping);
            writer.push(")");
            Ok(())
        })
    }

    /// `namespace(a=1)`: `_PyNamespaceObject { ns_dict }` (`Objects/namespaceobject.c`).
    pub(super) fn namespace(&mut self, object: Addr) -> Result<(), ReadError> {
        let dict: Addr = self.word(object, 0)?;
        self.nested(object, "namespace(...)", |writer| {
            let named = writer.named_entries(dict)?;
            writer.push(if named.is_empty() { "namespace(" } else { "namespace" });
            writer.named(&named, "(");
            writer.push(")");
            Ok(())
        })
    }

    /// `<memory at 0x… nbytes=3, format='B', readonly=True, obj=b'abc'>`. `PyMemoryViewObject { mbuf, hash, flags, exports,
    /// Py_buffer { buf, obj, len, itemsize, int readonly, int ndim, format, … } }` behind a variable-sized header
    /// (`Include/cpython/memoryobject.h`).
    pub(super) fn memory(&mut self, object: Addr) -> Result<(), ReadError> {
        if self.word::<u32>(object, 24)? & RELEASED != 0 {
            self.push(&format!("<released memory at {object}>"));
            return Ok(());
        }
        let (of, bytes): (Addr, i64) = (self.word(object, 48)?, self.word(object, 56)?);
        let readonly = if self.word::<u32>(object, 72)? != 0 { "True" } else { "False" };
        let format: Addr = self.word(object, 80)?;
        let format = match format.is_null() {
            true => "B".to_owned(),
            false => self.objects().c_string(format, FORMAT_BYTES)?,
        };
        self.push(&format!("<memory at {object} nbytes={bytes}, format='"));
        self.push_name(&format);
        self.push(&format!("', readonly={readonly}"));
        if !of.is_null() {
            self.nested(object, "", |writer| {
                writer.push(", obj=");
                writer.object(of);
                Ok(())
            })?;
        }
        self.push(">");
        Ok(())
    }

    /// `array('i', [1, 2])`: `arrayobject { ob_item, allocated, ob_descr, … }` behind a variable-sized header, of items that
    /// `arraydescr { char typecode; int itemsize; … }` describes (`Modules/arraymodule.c`).
    pub(super) fn array(&mut self, object: Addr) -> Result<(), ReadError> {
        let (start, described): (Addr, Addr) = (self.word(object, 8)?, self.word(object, 24)?);
        let total = self.objects().field(object, self.layout().object.ob_size)?;
        let total = usize::try_from(total).map_err(|_| ReadError::Invalid("array"))?;
        let description = self.objects().bytes(described, 8)?;
        let code = description.first().copied().unwrap_or_default();
        let size = description.get(4..).and_then(u32::from_bytes).unwrap_or_default() as usize;
        let number = Number::of_code(code, size);
        let is_text = matches!(code, b'u' | b'w') && size == 4;
        if !is_text && number.is_none() {
            return Err(ReadError::Invalid("array"));
        }
        self.push(&format!("array('{}'", char::from(code)));
        if is_text && total > 0 {
            let shown = total.min(self.limits().chars);
            let data = self.objects().cache.bytes(start, shown * 4)?;
            self.push(", ");
            self.packed_text(&data, 4, total).map(|_| ())?;
        } else if let Some(number) = number.filter(|_| total > 0) {
            let data = self.objects().cache.bytes(start, total.min(self.limits().items) * size)?;
            self.push(", [");
            self.numbers(data.chunks_exact(size), number, total);
            self.push("]");
        }
        self.push(")");
        Ok(())
    }

    /// Numbers, separated by commas; `total` is how many there are.
    pub(super) fn numbers<'b>(&mut self, items: impl Iterator<Item = &'b [u8]>, number: Number, total: usize) {
        let mut shown = 0;
        for item in items {
            if self.room() == 0 {
                break;
            }
            self.push(if shown > 0 { ", " } else { "" });
            self.push(&number.text(item));
            shown += 1;
        }
        if total > shown {
            self.push(&format!("{}<{} more>", if shown > 0 { ", " } else { "" }, total - shown));
        }
    }

    /// `<weakref at 0x…; to 'module.Class' at 0x…>`, and the name of a function or class; `<weakref at 0x…; dead>`:
    /// `PyWeakReference { wr_object, … }` (`Include/cpython/weakrefobject.h`).
    pub(super) fn weak_reference(&mut self, object: Addr) -> Result<(), ReadError> {
        let to: Addr = self.word(object, 0)?;
        if self.is_none(to)? {
            self.push(&format!("<weakref at {object}; dead>"));
            return Ok(());
        }
        let ty = self.type_of(to)?;
        let name = self.bare_name(to, &ty)?;
        self.push(&format!("<weakref at {object}; to '"));
        self.push_name(&ty.full_name());
        self.push(&format!("' at {to}"));
        if let Some(name) = name {
            self.push(" (");
            self.push_name(&name);
            self.push(")");
        }
        self.push(">");
        Ok(())
    }

    /// `<ContextVar name='request' default=None at 0x…>`: `{ var_name, var_default, … }`
    /// (`Include/internal/pycore_context.h`).
    pub(super) fn context_variable(&mut self, object: Addr) -> Result<(), ReadError> {
        let (name, default): (Addr, Addr) = (self.word(object, 0)?, self.word(object, 8)?);
        let text = self.word_of(name)?;
        self.nested(object, "<ContextVar ...>", |writer| {
            writer.push("<ContextVar name=");
            writer.object(name);
            if !default.is_null() {
                writer.push(" default=");
                writer.named_value(&text, default);
            }
            writer.push(&format!(" at {object}>"));
            Ok(())
        })
    }

    /// The entries of a dict whose keys are names.
    pub(super) fn named_entries(&mut self, dict: Addr) -> Result<Vec<(Rc<str>, Addr)>, ReadError> {
        let dict = self.objects().first_of_dict(dict, MOST_NAMES)?;
        let mut named = Vec::new();
        for entry in self.objects().in_order(&dict)? {
            let name = self.objects().checked_str(entry.key);
            named.extend(self.later(name)?.map(|name| (Rc::from(name), entry.value)));
        }
        Ok(named)
    }
}
