//! `_Py_AsyncioDebug`: the table by which asyncio's C code describes itself, from 3.14 on (`Modules/_asynciomodule.c`).
//!
//! It has neither a cookie nor a version, lies in a section of its own, `.AsyncioDebug`, and is part of whatever the C code
//! of asyncio is part of: an extension module, the executable, a shared libpython. 3.14 and 3.15 have the same members.

use super::Runtime;
use super::find::matching_file;
use crate::base::{Addr, FieldValue};
use crate::elf::Image;
use crate::os::{Module, Modules};
use crate::target::Memory;

/// The section it is in.
const SECTION: &str = ".AsyncioDebug";
/// Its members, each a `uint64_t`.
const MEMBERS: usize = 13;
/// No `Task` comes near this size, in bytes; neither do thread states and interpreters come near theirs.
const SANE_TASK: u64 = 1 << 12;
const SANE_STATE: u64 = 1 << 24;

/// Offsets in bytes, checked to lie within the sizes that come with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsyncioDebug {
    /// `sizeof(TaskObj)`: `tp_basicsize` of the type it is about.
    pub task_size: u32,
    /// `task_name`.
    pub name: u32,
    /// `task_awaited_by`: a task, or a set of tasks.
    pub awaited_by: u32,
    /// `task_awaited_by_is_set`, a `char`.
    pub awaited_by_is_set: u32,
    /// `task_coro`.
    pub coro: u32,
    /// `task_node`, by which tasks are linked.
    pub node: u32,
    /// `asyncio_tasks_head` in a `PyInterpreterState`.
    pub interpreter_tasks: u32,
    /// `asyncio_running_loop` in a `_PyThreadStateImpl`.
    pub running_loop: u32,
    /// `asyncio_running_task` there.
    pub running_task: u32,
    /// `asyncio_tasks_head` there.
    pub thread_tasks: u32,
}

/// Looks for the table in the files that may have asyncio's C code: the runtime's own, and those named like asyncio. `None`
/// when there is none, as before 3.14, or until asyncio is imported; or when the files are no longer those that are mapped.
pub fn find_asyncio(modules: &Modules, memory: &dyn Memory, runtime: &Runtime) -> Option<AsyncioDebug> {
    let may_have = |module: &&Module| {
        let name = module.path.rsplit('/').next().unwrap_or_default();
        module.path == runtime.module || name.contains("asyncio")
    };
    modules.files.iter().filter(may_have).find_map(|module| in_module(module, memory))
}

fn in_module(module: &Module, memory: &dyn Memory) -> Option<AsyncioDebug> {
    let base = module.base?;
    let file = matching_file(module, base, memory)?;
    let image = Image::parse(&file).ok()?;
    let section = image.section(SECTION).filter(|section| section.size >= (MEMBERS * 8) as u64)?;
    let mut bytes = [0; MEMBERS * 8];
    memory.read(Addr(section.addr.wrapping_add(image.bias(base)?)), &mut bytes).ok()?;
    parse(&bytes)
}

/// The table, when each offset in it is one that it can be.
fn parse(bytes: &[u8]) -> Option<AsyncioDebug> {
    let mut words = bytes.chunks_exact(8).map_while(u64::from_bytes);
    let mut word = || words.next();
    let within = |offset: u64, size: u64, width: u64| {
        let fits = offset.checked_add(width)? <= size && offset.is_multiple_of(width);
        fits.then(|| u32::try_from(offset).ok()).flatten()
    };
    let task = word()?.min(SANE_TASK);
    let [name, awaited_by, _is_task, is_set, coro, node] = [word()?, word()?, word()?, word()?, word()?, word()?];
    let interpreter = word()?.min(SANE_STATE);
    let interpreter_tasks = word()?;
    let thread = word()?.min(SANE_STATE);
    let [running_loop, running_task, thread_tasks] = [word()?, word()?, word()?];
    Some(AsyncioDebug {
        task_size: u32::try_from(task).ok()?,
        name: within(name, task, 8)?,
        awaited_by: within(awaited_by, task, 8)?,
        awaited_by_is_set: within(is_set, task, 1)?,
        coro: within(coro, task, 8)?,
        node: within(node, task, 8)?,
        interpreter_tasks: within(interpreter_tasks, interpreter, 8)?,
        running_loop: within(running_loop, thread, 8)?,
        running_task: within(running_task, thread, 8)?,
        thread_tasks: within(thread_tasks, thread, 8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As 3.14.10 has it.
    const WORDS: [u64; MEMBERS] = [168, 136, 96, 108, 109, 128, 152, 20_000, 10_880, 912, 864, 872, 880];

    fn bytes(words: [u64; MEMBERS]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn the_members_come_in_the_order_of_the_source() {
        let debug = parse(&bytes(WORDS)).unwrap();
        assert_eq!((debug.task_size, debug.name, debug.awaited_by, debug.awaited_by_is_set), (168, 136, 96, 109));
        assert_eq!((debug.coro, debug.node, debug.interpreter_tasks), (128, 152, 10_880));
        assert_eq!((debug.running_loop, debug.running_task, debug.thread_tasks), (864, 872, 880));
    }

    #[test]
    fn offsets_that_cannot_be_are_refused() {
        for (member, value) in [(1, 168), (2, 100), (5, u64::MAX), (6, 164), (8, 20_000), (10, 905), (12, 1 << 40)] {
            let mut words = WORDS;
            words[member] = value;
            assert_eq!(parse(&bytes(words)), None, "member {member} = {value}");
        }
        assert_eq!(parse(&bytes(WORDS)[..96]), None);
    }
}
