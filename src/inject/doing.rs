//! What a stopped thread is doing: its native frames, its registers and what is known of the GIL, put into one word.
//!
//! Pure. Whatever cannot be told apart from something dangerous is taken for that: it costs another look later, no more.

use super::Doing;
use super::known::{Business, business, is_wrapper, waits_on_semaphore};
use super::modules::Owner;
use super::unwind::NativeFrame;
use crate::base::Addr;

/// A native frame with the names that its functions have.
#[derive(Clone, Debug)]
pub(super) struct NamedFrame {
    pub(super) frame: NativeFrame,
    /// The file or memory that it is in, for people.
    pub(super) place: String,
    /// Names of its own function, where that is exported.
    pub(super) function: Vec<String>,
    /// Names of the function that it calls.
    pub(super) called: Vec<String>,
}

/// What a verdict is made of.
pub(super) struct Evidence<'e> {
    /// Innermost first, up to the evaluation loop.
    pub(super) frames: &'e [NamedFrame],
    /// Name and number of the system call that was interrupted, if one was.
    pub(super) call: Option<(&'e str, i64)>,
    /// The thread sleeps on the GIL.
    pub(super) waits_for_gil: bool,
    /// The lock of the list of pending calls is held, where that can be told.
    pub(super) pending_lock_held: Option<bool>,
    /// Where signal handlers return to.
    pub(super) restorer: Addr,
    /// The thread is inside a restartable sequence.
    pub(super) in_sequence: bool,
}

/// Says what the thread is doing.
pub(super) fn doing(evidence: &Evidence<'_>) -> Doing {
    if let Some(why) = unsafe_place(evidence) {
        return Doing::Unsafe(why);
    }
    let is_library = |frame: &&NamedFrame| matches!(frame.frame.owner, Owner::CLibrary | Owner::Kernel);
    let inside_library = evidence.frames.iter().take_while(is_library).count();
    let Some(caller) = evidence.frames.get(inside_library) else {
        return Doing::Unsafe("inside the C library, and nothing tells who called it".to_owned());
    };
    match evidence.call {
        Some((name, number)) => in_call(evidence, inside_library, caller, name, number),
        None => running(evidence, inside_library, caller),
    }
}

fn in_call(evidence: &Evidence<'_>, inside: usize, caller: &NamedFrame, name: &str, number: i64) -> Doing {
    if evidence.waits_for_gil {
        return Doing::Running;
    }
    let own = caller.frame.owner.is_cpython();
    if own && caller.called.iter().any(|function| waits_on_semaphore(function)) {
        return Doing::PythonLock;
    }
    // An interrupted wait goes on under another name.
    let on_condition = caller.called.iter().any(|function| function.starts_with("pthread_"));
    let is_futex = matches!(name, "futex" | "futex_waitv") || name == "restart_syscall" && on_condition;
    // A mutex or a condition variable of CPython's own is held for moments, or is the GIL in a version that is not known.
    if own && is_futex && inside > 0 {
        return Doing::Running;
    }
    if own && inside > 0 && caller.called.iter().any(|function| is_wrapper(name, function)) {
        return Doing::OwnCall { number };
    }
    let module = match caller.called.first() {
        // CPython's own code, but the C library is in the middle of something larger.
        Some(function) if own => {
            let library = evidence.frames.first().map(|frame| frame.place.as_str()).unwrap_or_default();
            format!("{library} ({function})")
        }
        _ => caller.place.clone(),
    };
    Doing::ForeignCall { number, module }
}

fn running(evidence: &Evidence<'_>, inside: usize, caller: &NamedFrame) -> Doing {
    let is_named = |frame: &NamedFrame| !frame.function.is_empty();
    let outermost_inside = inside.checked_sub(1).and_then(|index| evidence.frames.get(index));
    match outermost_inside {
        None => Doing::Running,
        Some(frame) if frame.frame.owner == Owner::Kernel => Doing::Running,
        Some(frame) if !caller.called.is_empty() || is_named(frame) => Doing::Running,
        // It got there by a jump from a function that was called, and may be the allocator for all we know.
        Some(frame) => Doing::Unsafe(format!("inside {}, in a function without a name", frame.place)),
    }
}

/// Why nothing may be done at this place, if so.
fn unsafe_place(evidence: &Evidence<'_>) -> Option<String> {
    if evidence.in_sequence {
        return Some("inside a restartable sequence".to_owned());
    }
    if evidence.pending_lock_held == Some(true) {
        return Some("the list of pending calls is being changed".to_owned());
    }
    for frame in evidence.frames {
        if frame.frame.interrupted || frame.frame.address == evidence.restorer {
            return Some("inside a signal handler".to_owned());
        }
        if frame.frame.owner == Owner::Loader {
            return Some(format!("inside the loader ({})", frame.place));
        }
        for name in frame.called.iter().chain(&frame.function) {
            match business(name) {
                Some(Business::Allocating) => return Some(format!("inside the allocator ({name})")),
                Some(Business::Loading) => return Some(format!("inside the loader ({name})")),
                Some(Business::BeginningOrEnding) => return Some(format!("inside {name}")),
                Some(Business::PendingCalls) if evidence.pending_lock_held.is_none() => {
                    return Some(format!("inside the list of pending calls ({name})"));
                }
                _ => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESTORER: Addr = Addr(0x77);

    fn frame(owner: Owner, place: &str, function: &[&str], called: &[&str]) -> NamedFrame {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let address = Addr(0x1000);
        let native = NativeFrame { address, owner, function: None, called: None, sp: Addr(0x2000), interrupted: false };
        NamedFrame { frame: native, place: place.to_owned(), function: names(function), called: names(called) }
    }

    fn evidence(frames: &[NamedFrame]) -> Evidence<'_> {
        Evidence {
            frames,
            call: None,
            waits_for_gil: false,
            pending_lock_held: Some(false),
            restorer: RESTORER,
            in_sequence: false,
        }
    }

    fn libc(function: &[&str]) -> NamedFrame {
        frame(Owner::CLibrary, "libc.so.6", function, &[])
    }

    fn python(called: &[&str]) -> NamedFrame {
        frame(Owner::Runtime, "libpython.so", &[], called)
    }

    fn in_call(frames: &[NamedFrame], name: &str) -> Doing {
        doing(&Evidence { call: Some((name, 7)), ..evidence(frames) })
    }

    fn is_unsafe(doing: &Doing, word: &str) -> bool {
        matches!(doing, Doing::Unsafe(why) if why.contains(word))
    }

    #[test]
    fn a_call_belongs_to_whoever_called_the_wrapper() {
        assert_eq!(in_call(&[libc(&["poll"]), python(&["poll"])], "poll"), Doing::OwnCall { number: 7 });
        let ssl = frame(Owner::Stdlib, "_ssl.so", &[], &["poll"]);
        assert_eq!(in_call(&[libc(&[]), ssl], "poll"), Doing::OwnCall { number: 7 });
        let module = |doing| match doing {
            Doing::ForeignCall { number: 7, module } => module,
            other => panic!("{other:?}"),
        };
        assert_eq!(module(in_call(&[libc(&[]), python(&["getaddrinfo"])], "poll")), "libc.so.6 (getaddrinfo)");
        let pq = frame(Owner::Foreign, "libpq.so.5", &[], &["poll"]);
        assert_eq!(module(in_call(&[libc(&[]), pq, python(&[])], "poll")), "libpq.so.5");
        // By register: libffi, linked into the interpreter.
        assert_eq!(module(in_call(&[libc(&[]), python(&[])], "clock_nanosleep")), "libpython.so");
        let own_syscall = frame(Owner::Foreign, "go.so", &[], &[]);
        assert_eq!(module(in_call(&[own_syscall], "futex")), "go.so");
    }

    #[test]
    fn locks_are_told_from_the_gil_and_from_those_of_the_c_library() {
        let lock = [libc(&[]), libc(&[]), python(&["sem_clockwait"])];
        assert_eq!(in_call(&lock, "futex"), Doing::PythonLock);
        assert_eq!(in_call(&lock, "restart_syscall"), Doing::PythonLock);
        let gil = [libc(&[]), python(&["pthread_cond_timedwait"])];
        assert_eq!(
            doing(&Evidence { waits_for_gil: true, call: Some(("futex", 7)), ..evidence(&gil) }),
            Doing::Running
        );
        assert_eq!(in_call(&gil, "restart_syscall"), Doing::Running);
        assert!(is_unsafe(&in_call(&[libc(&[]), libc(&["malloc"]), python(&["malloc"])], "futex"), "allocator"));
        let foreign = frame(Owner::Foreign, "libzmq.so", &[], &["sem_wait"]);
        assert!(matches!(in_call(&[libc(&[]), foreign], "futex"), Doing::ForeignCall { .. }));
    }

    #[test]
    fn a_thread_that_runs_is_left_alone_where_it_may_hold_locks() {
        let run = |frames: &[NamedFrame]| doing(&evidence(frames));
        assert_eq!(run(&[python(&[])]), Doing::Running);
        assert_eq!(run(&[libc(&["memcpy"]), python(&["memcpy"])]), Doing::Running);
        assert!(is_unsafe(&run(&[libc(&["free"]), python(&["PyObject_Free"])]), "free"));
        assert!(is_unsafe(&run(&[libc(&[]), python(&[])]), "without a name"));
        assert!(is_unsafe(&run(&[libc(&[])]), "nothing tells"));
        assert!(is_unsafe(&run(&[]), "nothing tells"));
        let numpy = frame(Owner::Foreign, "numpy.so", &[], &[]);
        assert_eq!(run(&[numpy, python(&[])]), Doing::Running);
        assert_eq!(run(&[frame(Owner::NoFile, "code made at run time", &[], &[])]), Doing::Running);
        let loader = frame(Owner::Loader, "ld-linux-x86-64.so.2", &[], &[]);
        assert!(is_unsafe(&run(&[loader, python(&[])]), "loader"));
        assert!(is_unsafe(&run(&[numpy_in_dlopen(), python(&["dlopen"])]), "dlopen"));
        let vdso = frame(Owner::Kernel, "the vDSO", &[], &[]);
        assert_eq!(run(&[vdso, python(&[])]), Doing::Running);
    }

    fn numpy_in_dlopen() -> NamedFrame {
        frame(Owner::Foreign, "numpy.so", &[], &[])
    }

    #[test]
    fn signal_handlers_sequences_and_pending_calls_are_unsafe() {
        let mut handler = [frame(Owner::Foreign, "app.so", &[], &[]), python(&[])];
        handler[1].frame.interrupted = true;
        assert!(is_unsafe(&doing(&evidence(&handler)), "signal handler"));
        let mut by_address = [python(&[]), libc(&[]), python(&[])];
        by_address[1].frame.address = RESTORER;
        assert!(is_unsafe(&doing(&evidence(&by_address)), "signal handler"));
        let frames = [python(&["Py_AddPendingCall"])];
        let with = |held| doing(&Evidence { pending_lock_held: held, ..evidence(&frames) });
        assert_eq!(with(Some(false)), Doing::Running);
        assert!(is_unsafe(&with(Some(true)), "pending calls") && is_unsafe(&with(None), "pending calls"));
        assert!(is_unsafe(&doing(&Evidence { in_sequence: true, ..evidence(&frames) }), "sequence"));
    }
}
