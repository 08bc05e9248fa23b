//! Who awaits a task: CPython's own record where there is one (3.14 on), and what the task's callbacks lead to.

use super::functions::{bound_method, free_variables};
use super::tasks::read_future;
use super::types::{Kind, Types};
use crate::base::{Addr, AddrMap, limits};
use crate::target::ReadError;
use std::cell::RefCell;
use std::rc::Rc;

/// Futures that are passed on the way from a callback to a task.
const FUTURES: usize = 16;

/// Functions of asyncio that are called when something is done, with the variable by which each knows the future that
/// somebody waits for.
const PASS_ON: &[(&str, &str)] = &[
    ("gather.<locals>._done_callback", "outer"),
    // Late releases of 3.9.
    ("_gather.<locals>._done_callback", "outer"),
    ("shield.<locals>._inner_done_callback", "outer"),
    ("_wait.<locals>._on_completion", "waiter"),
];

/// Follows callbacks to tasks; what many of them share is followed once.
pub(super) struct Edges<'t, 'o, 'c> {
    types: &'t Types<'o, 'c>,
    /// Tasks that a callback leads to.
    known: RefCell<AddrMap<Rc<[Addr]>>>,
}

impl<'t, 'o, 'c> Edges<'t, 'o, 'c> {
    pub(super) fn new(types: &'t Types<'o, 'c>) -> Edges<'t, 'o, 'c> {
        Edges { types, known: RefCell::default() }
    }

    /// The tasks that wait for something with these callbacks, and with this record of its own.
    pub(super) fn waiting(&self, recorded: &[Addr], callbacks: &[Addr]) -> Result<Vec<Addr>, ReadError> {
        let mut tasks = Vec::new();
        let mut missing = Ok(());
        for future in recorded {
            match self.types.of(*future) {
                Ok(ty) if ty.kind.is_task() => tasks.push(*future),
                Ok(_) => {}
                Err(error) => missing = Err(error),
            }
        }
        if tasks.is_empty() {
            for callback in callbacks {
                match self.of_callback(*callback, FUTURES) {
                    Ok(found) => tasks.extend(found.iter().copied()),
                    Err(error) => missing = Err(error),
                }
            }
        }
        missing?;
        tasks.sort_unstable();
        tasks.dedup();
        self.types.charge(tasks.len())?;
        Ok(tasks)
    }

    fn of_callback(&self, callback: Addr, depth: usize) -> Result<Rc<[Addr]>, ReadError> {
        if let Some(known) = self.known.borrow().get(&callback) {
            return Ok(known.clone());
        }
        // Who comes back to it on the way has come round in a circle.
        self.known.borrow_mut().insert(callback, Rc::default());
        match self.follow(callback, depth) {
            Ok(found) => {
                let found: Rc<[Addr]> = found.into();
                self.known.borrow_mut().insert(callback, found.clone());
                Ok(found)
            }
            Err(error) => {
                self.known.borrow_mut().remove(&callback);
                Err(error)
            }
        }
    }

    fn follow(&self, callback: Addr, depth: usize) -> Result<Vec<Addr>, ReadError> {
        let objects = self.types.objects;
        match &*objects.type_name(callback)? {
            // `TaskWakeupMethWrapper { task }` of 3.7 to 3.9.
            name if name.ends_with("TaskWakeupMethWrapper") => {
                let task = objects.first_word(callback)?;
                self.if_task(task)
            }
            // From 3.10 on a method of the task that only C code knows.
            "builtin_function_or_method" | "builtin_method" => {
                match objects.layout.value.c_function_self.map(|field| objects.field(callback, field)).transpose()? {
                    Some(task) => self.if_task(task),
                    None => Ok(Vec::new()),
                }
            }
            "method" => self.of_method(callback, depth),
            "function" => self.of_function(callback, depth),
            // `functools.partial(_release_waiter, waiter)` of `wait_for`, up to 3.11.
            "functools.partial" => {
                let arguments =
                    objects.field(callback, crate::base::Field::<Addr>::new(objects.layout.object.size + 8))?;
                match objects.tuple_items(arguments, 1)?.0.first() {
                    Some(future) => self.of_future(*future, depth),
                    None => Ok(Vec::new()),
                }
            }
            _ => Ok(Vec::new()),
        }
    }

    fn if_task(&self, object: Addr) -> Result<Vec<Addr>, ReadError> {
        if !object.is_plausible() {
            return Ok(Vec::new());
        }
        Ok(if self.types.of(object)?.kind.is_task() { vec![object] } else { Vec::new() })
    }

    /// `Task.__wakeup` of a task written in Python, `TaskGroup._on_task_done`.
    fn of_method(&self, callback: Addr, _depth: usize) -> Result<Vec<Addr>, ReadError> {
        let objects = self.types.objects;
        let Some((name, instance)) = bound_method(objects, callback)? else { return Ok(Vec::new()) };
        match &*name {
            "TaskGroup._on_task_done" => {
                let [parent] = objects.instance_attributes(instance, ["_parent_task"])?;
                parent.map_or(Ok(Vec::new()), |parent| self.if_task(parent))
            }
            name if name.ends_with("__wakeup") => self.if_task(instance),
            _ => Ok(Vec::new()),
        }
    }

    fn of_function(&self, callback: Addr, depth: usize) -> Result<Vec<Addr>, ReadError> {
        let objects = self.types.objects;
        let Some(field) = objects.layout.value.function_qualname else { return Ok(Vec::new()) };
        let name = objects.checked_str(objects.field(callback, field)?)?;
        let Some((_, variable)) = PASS_ON.iter().find(|(function, _)| *function == name) else { return Ok(Vec::new()) };
        let variables = free_variables(objects, callback)?;
        match variables.iter().find(|(name, _)| &**name == *variable) {
            Some((_, future)) => self.of_future(*future, depth),
            None => Ok(Vec::new()),
        }
    }

    /// The tasks that wait for a future.
    fn of_future(&self, future: Addr, depth: usize) -> Result<Vec<Addr>, ReadError> {
        let Some(depth) = depth.checked_sub(1) else { return Ok(Vec::new()) };
        let kind = self.types.of(future)?.kind;
        if kind == Kind::Other {
            return Ok(Vec::new());
        }
        let Some(facts) = read_future(self.types, future)? else { return Ok(Vec::new()) };
        let mut tasks = Vec::new();
        for callback in facts.callbacks.iter().take(limits::TASKS) {
            tasks.extend(self.of_callback(*callback, depth)?.iter().copied());
        }
        Ok(tasks)
    }
}
