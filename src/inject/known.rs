//! Functions of the C library that matter here, by name, as glibc and musl export them.

/// Waits on a semaphore: a `PyThread_type_lock`, and what threads park on from 3.13 on (`Python/parking_lot.c`).
const SEMAPHORE_WAITS: &[&str] = &["sem_wait", "sem_timedwait", "sem_clockwait", "__new_sem_wait"];

/// The allocator.
const ALLOCATOR: &[&str] = &[
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "free",
    "cfree",
    "memalign",
    "aligned_alloc",
    "posix_memalign",
    "valloc",
    "pvalloc",
    "malloc_trim",
    "malloc_info",
    "malloc_stats",
    "malloc_usable_size",
    "mallinfo",
    "mallinfo2",
    "mallopt",
];

/// The loader's functions.
const LOADER: &[&str] =
    &["dlopen", "dlmopen", "dlclose", "dlsym", "dlvsym", "dladdr", "dladdr1", "dlinfo", "dl_iterate_phdr"];

/// Making processes and threads, and the end: the C library takes many of its locks in these.
const BEGINNINGS_AND_ENDS: &[&str] = &[
    "fork",
    "_Fork",
    "vfork",
    "clone",
    "posix_spawn",
    "posix_spawnp",
    "daemon",
    "forkpty",
    "pthread_create",
    "pthread_exit",
    "pthread_atfork",
    "__register_atfork",
    "exit",
    "quick_exit",
    "__cxa_finalize",
];

/// CPython's own list of pending calls.
const PENDING_CALLS: &[&str] =
    &["Py_AddPendingCall", "_PyEval_AddPendingCall", "Py_MakePendingCalls", "_PyEval_MakePendingCalls"];

/// System calls that wait and that are known to go on unharmed after the thread was borrowed, and the functions whose only
/// business they are. Others that end up in the same call (`getaddrinfo` in `poll`, `system` in `wait4`) hold locks.
const WRAPPERS: &[(&[&str], &[&str])] = &[
    (&["read", "pread64"], &["read", "__read_chk", "pread", "pread64", "__pread64_chk"]),
    (&["write", "pwrite64"], &["write", "pwrite", "pwrite64"]),
    (&["readv", "preadv", "preadv2"], &["readv", "preadv", "preadv64", "preadv2", "preadv64v2"]),
    (&["writev", "pwritev", "pwritev2"], &["writev", "pwritev", "pwritev64", "pwritev2", "pwritev64v2"]),
    (&["poll", "ppoll"], &["poll", "__poll_chk", "ppoll", "__ppoll_chk"]),
    (&["select", "pselect6"], &["select", "pselect"]),
    (&["nanosleep", "clock_nanosleep"], &["nanosleep", "clock_nanosleep"]),
    (&["connect"], &["connect"]),
    (&["accept", "accept4"], &["accept", "accept4"]),
    (&["recvfrom"], &["recv", "recvfrom", "__recv_chk", "__recvfrom_chk"]),
    (&["recvmsg"], &["recvmsg"]),
    (&["sendto"], &["send", "sendto"]),
    (&["sendmsg"], &["sendmsg"]),
    (&["wait4"], &["wait", "wait3", "wait4", "waitpid"]),
    (&["waitid"], &["waitid"]),
    (&["epoll_wait", "epoll_pwait", "epoll_pwait2"], &["epoll_wait", "epoll_pwait", "epoll_pwait2"]),
    (&["restart_syscall"], &["nanosleep", "clock_nanosleep", "poll", "__poll_chk", "ppoll"]),
];

/// What a function is about, as far as that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Business {
    Allocating,
    Loading,
    BeginningOrEnding,
    PendingCalls,
}

/// The business of a function of this name.
pub(super) fn business(name: &str) -> Option<Business> {
    // glibc exports some under their internal names too.
    let plain = name.strip_prefix("__libc_").unwrap_or(name);
    let is_in = |names: &[&str]| names.contains(&name) || names.contains(&plain);
    if is_in(ALLOCATOR) {
        Some(Business::Allocating)
    } else if is_in(LOADER) {
        Some(Business::Loading)
    } else if is_in(BEGINNINGS_AND_ENDS) {
        Some(Business::BeginningOrEnding)
    } else if is_in(PENDING_CALLS) {
        Some(Business::PendingCalls)
    } else {
        None
    }
}

/// True for functions that wait on a semaphore.
pub(super) fn waits_on_semaphore(name: &str) -> bool {
    SEMAPHORE_WAITS.contains(&name)
}

/// True when making the system call is all that the function does.
pub(super) fn is_wrapper(call: &str, function: &str) -> bool {
    let plain = function.strip_prefix("__").unwrap_or(function);
    WRAPPERS.iter().any(|(calls, functions)| {
        calls.contains(&call) && (functions.contains(&function) || functions.contains(&plain))
    })
}

/// True for functions that get a thread into a system call, or, where it is in none, that it must not be disturbed in.
pub(super) fn may_lead_to(function: &str, call: Option<&str>) -> bool {
    match call {
        None => business(function).is_some(),
        Some(call @ ("futex" | "restart_syscall")) => {
            waits_on_semaphore(function) || function.starts_with("pthread_") || is_wrapper(call, function)
        }
        Some(call) => is_wrapper(call, function),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_are_those_of_their_own_call() {
        assert!(is_wrapper("poll", "poll") && is_wrapper("poll", "__poll") && is_wrapper("recvfrom", "recv"));
        assert!(!is_wrapper("poll", "getaddrinfo") && !is_wrapper("wait4", "system") && !is_wrapper("read", "fread"));
        assert!(!is_wrapper("read", "write") && !is_wrapper("flock", "flock"));
    }

    #[test]
    fn a_stale_address_is_unlikely() {
        assert!(may_lead_to("sem_wait", Some("futex")) && may_lead_to("poll", Some("restart_syscall")));
        assert!(!may_lead_to("sigismember", Some("futex")) && !may_lead_to("sem_wait", Some("poll")));
        assert!(may_lead_to("malloc", None) && !may_lead_to("memcpy", None));
    }

    #[test]
    fn internal_names_have_the_same_business() {
        assert_eq!(business("__libc_malloc"), Some(Business::Allocating));
        assert_eq!(business("dlopen"), Some(Business::Loading));
        assert_eq!(business("memcpy"), None);
    }
}
