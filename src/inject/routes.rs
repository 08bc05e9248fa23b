//! The routes: how each request is put in place with the thread held, and how it is withdrawn.
//!
//! | route | what is touched besides the channel | how it is undone |
//! |---|---|---|
//! | pending call | CPython's list of pending calls, by its own function | it is taken from there when its turn comes; withdrawn, it skips |
//! | the same, woken | and the thread's lock wait returns `EINTR` | CPython waits on, for what is left of the time |
//! | signal frame | the thread's registers: it runs the script, then goes on | by the frame, as after a signal; its call returns `EINTR` |
//! | new thread | a thread, started by CPython's own function | it ends with the script |
//! | remote debugger | three fields of the thread's state, see `remote` | CPython clears them; withdrawn, we do |
//!
//! The thread blocks all signals for the fraction of a millisecond that a borrowing takes. One that is sent to the process as
//! a whole may be taken by another thread in that time; it then waits for the main thread as ever.

use super::api::{InjectError, Progress, Subject};
use super::borrow::{Borrowed, GoOn};
use super::channel_setup::{Order, Request};
use super::context::ChannelState;
use super::remote::Mailbox;
use super::session::Session;
use super::{Route, leftovers};
use crate::os::{Control, Held, StopError, Stopping};
use nix::errno::Errno;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long what has claimed a request may take to say that it runs.
const CLAIM_LIMIT: Duration = Duration::from_millis(300);

/// How long a thread may take from taking a script to its first line: it opens and reads a file, and may have to wait for the
/// GIL after each of these system calls.
const TAKEN_LIMIT: Duration = Duration::from_secs(3);

/// How often a thread is woken that waits for one of Python's locks and goes on waiting: for a second, by the intervals of looks.
/// musl keeps `EINTR` from its callers until the program has once installed a signal handler without `SA_RESTART` (`timedwait_cp`
/// in `src/thread/__timedwait.c`). Python's own for SIGINT is one; it has none when it was started with SIGINT ignored, as
/// by a shell's `&`.
const WAKES: u32 = 5;

/// How long the thread may take to stop in order that nothing is left behind.
const WITHDRAW_LIMIT: Duration = Duration::from_secs(3);

/// A request that is in place.
pub(super) struct Live {
    request: Request,
    pub(super) route: Route,
    /// Where it was left for CPython's own protocol.
    mailbox: Option<Mailbox>,
    /// When it was first seen to have been taken from there.
    taken: Cell<Option<Instant>>,
    /// How often the thread was woken once more.
    wakes: u32,
}

impl Live {
    /// How far it has come.
    pub(super) fn state(&self) -> ChannelState {
        self.request.state()
    }

    /// True when the thread has taken the script but has not begun with it for so long that it never will: a hook of the
    /// program's may have forbidden it.
    pub(super) fn is_lost(&self, subject: &Subject<'_>) -> bool {
        let Some(mailbox) = &self.mailbox else { return false };
        if mailbox.is_full(subject) {
            return false;
        }
        let since = self.taken.get().unwrap_or_else(Instant::now);
        self.taken.set(Some(since));
        since.elapsed() > TAKEN_LIMIT
    }

    /// True when the borrowed thread is on its way to it, or another one is, so that there is nothing to be looked at.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.route, Route::SignalFrame | Route::NewThread)
    }

    /// Waits until the program has begun, or it is certain that it will not.
    fn has_begun_within(&self, limit: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < limit && matches!(self.state(), ChannelState::Waiting | ChannelState::Claimed) {
            std::thread::sleep(Duration::from_micros(50));
        }
        self.state().has_started()
    }

    /// Withdraws it with the thread stopped. False if it has been claimed before.
    fn cancel(&self, session: &Session<'_>) -> bool {
        match &self.mailbox {
            Some(mailbox) => mailbox.take_back(&session.subject, &session.writer),
            None => {
                self.request.cancel();
                self.state() == ChannelState::Waiting
            }
        }
    }
}

impl Session<'_> {
    /// Goes a way with the thread held, if it is not going that way already.
    pub(super) fn go(&mut self, held: &Held, route: Route, news: &mut Vec<Progress>) -> Result<(), InjectError> {
        if let Some(live) = &mut self.live {
            if live.route == route || is_woken(live.route) == Some(route) {
                return match is_woken(route) {
                    // It waits for one of Python's locks as if nothing had been.
                    Some(_) if route == Route::PendingCallWoken && live.wakes == WAKES => {
                        self.excluded.push(route);
                        self.take_back(held, news).map(|_| ())
                    }
                    // It is still waiting: once more.
                    Some(_) if live.route == route => {
                        live.wakes += 1;
                        wake(held)
                    }
                    _ => Ok(()),
                };
            }
            if is_woken(route) == Some(live.route) {
                live.route = route;
                return wake(held);
            }
            if !self.take_back(held, news)? {
                return Ok(());
            }
        }
        self.ask(held, route, news)
    }

    /// Withdraws what is in place, because another way is better now. False if it has started meanwhile.
    fn take_back(&mut self, held: &Held, news: &mut Vec<Progress>) -> Result<bool, InjectError> {
        let Some(live) = self.live.take() else { return Ok(true) };
        if !live.cancel(self) {
            self.live = Some(live);
            return Ok(false);
        }
        news.push(Progress::ChannelClosed);
        self.close(held, &live).map(|()| true)
    }

    fn close(&self, held: &Held, live: &Live) -> Result<(), InjectError> {
        let mut borrowed = self.borrow(held, GoOn::AsBefore)?;
        live.request.close(&mut borrowed, self.subject.process.pid);
        borrowed.give_back(GoOn::AsBefore)
    }

    fn borrow<'h>(&'h self, held: &'h Held, go_on: GoOn) -> Result<Borrowed<'h>, InjectError> {
        Borrowed::begin(held, &self.writer, self.entrances.gadgets, go_on)
    }

    /// Puts a request in place by a route.
    fn ask(&mut self, held: &Held, route: Route, news: &mut Vec<Progress>) -> Result<(), InjectError> {
        let go_on = match route {
            Route::PendingCallWoken | Route::SignalFrame | Route::RemoteDebuggerWoken => GoOn::Interrupted,
            _ => GoOn::AsBefore,
        };
        let mut borrowed = self.borrow(held, go_on)?;
        if self.has_leftovers {
            leftovers::collect(&mut borrowed, &self.subject, self.mailbox.as_ref(), &self.writer);
        }
        let order = Order {
            subject: self.subject,
            entrances: &self.entrances,
            writer: &self.writer,
            route,
            deadline: self.deadline,
            inside: self.inside,
            program: self.program,
        };
        let request = match Request::make(&mut borrowed, &order) {
            Ok(request) => request,
            Err(error) => {
                borrowed.recover();
                return Err(error);
            }
        };
        news.push(Progress::ChannelOpen { file: request.handle()?, facts: request.facts });
        match self.arm(borrowed, &request, route, go_on) {
            Ok(None) => {}
            Ok(Some(why)) => {
                self.why = why;
                news.push(Progress::ChannelClosed);
                return Ok(());
            }
            Err(error) => {
                request.cancel();
                news.push(Progress::ChannelClosed);
                return Err(error);
            }
        }
        self.has_leftovers = false;
        news.push(Progress::Requested { route });
        let mailbox = self.mailbox.filter(|_| request.facts.text_fd.is_some());
        self.live = Some(Live { request, route, mailbox, taken: Cell::new(None), wakes: 0 });
        Ok(())
    }

    /// A step that took too long, as on a machine that is busy, or where a function had to wait for a lock: the thread finds
    /// its way back by itself, and it is tried again.
    pub(super) fn once_more(&mut self, error: InjectError) -> Result<(), InjectError> {
        match error {
            InjectError::Stop(StopError::Deadline) => {
                self.has_leftovers = true;
                self.why = "the thread did not come back in time from what it was borrowed for".to_owned();
                Ok(())
            }
            InjectError::Stop(StopError::Gone) => Err(InjectError::Gone),
            error => Err(error),
        }
    }

    /// The last step of each route. Why it could not be done, if so; nothing is left of it then.
    fn arm(
        &self,
        mut borrowed: Borrowed<'_>,
        request: &Request,
        route: Route,
        go_on: GoOn,
    ) -> Result<Option<String>, InjectError> {
        let done = match route {
            Route::SignalFrame => {
                borrowed.send_off(request.base.offset(self.entrances.code.on_top), request.context())?;
                return Ok(None);
            }
            Route::PendingCall | Route::PendingCallWoken => self.add_pending_call(&mut borrowed, request),
            Route::NewThread => self.start_thread(&mut borrowed, request),
            Route::RemoteDebugger | Route::RemoteDebuggerWoken => self.leave_script(request),
        };
        match done {
            Ok(None) => borrowed.give_back(go_on).map(|()| None),
            Ok(why) => {
                request.undo(&mut borrowed, self.subject.process.pid);
                borrowed.give_back(GoOn::AsBefore).map(|()| why)
            }
            Err(error) => {
                borrowed.recover();
                Err(error)
            }
        }
    }

    fn add_pending_call(&self, borrowed: &mut Borrowed<'_>, request: &Request) -> Result<Option<String>, InjectError> {
        let args = [request.base.offset(self.entrances.code.pending), request.context()];
        let result = request.call(borrowed, &self.subject, self.entrances.add_pending_call, args)?;
        // An int.
        Ok((result as u32 != 0).then(|| "its queue of pending calls is full".to_owned()))
    }

    fn start_thread(&self, borrowed: &mut Borrowed<'_>, request: &Request) -> Result<Option<String>, InjectError> {
        let args = [request.base.offset(self.entrances.code.thread), request.context()];
        let result = request.call(borrowed, &self.subject, self.entrances.start_new_thread, args)?;
        if result == u64::MAX {
            return Ok(Some("it could not start a thread".to_owned()));
        }
        request.unmap_return(borrowed);
        Ok(None)
    }

    fn leave_script(&self, request: &Request) -> Result<Option<String>, InjectError> {
        let Some(mailbox) = &self.mailbox else {
            return Ok(Some("the thread has no place for a script".to_owned()));
        };
        let is_put = mailbox.put(&self.subject, &self.writer, request)?;
        Ok((!is_put).then(|| "another script waits to be run there".to_owned()))
    }

    /// Takes the request back. The route if the script has started after all.
    pub(super) fn withdraw(&mut self) -> Option<Route> {
        let live = self.live.take()?;
        // What is under way closes the channel itself; what is queued may be so for long.
        let held = if live.is_under_way() { None } else { self.stop_to_withdraw() };
        if live.cancel(self) {
            if let Some(held) = &held {
                let _ = self.close(held, &live);
            }
            self.stops.extend(held.map(Held::let_go));
            return None;
        }
        self.stops.extend(held.map(Held::let_go));
        if live.has_begun_within(CLAIM_LIMIT) {
            return Some(live.route);
        }
        // Taken, and not begun with.
        live.request.spoil();
        if live.has_begun_within(CLAIM_LIMIT) {
            return Some(live.route);
        }
        if let Some(held) = self.stop_to_withdraw() {
            let _ = self.close(&held, &live);
            self.stops.push(held.let_go());
        }
        None
    }

    fn stop_to_withdraw(&mut self) -> Option<Held> {
        let stopping = self.late.take().map_or_else(|| Stopping::new(self.tid), Ok).ok()?;
        stopping.wait(WITHDRAW_LIMIT).ok()
    }
}

/// The route of which this one is the same with the thread woken.
fn is_woken(route: Route) -> Option<Route> {
    match route {
        Route::PendingCallWoken => Some(Route::PendingCall),
        Route::RemoteDebuggerWoken => Some(Route::RemoteDebugger),
        _ => None,
    }
}

/// Makes the call that a thread waits in return `EINTR`.
fn wake(held: &Held) -> Result<(), InjectError> {
    let step = |source: Errno| InjectError::Step { step: "waking the main thread", source };
    let registers = held.registers().map_err(step)?;
    held.set_registers(&registers.with_interrupted_call()).map_err(step)
}
