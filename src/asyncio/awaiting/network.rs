//! Sockets, streams, servers and child processes: which descriptor it is (`Lib/asyncio/selector_events.py`, `streams.py`,
//! `sslproto.py`, `unix_events.py`). Transports of uvloop are written in C and do not show theirs.

use super::rules::Rule;
use super::words::short;
use super::{Explainer, Reason, Step, tolerate};
use crate::asyncio::{AwaitKind, RawLoop};
use crate::base::{Addr, AddrMap, limits};
use crate::objects::{Entry, Objects};
use crate::target::ReadError;

/// How deep transports lie within each other: TLS over a socket.
const DEPTH: usize = 4;
/// Largest descriptor: `fs.nr_open` is a million by default.
const DESCRIPTORS: i128 = 1 << 30;
/// Arguments of a callback that are looked at.
const ARGUMENTS: usize = 4;
/// Sockets of a server that are named.
const LISTENING: usize = 4;

/// What callbacks of descriptors that selectors watch carry: a future, and which descriptor it is.
pub(super) fn read_watched(objects: &Objects<'_>, loops: &[RawLoop]) -> AddrMap<i32> {
    let keys = objects.cache.batched(loops, |event_loop| {
        let [selector] = objects.instance_attributes(event_loop.address, ["_selector"])?;
        let Some(selector) = selector else { return Ok(Vec::new()) };
        let [keys] = objects.instance_attributes(selector, ["_fd_to_key"])?;
        match keys {
            Some(keys) if &*objects.type_name(keys)? == "dict" => Ok(objects.dict(keys)?.entries().collect()),
            _ => Ok(Vec::new()),
        }
    });
    let keys: Vec<_> = keys.into_iter().flatten().flatten().collect();
    let carried_by = |entry: &Entry| -> Result<_, ReadError> {
        let fd = descriptor(objects, entry.key)?;
        // `SelectorKey(fileobj, fd, events, data)`; asyncio's data is a pair of handles, or `None`.
        let (parts, _) = objects.tuple_items(entry.value, 4)?;
        let Some(data) = parts.get(3) else { return Ok((fd, Vec::new())) };
        if &*objects.type_name(*data)? != "tuple" {
            return Ok((fd, Vec::new()));
        }
        let mut carried = Vec::new();
        for handle in objects.tuple_items(*data, 2)?.0 {
            if &*objects.type_name(handle)? == "NoneType" {
                continue;
            }
            if let [Some(args)] = objects.slots(handle, ["_args"])? {
                carried.extend(objects.tuple_items(args, ARGUMENTS)?.0);
            }
        }
        Ok((fd, carried))
    };
    // One of them alone: what it shows of types need not be found out for all.
    let _ = keys.first().map(carried_by);
    let carried = objects.cache.batched(&keys, carried_by);
    let mut watched = AddrMap::default();
    for (fd, carried) in carried.into_iter().flatten() {
        watched.extend(carried.into_iter().filter_map(|object| Some((object, fd?))));
    }
    watched
}

fn descriptor(objects: &Objects<'_>, number: Addr) -> Result<Option<i32>, ReadError> {
    match &*objects.type_name(number)? {
        "int" => Ok(i32::try_from(objects.int(number)?).ok().filter(|fd| (0..DESCRIPTORS).contains(&i128::from(*fd)))),
        _ => Ok(None),
    }
}

/// ` on fd 7`, or nothing.
fn on(fd: Option<i32>) -> String {
    fd.map(|fd| format!(" on fd {fd}")).unwrap_or_default()
}

impl Explainer<'_, '_> {
    /// The descriptor of a transport, through TLS.
    fn of_transport(&self, transport: Addr) -> Result<Option<i32>, ReadError> {
        let mut transport = transport;
        for _ in 0..DEPTH {
            let names = ["_sock_fd", "_fileno", "_ssl_protocol", "_transport"];
            let [socket, pipe, tls, inner] = self.objects.instance_attributes(transport, names)?;
            if let Some(number) = socket.or(pipe) {
                return descriptor(self.objects, number);
            }
            match tls.or(inner) {
                Some(next) => transport = next,
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The descriptor of a `socket.socket`: `PySocketSockObject { sock_fd, … }` behind the header
    /// (`Modules/socketmodule.h`).
    fn of_socket(&self, socket: Addr) -> Result<Option<i32>, ReadError> {
        let mut socket = socket;
        for base in self.objects.bases(self.objects.type_of(socket)?)? {
            if &*self.objects.name_of_type(base)? == "_socket.socket" {
                return Ok(Some(self.objects.word::<i32>(socket, 0)?).filter(|fd| *fd >= 0));
            }
        }
        // `TransportSocket` has the real one.
        let [Some(inner)] = self.objects.slots(socket, ["_sock"])? else { return Ok(None) };
        socket = inner;
        for base in self.objects.bases(self.objects.type_of(socket)?)? {
            if &*self.objects.name_of_type(base)? == "_socket.socket" {
                return Ok(Some(self.objects.word::<i32>(socket, 0)?).filter(|fd| *fd >= 0));
            }
        }
        Ok(None)
    }

    /// A `StreamReader` or `StreamWriter`, by the outermost of its methods.
    pub(super) fn stream(&self, steps: &[Step]) -> Result<Option<Reason>, ReadError> {
        let Some(innermost) = steps.first() else { return Ok(None) };
        let methods = steps
            .iter()
            .take_while(|step| matches!(step.rule, Some(Rule::StreamData | Rule::StreamDrain | Rule::Stream(_))));
        let method = methods.filter_map(|step| match step.rule {
            Some(Rule::Stream(method)) => Some((method, *step)),
            _ => None,
        });
        let (method, step) = method.last().unwrap_or(("read", *innermost));
        let this = self.local(step, "self")?;
        let [transport] = self.objects.instance_attributes(this, ["_transport"])?;
        let class = self.class(this)?;
        let fd = match transport {
            Some(transport) => tolerate(self.of_transport(transport))?.flatten(),
            None => None,
        };
        let of = match (fd, transport) {
            (None, Some(transport)) => format!(" on a {}", short(&self.objects.type_name(transport)?)),
            (fd, _) => on(fd),
        };
        Ok(Some(Reason::new(AwaitKind::Socket, this, format!("{class}.{method}{of}")).with_fd(fd)))
    }

    /// A `sock_*` method of the loop.
    pub(super) fn socket(&self, step: Step, method: &'static str) -> Result<Option<Reason>, ReadError> {
        let socket = self.local(step, "sock")?;
        let fd = tolerate(self.of_socket(socket))?.flatten();
        let method = method.strip_prefix("sock_").unwrap_or(method);
        Ok(Some(Reason::new(AwaitKind::Socket, socket, format!("{method}{}", on(fd))).with_fd(fd)))
    }

    pub(super) fn server(&self, step: Step, method: &'static str) -> Result<Option<Reason>, ReadError> {
        let this = self.local(step, "self")?;
        let [sockets] = self.objects.instance_attributes(this, ["_sockets"])?;
        let sockets = match sockets {
            Some(sockets) => tolerate(self.objects.items(sockets, limits::ATTRIBUTES))?.unwrap_or_default(),
            None => Vec::new(),
        };
        let mut fds = Vec::new();
        for socket in sockets.iter().take(LISTENING) {
            fds.extend(tolerate(self.of_socket(*socket))?.flatten());
        }
        let only = match *fds {
            [fd] => Some(fd),
            _ => None,
        };
        let of = match fds.is_empty() {
            true => String::new(),
            false => format!(" on fd {}", fds.iter().map(i32::to_string).collect::<Vec<_>>().join(", ")),
        };
        let text = format!("{}.{method}{of}", self.class(this)?);
        Ok(Some(Reason::new(AwaitKind::Socket, this, text).with_fd(only)))
    }

    /// The end of a child process.
    pub(super) fn child(&self, step: Step) -> Result<Option<Reason>, ReadError> {
        let this = self.local(step, "self")?;
        let [pid] = self.objects.instance_attributes(this, ["_pid"])?;
        let pid = match pid {
            Some(pid) => tolerate(descriptor(self.objects, pid))?.flatten(),
            None => None,
        };
        let text = match pid {
            Some(pid) => format!("the end of child process {pid}"),
            None => "the end of a child process".to_owned(),
        };
        Ok(Some(Reason::new(AwaitKind::Subprocess, this, text)))
    }

    /// A function that anyio runs in a thread.
    pub(super) fn anyio_thread(&self, waiter: Addr, step: Step) -> Result<Option<Reason>, ReadError> {
        let names = ["func", "worker", "idle_workers"];
        let [function, worker, _] = self.variables.values(self.objects, step.frame, step.code, names)?;
        let Some(function) = function else { return Ok(None) };
        let function = short(&self.objects.callable_name(function)?);
        let thread = match worker {
            Some(worker) => match self.objects.instance_attributes(worker, ["_name"])? {
                [Some(name)] => tolerate(self.objects.checked_str(name))?,
                [None] => None,
            },
            None => None,
        };
        let thread = thread.map(|name| format!(" in thread \"{}\"", short(&name))).unwrap_or_default();
        Ok(Some(Reason::new(AwaitKind::Executor, waiter, format!("to_thread.run_sync: {function}{thread}"))))
    }

    /// A future that a selector's callback will finish; or one that is waited for by something that has a connection, of
    /// which that much is said.
    pub(super) fn by_connection(&self, waiter: Addr, steps: &[Step]) -> Result<Option<Reason>, ReadError> {
        if let Some(fd) = self.watched.get(&waiter) {
            let text = format!("a future for fd {fd}");
            return Ok(Some(Reason::new(AwaitKind::Socket, waiter, text).with_fd(Some(*fd))));
        }
        let Some(step) = steps.first().filter(|step| step.rule.is_none()) else { return Ok(None) };
        let [this] = self.variables.values(self.objects, step.frame, step.code, ["self"])?;
        let Some(this) = this else { return Ok(None) };
        let names = ["_transport", "transport", "_protocol", "protocol"];
        let [own, public, protocol, public_protocol] = self.objects.instance_attributes(this, names)?;
        let mut transport = own.or(public);
        if let (None, Some(protocol)) = (transport, protocol.or(public_protocol)) {
            let [own, public] = self.objects.instance_attributes(protocol, ["_transport", "transport"])?;
            transport = own.or(public);
        }
        let Some(transport) = transport else { return Ok(None) };
        let Some(fd) = self.of_transport(transport)? else { return Ok(None) };
        let text = format!("a future of a {} with a connection on fd {fd}", self.class(this)?);
        Ok(Some(Reason::new(AwaitKind::Future, waiter, text).with_fd(Some(fd))))
    }
}
