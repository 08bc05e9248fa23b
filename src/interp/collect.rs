//! One pass over everything: interpreters, threads, their stacks, the code objects on them and the names of threads.
//!
//! A soft error costs what it concerns: a thread that cannot be walked keeps the frames found so far and says so.

use super::code::{self, Code};
use super::ids::Identity;
use super::locals::{RawException, RawLocal, Wanted, read_locals};
use super::names::{Names, ThreadName, read_names};
use super::threads::{InterpreterFacts, ThreadFacts, chunk_extent, read_interpreters, read_runtime, read_threads};
use super::walk::{Entry, FrameRef, Walk};
use super::{frame_objects, frames};
use crate::base::{Addr, AddrMap, Problem, ProblemKind, limits};
use crate::cpython::Runtime;
use crate::objects::Objects;
use crate::target::{Cache, Extent, ReadError};
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// Everything read in one pass.
pub struct World {
    /// Interpreters, the main one first.
    pub interpreters: Vec<RawInterpreter>,
    /// Code objects by address.
    pub codes: AddrMap<Result<Code, ReadError>>,
    /// `__name__` in the globals at an address.
    pub modules: AddrMap<Arc<str>>,
    /// Ident of the main thread.
    pub main_thread: Option<u64>,
    /// The interpreter is being shut down.
    pub finalizing: bool,
    /// What went wrong as a whole.
    pub problems: Vec<Problem>,
}

/// One interpreter.
pub struct RawInterpreter {
    /// Its address.
    pub address: Addr,
    /// Its id; 0 is the main interpreter.
    pub id: i64,
    /// The garbage collector is running.
    pub gc_collecting: bool,
    /// Its GIL.
    pub gil: Option<Addr>,
    /// Newest thread state: changes whenever a thread begins.
    pub(super) threads_head: Addr,
    /// Its threads, oldest first.
    pub threads: Vec<RawThread>,
}

/// One thread.
#[derive(Debug)]
pub struct RawThread {
    /// Its `PyThreadState`.
    pub address: Addr,
    /// What `threading.get_ident()` returns in it.
    pub ident: u64,
    /// The kernel's id in the target's innermost PID namespace, as the interpreter or `threading` recorded it.
    pub native_id: Option<u64>,
    /// True when it takes part in running Python code; only free-threaded builds let several do.
    pub attached: Option<bool>,
    /// What `threading` knows of it.
    pub name: ThreadName,
    /// Its frames, innermost first.
    pub frames: Vec<RawFrame>,
    /// Why its stack is incomplete, if it is.
    pub error: Option<ReadError>,
    /// Where its frames are.
    pub(super) frame_addresses: Vec<Addr>,
    /// Their local variables, where these were asked for.
    pub locals: Vec<Vec<RawLocal>>,
    /// The exception it is handling, where values were asked for.
    pub exception: Option<RawException>,
}

impl RawThread {
    pub(super) fn identity(&self) -> Identity {
        Identity { thread: self.address, ident: self.ident, recorded: self.native_id }
    }
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RawFrame {
    /// Its code object, to be looked up in [`World::codes`].
    pub code: Addr,
    /// Its globals, to be looked up in [`World::modules`].
    pub globals: Addr,
    /// Byte offset of its instruction; `None` when it has not begun.
    pub offset: Option<i64>,
    /// How it was entered.
    pub entry: Entry,
}

impl World {
    /// True when a stack is one that a thread at rest cannot have.
    pub(super) fn is_torn(&self) -> bool {
        self.threads().any(|t| matches!(t.error, Some(ReadError::Invalid(_) | ReadError::Unmapped)))
    }

    /// All threads.
    pub fn threads(&self) -> impl Iterator<Item = &RawThread> {
        self.interpreters.iter().flat_map(|i| &i.threads)
    }
}

/// A thread while its stack is walked.
struct Walking {
    facts: ThreadFacts,
    /// Where reading the older chunks of its data stack stands.
    chunk: Cell<Addr>,
    walk: RefCell<Walk>,
    error: Option<ReadError>,
}

/// Reads everything but values.
pub fn collect(cache: &Cache<'_>, runtime: &Runtime) -> Result<World, ReadError> {
    collect_with(cache, runtime, None)
}

/// Reads everything, local variables too where they are wanted.
pub(super) fn collect_with(cache: &Cache<'_>, runtime: &Runtime, wanted: Option<Wanted>) -> Result<World, ReadError> {
    let objects = Objects::new(cache, &runtime.layout, runtime.quirks);
    cache.prefetch([Extent { addr: runtime.address, len: runtime.layout.runtime.end() }]);
    let facts = read_runtime(&objects, runtime)?;
    let mut problems = Vec::new();
    let interpreters = read_interpreters(&objects, runtime, facts.interpreters_head, &mut problems)?;
    let mut walked = Vec::new();
    for interpreter in interpreters {
        let threads = read_threads(&objects, &interpreter, &mut problems)?;
        let names = read_names(&objects, &interpreter).unwrap_or_else(|error| {
            problems.push(Problem::new(ProblemKind::Unreadable, format!("names of threads: {error}")));
            Names::default()
        });
        walked.push((interpreter, walk_threads(&objects, threads), names));
    }
    let distinct = |of: fn(&FrameRef) -> Addr| {
        let mut addresses = Vec::new();
        for thread in walked.iter().flat_map(|(_, threads, _)| threads) {
            addresses.extend(thread.walk.borrow().frames.iter().map(of));
        }
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    };
    let codes = read_codes(&objects, distinct(|frame| frame.code));
    let modules = read_modules(&objects, distinct(|frame| frame.globals));
    let mut world = World {
        interpreters: Vec::new(),
        codes,
        modules,
        main_thread: facts.main_thread,
        finalizing: facts.finalizing,
        problems,
    };
    for (interpreter, threads, names) in walked {
        let threads = threads.into_iter().map(|t| finish_thread(&objects, &world.codes, t, &names)).collect();
        world.interpreters.push(finish_interpreter(interpreter, threads));
    }
    if let Some(wanted) = wanted {
        let threads = world.interpreters.iter_mut().flat_map(|interpreter| &mut interpreter.threads);
        world.problems.extend(read_locals(&objects, &world.codes, threads, wanted));
    }
    Ok(world)
}

fn finish_interpreter(facts: InterpreterFacts, threads: Vec<RawThread>) -> RawInterpreter {
    RawInterpreter {
        address: facts.address,
        id: facts.id,
        gc_collecting: facts.gc_collecting,
        gil: facts.gil,
        threads_head: facts.threads_head,
        threads,
    }
}

fn walk_threads(objects: &Objects<'_>, threads: Vec<ThreadFacts>) -> Vec<Walking> {
    let cframes = objects.quirks.cframes.then_some(&threads).into_iter().flatten().map(frames::cframes_extent);
    objects.cache.prefetch(threads.iter().filter_map(chunk_extent).chain(cframes));
    let mut walking: Vec<Walking> = threads
        .into_iter()
        .map(|facts| Walking { facts, chunk: Cell::default(), walk: RefCell::new(Walk::from(Addr::NULL)), error: None })
        .collect();
    let started = objects.cache.batched(&walking, |thread| start(objects, thread));
    for (thread, started) in walking.iter_mut().zip(started) {
        match started {
            Ok(walk) => thread.walk = RefCell::new(walk),
            Err(error) => thread.error = Some(error),
        }
    }
    let left = Cell::new(limits::ALL_FRAMES);
    let ended = objects.cache.batched(&walking, |thread| go_on(objects, thread, &left));
    for (thread, ended) in walking.iter_mut().zip(ended) {
        thread.error = thread.error.or(ended.err());
    }
    walking
}

/// The code objects of a thread's innermost frames, `room` at the most, innermost first; fewer where the walk fails.
pub(super) fn walk_some(objects: &Objects<'_>, facts: ThreadFacts, room: usize) -> Vec<Addr> {
    let mut thread = Walking { facts, chunk: Cell::default(), walk: RefCell::new(Walk::from(Addr::NULL)), error: None };
    if let Ok(walk) = start(objects, &thread) {
        thread.walk = RefCell::new(walk);
        // It ends with an error where there are more frames than were asked for.
        let _ = go_on(objects, &thread, &Cell::new(room));
    }
    thread.walk.into_inner().frames.iter().map(|frame| frame.code).collect()
}

fn start(objects: &Objects<'_>, thread: &Walking) -> Result<Walk, ReadError> {
    if !objects.quirks.interpreter_frames {
        return Ok(Walk::from(thread.facts.top));
    }
    // Only saves reads, so whatever goes wrong there shows, or does not, when the frames are walked.
    if let Err(ReadError::Deferred) = frames::prefetch_older_chunks(objects, &thread.facts, &thread.chunk) {
        return Err(ReadError::Deferred);
    }
    frames::start(objects, &thread.facts)
}

/// Walks on; `left` is how many frames there is room for in all threads together.
fn go_on(objects: &Objects<'_>, thread: &Walking, left: &Cell<usize>) -> Result<(), ReadError> {
    let mut walk = thread.walk.borrow_mut();
    let before = walk.frames.len();
    let result = match objects.quirks.interpreter_frames {
        true => frames::walk(objects, &thread.facts, &mut walk, left.get()),
        false => frame_objects::walk(objects, &mut walk, left.get()),
    };
    left.set(left.get().saturating_sub(walk.frames.len() - before));
    result
}

fn read_codes(objects: &Objects<'_>, addresses: Vec<Addr>) -> AddrMap<Result<Code, ReadError>> {
    let codes = code::read_codes(objects, &addresses);
    addresses.into_iter().zip(codes).collect()
}

fn read_modules(objects: &Objects<'_>, addresses: Vec<Addr>) -> AddrMap<Arc<str>> {
    let names = objects.cache.batched(&addresses, |globals| match objects.dict_get(*globals, "__name__")? {
        Some(name) => objects.checked_str(name).map(Some),
        None => Ok(None),
    });
    addresses.into_iter().zip(names).filter_map(|(globals, name)| Some((globals, name.ok()??.into()))).collect()
}

fn finish_thread(
    objects: &Objects<'_>,
    codes: &AddrMap<Result<Code, ReadError>>,
    thread: Walking,
    names: &Names,
) -> RawThread {
    let mut error = thread.error;
    let walked = thread.walk.into_inner().frames;
    let mut frames = Vec::with_capacity(walked.len());
    let mut frame_addresses = Vec::with_capacity(walked.len());
    for frame in walked {
        match finish_frame(objects, codes, &frame) {
            Ok(Some(finished)) => {
                frames.push(finished);
                frame_addresses.push(frame.address);
            }
            Ok(None) => {}
            Err(problem) => {
                // What lies further out hangs on a frame that is none.
                error = Some(problem);
                break;
            }
        }
    }
    let name = names.get(&thread.facts.ident).cloned().unwrap_or_default();
    RawThread {
        address: thread.facts.address,
        ident: thread.facts.ident,
        native_id: thread.facts.native_id.or(name.native_id),
        attached: thread.facts.attach_state.filter(|_| objects.quirks.free_threaded).map(|state| state != 0),
        name,
        frames,
        error,
        frame_addresses,
        locals: Vec::new(),
        exception: None,
    }
}

fn finish_frame(
    objects: &Objects<'_>,
    codes: &AddrMap<Result<Code, ReadError>>,
    frame: &FrameRef,
) -> Result<Option<RawFrame>, ReadError> {
    let code = match codes.get(&frame.code) {
        Some(Ok(code)) => code,
        Some(Err(error)) => return Err(*error),
        None => return Err(ReadError::Invalid("code object")),
    };
    let offset = code.instruction_offset(frame.instruction, objects.quirks.instruction)?;
    if code.is_incomplete(offset, frame.in_generator) {
        return Ok(None);
    }
    Ok(Some(RawFrame { code: frame.code, globals: frame.globals, offset, entry: frame.entry }))
}
