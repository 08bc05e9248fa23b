//! From the first look to the moment at which the script has started, or the request is withdrawn.
//!
//! The main thread is stopped, looked at, asked in the way that fits what it is doing, and let go; where the script has not
//! started some milliseconds later, that is done again. Each stop is short; between them the target runs on as ever.

use super::api::{ChannelFacts, InjectError, InjectOptions, Injected, Progress, Subject};
use super::context::ChannelState;
use super::entrances::Entrances;
use super::remote::Mailbox;
use super::routes::Live;
use super::stand_in::{look as classify, plan};
use super::turn::Turn;
use super::{Decision, Route, Situation};
use crate::os::{Control, Held, MemoryWriter, StopError};
use std::time::{Duration, Instant};

/// How long a script may take to start before the main thread is looked at again; doubled each time.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// Not less often than this.
const LOOK_AT_LEAST: Duration = Duration::from_millis(400);
/// How soon to look again when nothing could be done.
const RETRY: Duration = Duration::from_millis(5);
/// How long a thread may take to stop.
pub(super) const STOP_LIMIT: Duration = Duration::from_millis(500);
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
        tid: subject.process.pid,
        mailbox: Mailbox::find(subject, subject.process.pid),
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

/// One attempt to get a script to run.
pub(super) struct Session<'a> {
    pub(super) subject: Subject<'a>,
    options: &'a InjectOptions,
    pub(super) program: &'a dyn Fn(&ChannelFacts) -> Vec<u8>,
    pub(super) entrances: Entrances,
    pub(super) writer: MemoryWriter,
    /// The thread that is borrowed.
    pub(super) tid: i32,
    /// Where CPython's own protocol would leave a script for it.
    pub(super) mailbox: Option<Mailbox>,
    began: Instant,
    pub(super) deadline: Instant,
    /// What has been asked of the target.
    pub(super) live: Option<Live>,
    /// What is in the way, as far as known.
    pub(super) why: String,
    seen: Option<Situation>,
    pub(super) stops: Vec<Duration>,
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
            match live.state() {
                ChannelState::Running | ChannelState::Done => return Ok(Some(live.route)),
                ChannelState::Failed => {
                    return Err(InjectError::Failed("it could not set up the program".to_owned()));
                }
                ChannelState::Waiting if live.is_lost(&self.subject) => {
                    return Err(InjectError::Failed("it took the program but did not run it".to_owned()));
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
        if self.live.as_ref().is_some_and(Live::is_under_way) {
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
        match Held::stop(self.tid, limit) {
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
}
