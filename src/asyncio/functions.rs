//! Functions as callbacks: what they are called, and what they know.

use crate::base::Addr;
use crate::objects::Objects;
use crate::target::ReadError;
use std::rc::Rc;

/// Free variables of one function.
const FREE_VARIABLES: usize = 64;
/// Variables of all kinds of one function.
const VARIABLES: usize = 4096;
/// `CO_FAST_FREE` (`Include/internal/pycore_code.h`, 3.11 on).
const FAST_FREE: u8 = 0x80;

/// The `__qualname__` of a bound method's function, and the instance.
pub(super) fn bound_method(objects: &Objects<'_>, method: Addr) -> Result<Option<(Rc<str>, Addr)>, ReadError> {
    let layout = &objects.layout.value;
    let (Some(function), Some(instance), Some(qualname)) =
        (layout.method_function, layout.method_self, layout.function_qualname)
    else {
        return Ok(None);
    };
    let (function, instance) = (objects.field(method, function)?, objects.field(method, instance)?);
    match &*objects.type_name(function)? {
        "function" => {
            let name = objects.checked_str(objects.field(function, qualname)?)?;
            Ok(Some((name.into(), instance)))
        }
        _ => Ok(None),
    }
}

/// The variables of outer functions that a function uses, with what they hold.
pub(super) fn free_variables(objects: &Objects<'_>, function: Addr) -> Result<Vec<(Rc<str>, Addr)>, ReadError> {
    let layout = &objects.layout.value;
    let (Some(closure), Some(code)) = (layout.function_closure, layout.function_code) else { return Ok(Vec::new()) };
    let Some(closure) = objects.field(function, closure)?.non_null() else { return Ok(Vec::new()) };
    let names = free_names(objects, objects.field(function, code)?)?;
    let (cells, _) = objects.tuple_items(closure, FREE_VARIABLES)?;
    let mut variables = Vec::new();
    for (name, cell) in names.into_iter().zip(cells) {
        let Some(content) = objects.first_word(cell)?.non_null() else { continue };
        variables.push((objects.checked_str(name)?.into(), content));
    }
    Ok(variables)
}

/// The names of a code's free variables, in the order of the closure.
fn free_names(objects: &Objects<'_>, code: Addr) -> Result<Vec<Addr>, ReadError> {
    let layout = &objects.layout.code;
    let tuple = |field| match field {
        Some(field) => objects.field(code, field).map(Addr::non_null),
        None => Ok(None),
    };
    if let Some(names) = tuple(layout.freevars)? {
        return Ok(objects.tuple_items(names, FREE_VARIABLES)?.0);
    }
    let (Some(names), Some(kinds)) = (tuple(layout.localsplusnames)?, tuple(layout.localspluskinds)?) else {
        return Ok(Vec::new());
    };
    let kinds = objects.bytes_object(kinds, VARIABLES)?;
    let (names, _) = objects.tuple_items(names, VARIABLES)?;
    Ok(names.into_iter().zip(kinds.iter()).filter(|(_, kind)| *kind & FAST_FREE != 0).map(|(name, _)| name).collect())
}
