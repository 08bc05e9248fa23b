//! Functions, methods, classes, modules and `functools.partial`.

use super::Writer;
use super::types::Type;
use crate::base::Addr;
use crate::target::ReadError;
use std::rc::Rc;

/// Longest name of a function written in C, in bytes.
const C_NAME_BYTES: usize = 256;

impl Writer<'_, '_> {
    /// `<class 'module.Class'>`.
    pub(super) fn class(&mut self, object: Addr) -> Result<(), ReadError> {
        let ty = self.read_type(object)?;
        self.push("<class '");
        self.push_name(&ty.full_name());
        self.push("'>");
        Ok(())
    }

    fn qualname(&self, function: Addr) -> Result<String, ReadError> {
        let field = self.layout().value.function_qualname.ok_or(ReadError::Invalid("layout"))?;
        self.objects().checked_str(self.objects().field(function, field)?)
    }

    /// `__name__` of a function or class; `None` of anything else.
    pub(super) fn bare_name(&mut self, object: Addr, ty: &Type) -> Result<Option<String>, ReadError> {
        match &*ty.tp_name {
            "function" => Ok(self.qualname(object)?.rsplit('.').next().map(str::to_owned)),
            _ if ty.is_class() => Ok(Some(self.read_type(object)?.name().to_owned())),
            _ => Ok(None),
        }
    }

    /// `<function name at 0x…>`.
    pub(super) fn function(&mut self, object: Addr) -> Result<(), ReadError> {
        let name = self.qualname(object)?;
        self.push("<function ");
        self.push_name(&name);
        self.push(&format!(" at {object}>"));
        Ok(())
    }

    /// `<bound method Class.name of …>`.
    pub(super) fn method(&mut self, object: Addr) -> Result<(), ReadError> {
        let layout = &self.layout().value;
        let (Some(function), Some(instance)) = (layout.method_function, layout.method_self) else {
            return Err(ReadError::Invalid("layout"));
        };
        let (function, instance) = (self.objects().field(object, function)?, self.objects().field(object, instance)?);
        let name = match &*self.objects().type_name(function)? {
            "function" => self.qualname(function)?,
            _ => "?".to_owned(),
        };
        let cut = format!("<bound method {name} of ...>");
        self.nested(object, &cut, |writer| {
            writer.push("<bound method ");
            writer.push_name(&name);
            writer.push(" of ");
            writer.object(instance);
            writer.push(">");
            Ok(())
        })
    }

    /// `<built-in function len>`, `<built-in method append of list object at 0x…>`.
    pub(super) fn c_function(&mut self, object: Addr) -> Result<(), ReadError> {
        let layout = &self.layout().value;
        let (Some(definition), Some(bound_to)) = (layout.c_function_definition, layout.c_function_self) else {
            return Err(ReadError::Invalid("layout"));
        };
        let objects = self.objects();
        let definition = objects.field(object, definition)?;
        let bound_to = objects.field(object, bound_to)?;
        let name = Addr(objects.field(definition, crate::base::Field::<u64>::new(0))?);
        let name = objects.c_string(name, C_NAME_BYTES)?;
        let of = match bound_to.non_null() {
            Some(bound_to) => Some(self.type_of(bound_to)?).filter(|ty| &*ty.tp_name != "module"),
            None => None,
        };
        match of {
            None => {
                self.push("<built-in function ");
                self.push_name(&name);
                self.push(">");
            }
            Some(ty) => {
                self.push("<built-in method ");
                self.push_name(&name);
                self.push(" of ");
                self.push_name(ty.name());
                self.push(&format!(" object at {bound_to}>"));
            }
        }
        Ok(())
    }

    /// `<module 'name' from 'file'>`.
    pub(super) fn module(&mut self, object: Addr) -> Result<(), ReadError> {
        let dict = self.objects().field(object, self.layout().module.md_dict)?;
        let (name, file) = (self.objects().dict_get(dict, "__name__"), self.objects().dict_get(dict, "__file__"));
        let (name, file) = (self.later(name)?.flatten(), self.later(file)?.flatten());
        self.push("<module ");
        match name {
            Some(name) => self.object(name),
            None => self.push("?"),
        }
        if let Some(file) = file {
            let type_name = self.objects().type_name(file);
            if self.later(type_name)?.is_some_and(|name| &*name == "str") {
                self.push(" from ");
                self.object(file);
            }
        }
        self.push(">");
        Ok(())
    }

    /// `partialobject { fn, args, kw }` (`Modules/_functoolsmodule.c`).
    pub(super) fn partial(&mut self, object: Addr) -> Result<(), ReadError> {
        self.nested(object, "functools.partial(...)", |writer| {
            let (function, args, keywords) =
                (writer.word(object, 0)?, writer.word(object, 8)?, writer.word(object, 16)?);
            writer.push("functools.partial(");
            writer.object(function);
            let (items, total) = writer.tuple_items(args, writer.limits().items)?;
            if total > 0 {
                writer.push(", ");
                writer.items(&items, total);
            }
            let dict = writer.objects().first_of_dict(keywords, writer.limits().items + 16)?;
            let mut named = Vec::new();
            for entry in dict.entries() {
                let name = writer.objects().checked_str(entry.key);
                named.extend(writer.later(name)?.map(|name| (Rc::from(name), entry.value)));
            }
            writer.named(&named, ", ");
            writer.push(")");
            Ok(())
        })
    }
}
