//! Finding tasks and running loops: where asyncio keeps them.
//!
//! Up to 3.13 `asyncio.tasks` and `_asyncio` have weak sets of all tasks, a set of eager ones that have not been suspended
//! yet, and a dict of the task that each loop runs. From 3.14 on tasks made by C code are linked into a list of their
//! thread's, and into one of the interpreter's when the thread has ended; the sets have the others.

use super::types::{Kind, Types};
use crate::base::{Addr, AddrMap, Field, FieldValue, Problem, ProblemKind, limits};
use crate::cpython::layout::TaskOffsets;
use crate::cpython::{AsyncioDebug, RunningLoop};
use crate::interp::{CircleGuard, RawInterpreter, World};
use crate::objects::Objects;
use crate::target::{Extent, ReadError};

/// Modules that have the registries.
const MODULES: [&str; 2] = ["asyncio.tasks", "_asyncio"];
/// Distance of one task to the next at which others are expected behind it, and how many bytes are read ahead for them.
const NEAR: u64 = 4 << 10;
const AHEAD: usize = 16 << 10;

/// A task as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FoundTask {
    pub(super) address: Addr,
    /// Id of the interpreter it belongs to.
    pub(super) interpreter: i64,
    /// The thread on whose list it is.
    pub(super) thread: Option<Addr>,
}

/// A loop that a thread runs, or that has a current task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FoundLoop {
    pub(super) address: Addr,
    pub(super) interpreter: i64,
    pub(super) thread: Option<Addr>,
    pub(super) current: Option<Addr>,
}

/// Everything that was found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) tasks: Vec<FoundTask>,
    pub(super) loops: Vec<FoundLoop>,
    pub(super) problems: Vec<Problem>,
    /// Where in `tasks` each is.
    known: AddrMap<usize>,
}

impl Found {
    /// Adds a task, unless it was found already.
    pub(super) fn add(&mut self, task: FoundTask) {
        if self.tasks.len() >= limits::TASKS {
            return;
        }
        match self.known.get(&task.address).copied() {
            Some(index) => {
                if let Some(known) = self.tasks.get_mut(index) {
                    known.thread = known.thread.or(task.thread);
                }
            }
            None => {
                self.known.insert(task.address, self.tasks.len());
                self.tasks.push(task);
            }
        }
    }

    fn add_loop(&mut self, found: FoundLoop) {
        match self.loops.iter_mut().find(|known| known.address == found.address) {
            Some(known) => {
                known.thread = known.thread.or(found.thread);
                known.current = known.current.or(found.current);
            }
            None => self.loops.push(found),
        }
    }

    fn problem(&mut self, what: &str, error: ReadError) {
        let kind = match error {
            ReadError::TooLarge => ProblemKind::Limit,
            ReadError::Invalid(_) | ReadError::Unmapped => ProblemKind::Invalid,
            _ => ProblemKind::Unreadable,
        };
        self.problems.push(Problem::new(kind, format!("{what}: {error}")));
    }
}

/// Where threads and interpreters keep what they know of asyncio.
pub(super) struct Places {
    running_loop: Option<Field<Addr>>,
    running_task: Option<Field<Addr>>,
    thread_tasks: Option<Field<Addr>>,
    interpreter_tasks: Option<Field<Addr>>,
}

impl Places {
    pub(super) fn new(objects: &Objects<'_>, debug: Option<AsyncioDebug>) -> Places {
        let place = |of: fn(AsyncioDebug) -> u32| debug.map(|debug| Field::new(of(debug)));
        Places {
            running_loop: match objects.quirks.running_loop {
                RunningLoop::Dict => None,
                RunningLoop::BehindThread => Some(Field::new(objects.layout.thread.size)),
                RunningLoop::Debug => place(|debug| debug.running_loop),
            },
            running_task: place(|debug| debug.running_task),
            thread_tasks: place(|debug| debug.thread_tasks),
            interpreter_tasks: place(|debug| debug.interpreter_tasks),
        }
    }
}

/// Looks through all interpreters.
pub(super) fn discover(types: &Types<'_, '_>, world: &World, debug: Option<AsyncioDebug>) -> Found {
    let mut found = Found::default();
    let places = Places::new(types.objects, debug);
    for interpreter in &world.interpreters {
        let in_interpreter = in_interpreter(types, interpreter, &places, debug, &mut found);
        if let Err(error) = in_interpreter {
            found.problem("asyncio's tasks", error);
        }
    }
    if found.tasks.len() >= limits::TASKS {
        let message = format!("more than {} asyncio tasks: the others are not shown", limits::TASKS);
        found.problems.push(Problem::new(ProblemKind::Limit, message));
    }
    found
}

/// The namespaces of the modules that have the registries, as far as they are loaded.
pub(super) fn namespaces(objects: &Objects<'_>, interpreter: &RawInterpreter) -> Result<Vec<Addr>, ReadError> {
    let modules = objects.field(interpreter.address, objects.layout.interp.modules)?;
    let mut namespaces = Vec::new();
    if modules.is_null() {
        return Ok(namespaces);
    }
    for name in MODULES {
        if let Some(module) = objects.dict_get(modules, name)?
            && let Ok(namespace) = objects.module_dict(module)
            && !namespace.is_null()
        {
            namespaces.push(namespace);
        }
    }
    Ok(namespaces)
}

fn in_interpreter(
    types: &Types<'_, '_>,
    interpreter: &RawInterpreter,
    places: &Places,
    debug: Option<AsyncioDebug>,
    found: &mut Found,
) -> Result<(), ReadError> {
    let objects = types.objects;
    let namespaces = namespaces(objects, interpreter)?;
    if namespaces.is_empty() {
        return Ok(());
    }
    if objects.quirks.running_loop == RunningLoop::Debug && debug.is_none() && namespaces.len() == MODULES.len() {
        let message = "asyncio's lists of tasks were not found: the file that has its C code is no longer there, or it has \
                       no section .AsyncioDebug";
        found.problems.push(Problem::new(ProblemKind::Unreadable, message));
    }
    running_loops(objects, interpreter, places, found);
    for namespace in &namespaces {
        for name in ["_all_tasks", "_scheduled_tasks", "_eager_tasks", "_current_tasks"] {
            let registry = objects.dict_get(*namespace, name)?;
            if let Some(registry) = registry
                && let Err(error) = in_registry(objects, registry, interpreter.id, found)
            {
                found.problem(&format!("asyncio's {name}"), error);
            }
        }
    }
    if let Some(node) = node_offset(types, &namespaces, debug)? {
        in_lists(objects, interpreter, places, node, found);
    }
    Ok(())
}

/// Loops that threads run, with the task where the thread knows it.
fn running_loops(objects: &Objects<'_>, interpreter: &RawInterpreter, places: &Places, found: &mut Found) {
    let threads: Vec<Addr> = interpreter.threads.iter().map(|thread| thread.address).collect();
    let running = objects.cache.batched(&threads, |thread| running_loop(objects, places, *thread));
    for (thread, running) in threads.into_iter().zip(running) {
        match running {
            Ok(None) => {}
            Ok(Some((address, current))) => {
                let is_none = objects.type_name(address).is_ok_and(|name| &*name == "NoneType");
                if !is_none {
                    found.add_loop(FoundLoop { address, interpreter: interpreter.id, thread: Some(thread), current });
                    add_current(found, current, interpreter.id, Some(thread));
                }
            }
            Err(error) => found.problem("a thread's running event loop", error),
        }
    }
}

/// The loop that a thread runs, with the task where the thread knows it.
pub(super) fn running_loop(
    objects: &Objects<'_>,
    places: &Places,
    thread: Addr,
) -> Result<Option<(Addr, Option<Addr>)>, ReadError> {
    let Some(field) = places.running_loop else {
        let of_dict = objects.quirks.running_loop == RunningLoop::Dict;
        let event_loop = if of_dict { loop_of_thread_dict(objects, thread)? } else { None };
        return Ok(event_loop.map(|event_loop| (event_loop, None)));
    };
    let Some(event_loop) = objects.field(thread, field)?.non_null() else { return Ok(None) };
    let task = places.running_task.map(|field| objects.field(thread, field)).transpose()?;
    Ok(Some((event_loop, task.and_then(Addr::non_null))))
}

fn add_current(found: &mut Found, current: Option<Addr>, interpreter: i64, thread: Option<Addr>) {
    if let Some(address) = current {
        found.add(FoundTask { address, interpreter, thread });
    }
}

/// Up to 3.12 the running loop is in the thread's dict, up to 3.11 in a holder with the id of the process
/// (`PyRunningLoopHolder { PyObject *rl_loop; pid_t rl_pid }`, `Modules/_asynciomodule.c`).
fn loop_of_thread_dict(objects: &Objects<'_>, thread: Addr) -> Result<Option<Addr>, ReadError> {
    let Some(field) = objects.layout.thread.dict else { return Ok(None) };
    let Some(dict) = objects.field(thread, field)?.non_null() else { return Ok(None) };
    let Some(value) = objects.dict_get(dict, "__asyncio_running_event_loop__")? else { return Ok(None) };
    match objects.type_name(value)?.rsplit('.').next() {
        Some("_RunningLoopHolder" | "PyRunningLoopHolder") => Ok(objects.first_word(value)?.non_null()),
        _ => Ok(Some(value)),
    }
}

/// Tasks in a weak set, a set, or the values of a dict by loop.
fn in_registry(objects: &Objects<'_>, registry: Addr, interpreter: i64, found: &mut Found) -> Result<(), ReadError> {
    let task = |address| FoundTask { address, interpreter, thread: None };
    match &*objects.type_name(registry)? {
        "WeakSet" => {
            let [data] = objects.instance_attributes(registry, ["data"])?;
            let Some(data) = data else { return Ok(()) };
            let references = objects.set_items(data, limits::TASKS)?;
            let referents = objects.cache.batched(&references, |reference| objects.first_word(*reference));
            for referent in referents {
                let referent = referent?;
                // What a reference to an object that is gone refers to is None, of whatever type a task is not.
                found.add(task(referent));
            }
            Ok(())
        }
        "set" => {
            objects.set_items(registry, limits::TASKS)?.into_iter().for_each(|address| found.add(task(address)));
            Ok(())
        }
        "dict" => {
            for entry in objects.dict(registry)?.entries() {
                let current = Some(entry.value);
                found.add_loop(FoundLoop { address: entry.key, interpreter, thread: None, current });
                add_current(found, current, interpreter, None);
            }
            Ok(())
        }
        // The names are None while the interpreter shuts down.
        _ => Ok(()),
    }
}

/// Where tasks are linked into lists, if they are.
fn node_offset(
    types: &Types<'_, '_>,
    namespaces: &[Addr],
    debug: Option<AsyncioDebug>,
) -> Result<Option<u32>, ReadError> {
    for namespace in namespaces {
        if let Some(class) = types.objects.dict_get(*namespace, "Task")?
            && let Kind::Task(TaskOffsets { node, .. }) = types.instances_of(class)?
        {
            return Ok(node);
        }
    }
    Ok(debug.map(|debug| debug.node))
}

/// Tasks in the lists of threads, and in that of the interpreter.
fn in_lists(objects: &Objects<'_>, interpreter: &RawInterpreter, places: &Places, node: u32, found: &mut Found) {
    let mut heads = Vec::new();
    if let Some(field) = places.thread_tasks {
        heads.extend(interpreter.threads.iter().map(|thread| (field.of(thread.address), Some(thread.address))));
    }
    heads.extend(places.interpreter_tasks.map(|field| (field.of(interpreter.address), None)));
    objects.cache.prefetch(heads.iter().map(|(head, _)| Extent { addr: *head, len: 16 }));
    for (head, thread) in heads {
        let mut tasks = Vec::new();
        if let Err(error) = walk_list(objects, head, node, &mut tasks) {
            found.problem("a list of asyncio tasks", error);
        }
        for address in tasks {
            found.add(FoundTask { address, interpreter: interpreter.id, thread });
        }
    }
}

/// The tasks of one circular list (`struct llist_node { next, prev }`, `Include/internal/pycore_llist.h`). A list that
/// nothing was ever put into may have a head of zeros.
fn walk_list(objects: &Objects<'_>, head: Addr, node: u32, tasks: &mut Vec<Addr>) -> Result<(), ReadError> {
    let next_of = |node: Addr| Addr::from_bytes(&objects.cache.bytes(node, 8)?).ok_or(ReadError::Unmapped);
    let mut next = next_of(head)?;
    let mut last = head;
    let mut guard = CircleGuard::default();
    while !next.is_null() && next != head {
        if tasks.len() >= limits::TASKS {
            return Err(ReadError::TooLarge);
        }
        guard.step(next, "list: it goes round in a circle")?;
        let task = next.back(u64::from(node));
        if !task.is_plausible() {
            return Err(ReadError::Invalid("pointer to a task"));
        }
        if !objects.cache.has(task, node as usize + 16) {
            let len = if next.0.wrapping_sub(last.0) <= NEAR { AHEAD } else { 0 };
            // Tasks made one after the other often lie near each other. It only saves reads.
            objects.cache.prefetch([Extent { addr: task, len: len.max(node as usize + 16) }]);
        }
        tasks.push(task);
        last = next;
        next = next_of(next)?;
    }
    Ok(())
}
