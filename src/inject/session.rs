//! From the first look to the moment at which the script has started, or the request is withdrawn.
//!
//! The main thread is stopped, looked at, asked in the way that fits what it is doing, and let go; where the script has not
//! started some milliseconds later, that is done again. Each stop is short; between them the target runs on as ever.

use super::api::{ChannelFacts, InjectError, InjectOptions, Injected, Progress, Subject};
use super::borrow::{Borrowed, Gadgets, GoOn};
use super::channel_setup::{Order, Request};
use super::context::ChannelState;
use super::entrances::Entrances;
use super::stand_in::{look as classify, plan};
use super::turn::Turn;
use super::{Decision, Route, Situation};
use crate::os::{Control, Held, MemoryWriter, StopError};
use nix::errno::Errno;
use std::time::{Duration, Instant};

/// How long a script may take to start before the main thread is looked at again; doubled each time.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// Not less often than this.
const LOOK_AT_LEAST: Duration = Duration::from_millis(400);
/// How soon to look again when nothing could be done.
const RETRY: Duration = Duration::from_millis(5);
/// How long a thread may take to stop.
const STOP_LIMIT: Duration = Duration::from_millis(500);
/// How long what has claimed a request may take to say that it runs.
const CLAIM_LIMIT: Duration = Duration::from_millis(200);

/// Starts a script in a process and returns as soon as it runs there.
///
/// `program` makes the text that is run, see [`ChannelFacts`]; it is called while the main thread stands still, so it should
/// only put together what is there already. Whoever calls this reads the records from the file of
/// [`Progress::ChannelOpen`], and keeps what is returned until the script has ended.
pub fn inject(
    subject: &Subject<'_>,
    options: &InjectOptions,
    program: &dyn Fn(&ChannelFacts) -> Vec<u8>,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Injected, InjectError> {
    let began = Instant::now();
    let deadline = began + options.start_limit;
    refuse_unfit(subject)?;
    let turn = Turn::take(subject.process, deadline, &mut || on_progress(Progress::WaitingForTurn), &|| {
        options.is_cancelled()
    });
    let not_ours = || InjectError::NotStarted {
        waited: began.elapsed(),
        why: "another pyattach is busy with this process".to_owned(),
        situation: None,
        paused: Duration::ZERO,
    };
    let turn = turn.ok_or_else(not_ours)?;
    let entrances = Entrances::find(subject)?;
    let mut session = Session {
        subject: *subject,
        options,
        program,
        entrances,
        writer: MemoryWriter::new(subject.process.pid),
        began,
        deadline,
        live: None,
        why: "nothing was tried".to_owned(),
        seen: None,
        stops: Vec::new(),
    };
    let route = session.run(on_progress)?;
    let tid = (route != Route::NewThread).then_some(subject.process.pid);
    let paused = session.stops.iter().sum();
    Ok(Injected { route, tid, waited: began.elapsed(), paused, stops: session.stops, _turn: turn })
}

/// Looks once and says what would be done; nothing is changed.
pub fn look(subject: &Subject<'_>, options: &InjectOptions) -> Result<(Situation, Decision, Duration), InjectError> {
    refuse_unfit(subject)?;
    let held = Held::stop(subject.process.pid, STOP_LIMIT)?;
    let registers = held.registers().map_err(|source| InjectError::Step { step: "reading registers", source })?;
    let situation = classify(subject, &registers);
    let decision = plan(&situation, options.only_route);
    let since = held.since();
    drop(held);
    Ok((situation, decision, since.elapsed()))
}

fn refuse_unfit(subject: &Subject<'_>) -> Result<(), InjectError> {
    if !crate::os::SUPPORTED {
        return Err(InjectError::Refused("scripts can be run on x86-64 only".to_owned()));
    }
    match subject.process.state() {
        'T' => Err(InjectError::Refused("it is stopped by a signal; send it SIGCONT first".to_owned())),
        'Z' | 'X' => Err(InjectError::Refused("its main thread has ended".to_owned())),
        _ => Ok(()),
    }
}

/// What has been asked of the target.
struct Live {
    request: Request,
    route: Route,
}

struct Session<'a> {
    subject: Subject<'a>,
    options: &'a InjectOptions,
    program: &'a dyn Fn(&ChannelFacts) -> Vec<u8>,
    entrances: Entrances,
    writer: MemoryWriter,
    began: Instant,
    deadline: Instant,
    live: Option<Live>,
    /// What is in the way, as far as known.
    why: String,
    seen: Option<Situation>,
    stops: Vec<Duration>,
}

impl Session<'_> {
    fn run(&mut self, on_progress: &mut dyn FnMut(Progress)) -> Result<Route, InjectError> {
        let mut interval = LOOK_AGAIN;
        loop {
            let turn = self.attempt(on_progress);
            if let Err(error) = turn {
                self.withdraw();
                return Err(error);
            }
            let wait = if self.live.is_some() { interval } else { RETRY };
            if let Some(route) = self.wait_for_start(Instant::now() + wait, on_progress)? {
                return Ok(route);
            }
            let is_over = Instant::now() >= self.deadline || self.options.is_cancelled();
            if is_over || (self.live.is_none() && !self.options.wait) {
                return match self.withdraw() {
                    Some(route) => Ok(route),
                    None => Err(self.not_started()),
                };
            }
            interval = (interval * 2).min(LOOK_AT_LEAST);
        }
    }

    fn not_started(&self) -> InjectError {
        InjectError::NotStarted {
            waited: self.began.elapsed(),
            why: self.why.clone(),
            situation: self.seen.clone().map(Box::new),
            paused: self.stops.iter().sum(),
        }
    }

    /// Waits for the script to start; the route it took if it has.
    fn wait_for_start(
        &mut self,
        until: Instant,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Option<Route>, InjectError> {
        let until = until.min(self.deadline);
        let began = Instant::now();
        while let Some(live) = &self.live {
            match live.request.state() {
                ChannelState::Running | ChannelState::Done => return Ok(Some(live.route)),
                ChannelState::Failed => {
                    return Err(InjectError::Failed("it could not set up the program".to_owned()));
                }
                ChannelState::Waiting | ChannelState::Claimed => {}
                ChannelState::Late | ChannelState::Cancelled | ChannelState::Unknown => self.live = None,
                ChannelState::HeldGil => {
                    self.why = "the main thread holds the GIL in the system call that it waits in".to_owned();
                    self.live = None;
                    on_progress(Progress::ChannelClosed);
                }
            }
            let now = Instant::now();
            if now >= until || self.options.is_cancelled() {
                break;
            }
            let pause = if now - began < Duration::from_millis(3) { 50 } else { 300 };
            std::thread::sleep(Duration::from_micros(pause));
        }
        if self.live.is_none() {
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
        } else if !self.subject.process.is_alive() {
            return Err(InjectError::Gone);
        }
        Ok(None)
    }

    /// Stops the main thread, looks, does what fits, and lets it go.
    fn attempt(&mut self, on_progress: &mut dyn FnMut(Progress)) -> Result<(), InjectError> {
        if self.live.as_ref().is_some_and(|live| matches!(live.route, Route::SignalFrame | Route::NewThread)) {
            // It is under way, and waits for the GIL.
            return Ok(());
        }
        let Some(held) = self.stop()? else { return Ok(()) };
        let since = held.since();
        let registers = held.registers().map_err(|source| InjectError::Step { step: "reading registers", source })?;
        let situation = classify(&self.subject, &registers);
        let decision = plan(&situation, self.options.only_route);
        let mut news = Vec::new();
        let done = match &decision {
            Decision::Go(route, _) => self.go(&held, *route, &mut news),
            Decision::Wait(why) => {
                self.why.clone_from(why);
                Ok(())
            }
            Decision::Refuse(why) => Err(InjectError::Refused(why.clone())),
        };
        drop(held);
        let paused = since.elapsed();
        self.stops.push(paused);
        self.seen = Some(situation.clone());
        on_progress(Progress::Looked { situation, decision, paused });
        news.into_iter().for_each(on_progress);
        done
    }

    /// `None`: it cannot be stopped now; the reason is kept.
    fn stop(&mut self) -> Result<Option<Held>, InjectError> {
        let limit = STOP_LIMIT.min(self.deadline.saturating_duration_since(Instant::now()));
        match Held::stop(self.subject.process.pid, limit) {
            Ok(held) => Ok(Some(held)),
            Err(StopError::Gone) => Err(InjectError::Gone),
            Err(StopError::Refused) => match self.subject.process.facts().tracer {
                Some((_, name)) => {
                    self.why = format!("it is being traced by {name}");
                    Ok(None)
                }
                None => Err(StopError::Refused.into()),
            },
            Err(error @ (StopError::Deadline | StopError::Uninterruptible)) => {
                self.why = format!("its main thread could not be stopped: {error}");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Goes a way with the main thread held, if it is not going that way already.
    fn go(&mut self, held: &Held, route: Route, news: &mut Vec<Progress>) -> Result<(), InjectError> {
        if let Some(live) = &mut self.live {
            let is_queued = matches!(live.route, Route::PendingCall | Route::PendingCallWoken);
            match route {
                Route::PendingCall if is_queued => return Ok(()),
                Route::PendingCallWoken if is_queued => {
                    live.route = route;
                    return wake(held);
                }
                _ if !self.take_back(held, news)? => return Ok(()),
                _ => {}
            }
        }
        self.ask(held, route, news)
    }

    /// Withdraws what is queued, because another way is better now. False if it has started meanwhile.
    fn take_back(&mut self, held: &Held, news: &mut Vec<Progress>) -> Result<bool, InjectError> {
        let Some(live) = &self.live else { return Ok(true) };
        live.request.cancel();
        if live.request.state() != ChannelState::Waiting {
            return Ok(false);
        }
        let mut borrowed = self.borrow(held, GoOn::AsBefore)?;
        live.request.close(&mut borrowed, self.subject.process.pid);
        borrowed.give_back(GoOn::AsBefore)?;
        self.live = None;
        news.push(Progress::ChannelClosed);
        Ok(true)
    }

    fn borrow<'h>(&'h self, held: &'h Held, go_on: GoOn) -> Result<Borrowed<'h>, InjectError> {
        Borrowed::begin(held, &self.writer, self.gadgets(), go_on)
    }

    fn gadgets(&self) -> Gadgets {
        self.entrances.gadgets
    }

    /// Puts a request in place by a route.
    fn ask(&mut self, held: &Held, route: Route, news: &mut Vec<Progress>) -> Result<(), InjectError> {
        let go_on = match route {
            Route::PendingCallWoken | Route::SignalFrame => GoOn::Interrupted,
            _ => GoOn::AsBefore,
        };
        let mut borrowed = self.borrow(held, go_on)?;
        let order = Order {
            subject: self.subject,
            entrances: &self.entrances,
            writer: &self.writer,
            route,
            deadline: self.deadline,
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
                return Err(error);
            }
        }
        news.push(Progress::Requested { route });
        self.live = Some(Live { request, route });
        Ok(())
    }

    /// The last step of each route. Why it could not be done, if so; nothing is left of it then.
    fn arm(
        &self,
        mut borrowed: Borrowed<'_>,
        request: &Request,
        route: Route,
        go_on: GoOn,
    ) -> Result<Option<String>, InjectError> {
        let code = &self.entrances.code;
        let (function, entry, what) = match route {
            Route::PendingCall | Route::PendingCallWoken => {
                (self.entrances.add_pending_call, code.pending, "its queue of pending calls is full")
            }
            Route::NewThread => (self.entrances.start_new_thread, code.thread, "it could not start a thread"),
            Route::SignalFrame => {
                borrowed.send_off(request.base.offset(code.on_top), request.context())?;
                return Ok(None);
            }
            Route::RemoteDebugger | Route::RemoteDebuggerWoken => {
                request.undo(&mut borrowed, self.subject.process.pid);
                borrowed.give_back(GoOn::AsBefore)?;
                return Ok(Some("not yet".to_owned()));
            }
        };
        let args = [request.base.offset(entry), request.context()];
        let result = match request.call(&mut borrowed, &self.subject, function, args) {
            Ok(result) => result,
            Err(error) => {
                borrowed.recover();
                return Err(error);
            }
        };
        let failed = match route {
            Route::NewThread => result == u64::MAX,
            _ => result as u32 != 0,
        };
        match failed {
            true => request.undo(&mut borrowed, self.subject.process.pid),
            false => request.unmap_return(&mut borrowed),
        }
        borrowed.give_back(if failed { GoOn::AsBefore } else { go_on })?;
        Ok(failed.then(|| what.to_owned()))
    }

    /// Takes the request back. The route if the script has started after all.
    fn withdraw(&mut self) -> Option<Route> {
        let live = self.live.take()?;
        live.request.cancel();
        let began = Instant::now();
        loop {
            match live.request.state() {
                state if state.has_started() => return Some(live.route),
                ChannelState::Claimed if began.elapsed() < CLAIM_LIMIT => {
                    std::thread::sleep(Duration::from_micros(50));
                }
                _ => break,
            }
        }
        // Whoever is under way closes the channel; what is queued may be so for long.
        if matches!(live.route, Route::PendingCall | Route::PendingCallWoken)
            && live.request.is_open_in(self.subject.process.pid)
            && let Ok(held) = Held::stop(self.subject.process.pid, STOP_LIMIT)
        {
            if let Ok(mut borrowed) = self.borrow(&held, GoOn::AsBefore) {
                live.request.close(&mut borrowed, self.subject.process.pid);
                let _ = borrowed.give_back(GoOn::AsBefore);
            }
            self.stops.push(held.since().elapsed());
        }
        None
    }
}

/// Makes the call that a thread waits in return `EINTR`.
fn wake(held: &Held) -> Result<(), InjectError> {
    let step = |source: Errno| InjectError::Step { step: "waking the main thread", source };
    let registers = held.registers().map_err(step)?;
    held.set_registers(&registers.with_interrupted_call()).map_err(step)
}
