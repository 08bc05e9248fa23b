//! One thread, read at little cost: for somebody who has stopped it and wants to let it go again soon.

use super::code::read_codes;
use super::collect::walk_some;
use super::gil::GilState;
use super::ids::{Identity, ThreadIds};
use super::threads::{ThreadFacts, read_interpreters, read_runtime, read_threads};
use crate::base::Addr;
use crate::cpython::Runtime;
use crate::objects::Objects;
use crate::os::Tasks;
use crate::target::{Cache, Memory, ReadError};
use std::sync::Arc;

/// Innermost frames that are read. Nobody asks what is further out.
const FRAMES: usize = 16;

/// What is known of a thread.
#[derive(Clone, Debug)]
pub struct ThreadView {
    /// Its thread states, that of the main interpreter first; usually one.
    pub states: Vec<Addr>,
    /// It may run Python code: it holds a GIL, or is attached in a build without.
    pub attached: bool,
    /// All GILs that are in use.
    pub gils: Vec<GilState>,
    /// Ident of the interpreter's main thread, where that is known.
    pub main_thread: Option<u64>,
    /// The runtime is being shut down.
    pub finalizing: bool,
    /// How many interpreters there are.
    pub interpreters: usize,
    /// The main interpreter.
    pub main_interpreter: Addr,
    /// File and function of its innermost Python frames, innermost first; fewer where they could not be read.
    pub frames: Vec<(Arc<str>, Arc<str>)>,
}

/// Reads what there is of the thread with this ident (`threading.get_ident()`), which must stand still.
pub fn view_thread(memory: &dyn Memory, runtime: &Runtime, ident: u64) -> Result<ThreadView, ReadError> {
    let cache = Cache::new(memory);
    let objects = Objects::new(&cache, &runtime.layout, runtime.quirks);
    let facts = read_runtime(&objects, runtime)?;
    let interpreters = read_interpreters(&objects, runtime, facts.interpreters_head, &mut Vec::new())?;
    let main = interpreters.first().ok_or(ReadError::Invalid("list of interpreters"))?.address;
    let mut own: Vec<ThreadFacts> = Vec::new();
    for interpreter in &interpreters {
        let threads = read_threads(&objects, interpreter, &mut Vec::new())?;
        own.extend(threads.into_iter().filter(|thread| thread.ident == ident));
    }
    let mut addresses: Vec<Addr> = interpreters.iter().filter_map(|interpreter| interpreter.gil).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let mut gils = Vec::new();
    for address in addresses {
        gils.push(GilState::read(memory, runtime, address)?);
    }
    gils.retain(|gil| gil.enabled);
    let holds = |gil: &GilState| gil.locked && own.iter().any(|thread| thread.address == gil.last_holder);
    let is_attached = |thread: &ThreadFacts| thread.attach_state == Some(1);
    let attached = match runtime.quirks.free_threaded {
        true => own.iter().any(is_attached),
        false => gils.iter().any(holds),
    };
    let frames = own.first().map(|thread| innermost_frames(&objects, *thread)).unwrap_or_default();
    Ok(ThreadView {
        states: own.iter().map(|thread| thread.address).collect(),
        attached,
        gils,
        main_thread: facts.main_thread,
        finalizing: facts.finalizing,
        interpreters: interpreters.len(),
        main_interpreter: main,
        frames,
    })
}

/// The kernel's id, as we see it, of the thread that the interpreter takes for its main thread: the one that pending calls and
/// signal handlers run in. Mostly the process's first; in a program that starts its interpreter elsewhere, another. `None` when
/// that thread has ended or cannot be told. `ns_pids`: PIDs of the process from our PID namespace inwards.
pub fn main_thread_id(
    memory: &dyn Memory,
    runtime: &Runtime,
    tasks: &Tasks,
    ns_pids: &[i32],
) -> Result<Option<i32>, ReadError> {
    let cache = Cache::new(memory);
    let objects = Objects::new(&cache, &runtime.layout, runtime.quirks);
    let facts = read_runtime(&objects, runtime)?;
    let interpreters = read_interpreters(&objects, runtime, facts.interpreters_head, &mut Vec::new())?;
    let main = interpreters.first().ok_or(ReadError::Invalid("list of interpreters"))?;
    let threads = read_threads(&objects, main, &mut Vec::new())?;
    let identity =
        |thread: &ThreadFacts| Identity { thread: thread.address, ident: thread.ident, recorded: thread.native_id };
    let identities: Vec<Identity> = threads.iter().map(identity).collect();
    let mut ids = ThreadIds::new(memory, tasks, ns_pids);
    ids.refresh();
    ids.learn(&identities, facts.main_thread);
    let main = identities.iter().find(|thread| Some(thread.ident) == facts.main_thread);
    Ok(main.and_then(|thread| ids.host(thread)))
}

fn innermost_frames(objects: &Objects<'_>, thread: ThreadFacts) -> Vec<(Arc<str>, Arc<str>)> {
    let addresses = walk_some(objects, thread, FRAMES);
    let codes = read_codes(objects, &addresses);
    codes.into_iter().map_while(Result::ok).map(|code| (code.filename, code.name)).collect()
}
