//! Routes in words: their names in JSON, where a script runs by them, and what is written into the target for them.

use crate::inject::Route;

/// The name in JSON.
pub(super) fn name(route: Route) -> &'static str {
    route.name()
}

/// What is done, in order; the last is where the script runs.
pub(super) fn steps(route: Route) -> Vec<String> {
    let mut steps = vec![
        "stop the main thread, three to five times, usually for less than a millisecond each".to_owned(),
        "have it make a file in memory (memfd_create) that holds the request and takes the script's output, and a mapping of it"
            .to_owned(),
    ];
    steps.extend(
        match route {
            Route::PendingCall => {
                ["have it call Py_AddPendingCall", "the script runs in the main thread, between two of its bytecodes"]
            }
            Route::PendingCallWoken => [
                "have it call Py_AddPendingCall, and the wait for its lock return EINTR, upon which CPython looks",
                "the script runs in the main thread, inside the wait, which goes on afterwards",
            ],
            Route::SignalFrame => [
                "write a signal frame below its stack",
                "the script runs in the main thread, as a signal handler on top of its system call, which goes on afterwards",
            ],
            Route::NewThread => [
                "have it call PyThread_start_new_thread",
                "the script runs in a thread of its own, which ends with it",
            ],
            Route::RemoteDebugger => [
                "write the path of a file in memory where CPython's remote debugging looks for it, and ask it to look",
                "the script runs in the thread, between two of its bytecodes",
            ],
            Route::RemoteDebuggerWoken => [
                "write the path of a file in memory where CPython's remote debugging looks for it, and have the system call \
                 return EINTR, upon which CPython looks",
                "the script runs in the thread, inside the call, which goes on afterwards",
            ],
        }
        .map(str::to_owned),
    );
    steps
}
