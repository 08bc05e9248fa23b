//! Functions, methods and `functools.partial`: what they call, and what they carry.

use super::Objects;
use crate::base::{Addr, Field};
use crate::target::ReadError;

/// Longest name of a function written in C, in bytes.
const C_NAME_BYTES: usize = 256;
/// How deep partials and contexts lie within each other.
const DEPTH: usize = 8;

/// Something that can be called, as far as it is of a kind that carries other objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callable {
    /// A function written in Python.
    Function,
    /// A bound method: the function, and what it is bound to.
    Method(Addr, Addr),
    /// A function written in C: its name, and what it is bound to, a module or an instance.
    Builtin(String, Option<Addr>),
    /// `functools.partial`: what it calls, and a tuple of arguments.
    Partial(Addr, Addr),
    /// Anything else.
    Other,
}

impl Objects<'_> {
    /// What kind of thing to call an object is.
    pub fn callable(&self, object: Addr) -> Result<Callable, ReadError> {
        let layout = &self.layout.value;
        let missing = ReadError::Invalid("layout");
        Ok(match &*self.type_name(object)? {
            "function" => Callable::Function,
            "method" => {
                let (function, bound_to) = (layout.method_function.ok_or(missing)?, layout.method_self.ok_or(missing)?);
                Callable::Method(self.field(object, function)?, self.field(object, bound_to)?)
            }
            "builtin_function_or_method" | "builtin_method" => {
                let (definition, bound_to) =
                    (layout.c_function_definition.ok_or(missing)?, layout.c_function_self.ok_or(missing)?);
                let definition = self.field(object, definition)?;
                let name = Addr(self.field(definition, Field::<u64>::new(0))?);
                Callable::Builtin(self.c_string(name, C_NAME_BYTES)?, self.field(object, bound_to)?.non_null())
            }
            // `partialobject { fn, args, kw }` (`Modules/_functoolsmodule.c`).
            "functools.partial" => Callable::Partial(self.word(object, 0)?, self.word(object, 8)?),
            _ => Callable::Other,
        })
    }

    /// `__qualname__` of a function written in Python.
    pub fn function_name(&self, function: Addr) -> Result<String, ReadError> {
        let field = self.layout.value.function_qualname.ok_or(ReadError::Invalid("layout"))?;
        self.checked_str(self.field(function, field)?)
    }

    /// What people call a function by: `Class.method`, `time.sleep`, and of a `partial`, or of a function that is run in a
    /// context, the function in it.
    pub fn callable_name(&self, object: Addr) -> Result<String, ReadError> {
        let mut object = object;
        for _ in 0..DEPTH {
            match self.callable(object)? {
                Callable::Function => return self.function_name(object),
                Callable::Method(function, _) => object = function,
                Callable::Partial(function, args) => {
                    let first = self.tuple_items(args, 1)?.0.first().copied();
                    object = match (self.callable(function)?, first) {
                        (Callable::Builtin(name, Some(context)), Some(first))
                            if name == "run" && self.is_context(context)? =>
                        {
                            first
                        }
                        _ => function,
                    };
                }
                Callable::Builtin(name, bound_to) => return self.builtin_name(name, bound_to),
                Callable::Other => {
                    let name = self.type_name(object)?;
                    return match &*name {
                        "type" => Ok(self.name_of_type(object)?.to_string()),
                        _ => Ok(name.to_string()),
                    };
                }
            }
        }
        Err(ReadError::TooLarge)
    }

    /// `contextvars.Context`, whose `tp_name` has the module since 3.8 or so.
    fn is_context(&self, object: Addr) -> Result<bool, ReadError> {
        Ok(self.type_name(object)?.rsplit('.').next() == Some("Context"))
    }

    fn builtin_name(&self, name: String, bound_to: Option<Addr>) -> Result<String, ReadError> {
        let Some(bound_to) = bound_to else { return Ok(name) };
        let owner = match &*self.type_name(bound_to)? {
            "module" => {
                let dict = self.field(bound_to, self.layout.module.md_dict)?;
                match self.dict_get(dict, "__name__")? {
                    Some(module) => self.checked_str(module)?,
                    None => return Ok(name),
                }
            }
            ty => ty.to_owned(),
        };
        Ok(if owner == "builtins" { name } else { format!("{owner}.{name}") })
    }

    /// The value of a `float`.
    pub fn float(&self, object: Addr) -> Result<f64, ReadError> {
        let field = self.layout.value.float.ok_or(ReadError::Invalid("layout"))?;
        match &*self.type_name(object)? {
            "float" => Ok(f64::from_bits(self.field(object, field)?)),
            _ => Err(ReadError::Invalid("float")),
        }
    }
}
