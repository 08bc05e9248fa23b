//! Arrays and scalars of numpy, whose structures are public (`numpy/ndarraytypes.h`, of 1.x and 2.x).

use super::Writer;
use super::packed::Number;
use super::types::Type;
use crate::base::{Addr, FieldValue};
use crate::objects::REDACTED;
use crate::target::{Extent, ReadError};
use std::rc::Rc;

/// `NPY_MAXDIMS` of 2.x; 1.x has 32.
const DIMENSIONS: usize = 64;
/// Bytes of a `PyArray_Descr` behind its header, for dtypes as they were before 2.0.
const OLD_DESCRIPTION: i64 = 80;
/// Largest item that is shown, in bytes.
const ITEM_BYTES: usize = 4096;
/// Items are read in one piece when they lie within so many bytes.
const SPAN_BYTES: u64 = 64 << 10;

/// What the items of an array are.
struct Items {
    /// `float64`, `<U3`, …
    name: String,
    kind: u8,
    size: usize,
    big: bool,
}

/// Where they are.
struct Shape {
    data: Addr,
    dimensions: Vec<u64>,
    strides: Vec<i64>,
}

impl Shape {
    /// How many items there are; `None` when more than any memory holds.
    fn total(&self) -> Option<u64> {
        if self.dimensions.contains(&0) {
            return Some(0);
        }
        self.dimensions.iter().try_fold(1u64, |all, length| all.checked_mul(*length))
    }

    /// The address of an item, counted with the last index changing first.
    fn at(&self, index: u64) -> Addr {
        let mut rest = index;
        let mut at = self.data;
        for (length, stride) in self.dimensions.iter().zip(&self.strides).rev() {
            at = at.offset((rest % length.max(&1)).wrapping_mul(*stride as u64));
            rest /= length.max(&1);
        }
        at
    }
}

impl Writer<'_, '_> {
    /// `<numpy.ndarray dtype=float64 shape=(2, 3): [0.0, 1.0, <4 more>]>`: the items one after the other, whatever the shape.
    /// `PyArrayObject_fields { data, int nd, dimensions, strides, base, descr, … }`.
    pub(super) fn numpy_array(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let data: Addr = self.word(object, 0)?;
        let count = usize::try_from(self.word::<i32>(object, 8)?).ok().filter(|count| *count <= DIMENSIONS);
        let count = count.ok_or(ReadError::Invalid("array"))?;
        let (dimensions, strides): (Addr, Addr) = (self.word(object, 16)?, self.word(object, 24)?);
        let dimensions = self.objects().cache.bytes(dimensions, count * 8)?;
        let strides = self.objects().cache.bytes(strides, count * 8)?;
        let shape = Shape {
            data,
            dimensions: dimensions.chunks_exact(8).filter_map(u64::from_bytes).collect(),
            strides: strides.chunks_exact(8).filter_map(i64::from_bytes).collect(),
        };
        let items = self.item_type(self.word(object, 40)?)?;
        let lengths: Vec<String> = shape.dimensions.iter().map(u64::to_string).collect();
        let comma = if count == 1 { "," } else { "" };
        self.push("<");
        self.push_name(&ty.full_name());
        self.push(" dtype=");
        self.push_name(&items.name);
        self.push(&format!(" shape=({}{comma})", lengths.join(", ")));
        if items.is_shown() {
            self.push(": [");
            let listed = self.numpy_items(object, &shape, &items);
            match listed {
                Err(ReadError::Deferred) => return Err(ReadError::Deferred),
                // The items may be in memory that is gone, as in a file that was cut off.
                Err(error) => self.fail(error),
                Ok(()) => {}
            }
            self.push("]");
        }
        self.push(">");
        Ok(())
    }

    /// `PyArray_Descr { typeobj, char kind, type, byteorder, flags, int type_num, … }`; the size of an item is an `int` behind
    /// that up to 1.26, and a word behind wider flags from 2.0 on.
    fn item_type(&mut self, described: Addr) -> Result<Items, ReadError> {
        let ty = self.type_of(described)?;
        let (kind, order): (u8, u8) = (self.word(described, 8)?, self.word(described, 10)?);
        let size = match self.size_behind_header(&ty) {
            OLD_DESCRIPTION => i64::from(self.word::<i32>(described, 16)?),
            _ => self.word(described, 24)?,
        };
        let size = usize::try_from(size).map_err(|_| ReadError::Invalid("dtype"))?;
        let big = order == b'>';
        let sign = if big { '>' } else { '<' };
        let name = match (kind, Number::of_numpy(kind, size)) {
            (b'i' | b'u' | b'f' | b'c', _) if big => format!(">{}{size}", char::from(kind)),
            (b'b', _) => "bool".to_owned(),
            (b'i', _) => format!("int{}", size.saturating_mul(8)),
            (b'u', _) => format!("uint{}", size.saturating_mul(8)),
            (b'f', _) => format!("float{}", size.saturating_mul(8)),
            (b'c', _) => format!("complex{}", size.saturating_mul(8)),
            (b'O', _) => "object".to_owned(),
            (b'S', _) => format!("|S{size}"),
            (b'U', _) => format!("{sign}U{}", size / 4),
            (b'V', _) => format!("|V{size}"),
            (b'M', _) => "datetime64".to_owned(),
            (b'm', _) => "timedelta64".to_owned(),
            _ => ty.name().to_owned(),
        };
        Ok(Items { name, kind, size, big })
    }

    fn numpy_items(&mut self, object: Addr, shape: &Shape, items: &Items) -> Result<(), ReadError> {
        let total = shape.total().ok_or(ReadError::TooLarge)?;
        if total == 0 {
            return Ok(());
        }
        let shown = total.min(self.limits().items as u64);
        let places: Vec<Addr> = (0..shown).map(|index| shape.at(index)).collect();
        let first = places.iter().min().copied().unwrap_or_default();
        let last = places.iter().max().copied().unwrap_or_default();
        if last.0 - first.0 < SPAN_BYTES {
            self.objects().cache.bytes(first, (last.0 - first.0) as usize + items.size)?;
        } else {
            self.objects().cache.prefetch(places.iter().map(|addr| Extent { addr: *addr, len: items.size }));
        }
        let mut data = Vec::new();
        for place in &places {
            let bytes = self.objects().cache.bytes(*place, items.size);
            data.extend(self.later(bytes)?);
        }
        if self.deferred {
            return Err(ReadError::Deferred);
        }
        let total = usize::try_from(total).map_err(|_| ReadError::TooLarge)?;
        match Number::of_numpy(items.kind, items.size) {
            Some(number) => {
                let number = number.with_order(items.big);
                self.numbers(data.iter().map(|bytes| &**bytes), number, total);
            }
            None if items.kind == b'O' => {
                let objects: Vec<Addr> = data.iter().filter_map(|bytes| Addr::from_bytes(bytes)).collect();
                self.nested(object, "...", |writer| {
                    writer.items(&objects, total);
                    Ok(())
                })?;
            }
            None => self.numpy_texts(data.iter().map(|bytes| &**bytes), items, total)?,
        }
        Ok(())
    }

    /// Texts, which are filled up with zeros.
    fn numpy_texts<'b>(
        &mut self,
        texts: impl Iterator<Item = &'b [u8]>,
        items: &Items,
        total: usize,
    ) -> Result<(), ReadError> {
        let width = if items.kind == b'S' { 1 } else { 4 };
        let mut shown = 0;
        let mut is_secret = false;
        for text in texts {
            if self.room() == 0 {
                break;
            }
            let used = text.chunks_exact(width).rposition(|unit| unit.iter().any(|byte| *byte != 0));
            let used = text.get(..used.map_or(0, |last| (last + 1) * width)).unwrap_or_default();
            self.push(if shown > 0 { ", " } else { "" });
            // As in any sequence: what follows the name of a secret is one.
            is_secret = match is_secret {
                true => {
                    self.push(REDACTED);
                    false
                }
                false => self.packed_text(used, width, used.len() / width)?,
            };
            shown += 1;
        }
        if total > shown {
            self.push(&format!("{}<{} more>", if shown > 0 { ", " } else { "" }, total - shown));
        }
        Ok(())
    }

    /// `numpy.float64(1.5)`: a header, then the number (`numpy/arrayscalars.h`). `None` for other types.
    pub(super) fn numpy_scalar(&mut self, object: Addr, type_name: &str) -> Option<Result<(), ReadError>> {
        let (kind, size) = match type_name.strip_prefix("numpy.")? {
            "bool" | "bool_" => (b'b', 1),
            "int8" => (b'i', 1),
            "int16" => (b'i', 2),
            "int32" | "intc" => (b'i', 4),
            "int64" | "longlong" => (b'i', 8),
            "uint8" => (b'u', 1),
            "uint16" => (b'u', 2),
            "uint32" | "uintc" => (b'u', 4),
            "uint64" | "ulonglong" => (b'u', 8),
            "float16" => (b'f', 2),
            "float32" => (b'f', 4),
            "float64" => (b'f', 8),
            "complex64" => (b'c', 8),
            "complex128" => (b'c', 16),
            _ => return None,
        };
        let number = Number::of_numpy(kind, size)?;
        let start = object.offset(u64::from(self.layout().object.size));
        Some(self.objects().cache.bytes(start, size).map(|bytes| {
            let text = number.text(&bytes);
            let bare = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(&text);
            self.push(&format!("{type_name}({bare})"));
        }))
    }
}

impl Items {
    /// True when what the items are can be said.
    fn is_shown(&self) -> bool {
        let is_text = match self.kind {
            b'S' => self.size <= ITEM_BYTES,
            b'U' => self.size <= ITEM_BYTES && self.size.is_multiple_of(4) && !self.big,
            b'O' => self.size == 8,
            _ => false,
        };
        is_text || Number::of_numpy(self.kind, self.size).is_some()
    }
}
