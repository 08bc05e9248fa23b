//! Coroutines of the standard library, and of anyio, in which tasks are suspended: by module and name of the function, which
//! are the same from 3.7 to 3.15 where they exist.

/// What a suspended coroutine says of the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// `asyncio.sleep`.
    Sleep,
    /// `asyncio.sleep(0)`.
    Turn,
    /// `asyncio.wait_for`; it waits by itself up to 3.11.
    WaitFor,
    /// The inner part of `asyncio.wait`.
    Wait,
    /// `wait_for` has cancelled something that has not ended yet.
    CancelAndWait,
    /// The next of `asyncio.as_completed`.
    AsCompleted,
    /// The end of a `TaskGroup`.
    TaskGroup,
    /// `acquire` of `Lock` or `Semaphore`.
    Acquire,
    /// `__aenter__` of a lock.
    Enter,
    /// `wait` of `Event` or `Condition`, and `Condition.wait_for`.
    Notified,
    /// Parts of `Barrier.wait`.
    Barrier,
    /// A method of `Queue`.
    Queue(&'static str),
    /// `StreamReader` waits for data.
    StreamData,
    /// A writer waits for its buffer to be sent.
    StreamDrain,
    /// A method of `StreamReader` or `StreamWriter`.
    Stream(&'static str),
    /// A `sock_*` method of the loop.
    Socket(&'static str),
    /// `Server.serve_forever` or `Server.wait_closed`.
    Server(&'static str),
    /// `asyncio.subprocess.Process.wait`.
    Process,
    /// `anyio.to_thread.run_sync`.
    AnyioThread,
}

/// The rule for a function of a module, if there is one.
pub(super) fn rule(module: &str, function: &str) -> Option<Rule> {
    match module {
        "asyncio.tasks" => Some(match function {
            "sleep" => Rule::Sleep,
            "__sleep0" => Rule::Turn,
            "wait_for" => Rule::WaitFor,
            "_wait" => Rule::Wait,
            "_cancel_and_wait" => Rule::CancelAndWait,
            "_wait_for_one" => Rule::AsCompleted,
            _ => return None,
        }),
        "asyncio.taskgroups" => matches!(function, "__aexit__" | "_aexit").then_some(Rule::TaskGroup),
        "asyncio.locks" => Some(match function {
            "acquire" => Rule::Acquire,
            "__aenter__" => Rule::Enter,
            "wait" | "wait_for" => Rule::Notified,
            "_wait" | "_block" => Rule::Barrier,
            _ => return None,
        }),
        "asyncio.queues" => one_of(&["get", "put", "join"], function).map(Rule::Queue),
        "asyncio.streams" => match function {
            "_wait_for_data" => Some(Rule::StreamData),
            "_drain_helper" => Some(Rule::StreamDrain),
            _ => one_of(&["read", "readline", "readexactly", "readuntil", "drain", "wait_closed"], function)
                .map(Rule::Stream),
        },
        "asyncio.selector_events" => one_of(SOCKET_METHODS, function).map(Rule::Socket),
        "asyncio.base_events" => one_of(&["serve_forever", "wait_closed"], function).map(Rule::Server),
        "asyncio.base_subprocess" => (function == "_wait").then_some(Rule::Process),
        "anyio._backends._asyncio" => (function == "run_sync_in_worker_thread").then_some(Rule::AnyioThread),
        _ => None,
    }
}

const SOCKET_METHODS: &[&str] = &[
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_recvfrom_into",
    "sock_sendall",
    "sock_sendto",
    "sock_connect",
    "sock_accept",
];

fn one_of(names: &[&'static str], name: &str) -> Option<&'static str> {
    names.iter().copied().find(|known| *known == name)
}
