//! From the first look to the moment at which the script has started, or the request is withdrawn.
//!
//! The main thread is stopped, looked at, asked in the way that fits what it is doing, and let go; where the script has not
//! started some milliseconds later, that is done again. Each stop is short; between them the target runs on as ever.

use super::api::{ChannelFacts, InjectError, InjectOptions, Injected, Progress, Subject};
use super::channel_setup::Inside;
use super::choice::{chosen_thread, has_few_descriptors};
use super::context::ChannelState;
use super::entrances::Entrances;
use super::remote::Mailbox;
use super::routes::Live;
use super::situation::{LookError, Scene};
use super::turn::Turn;
use super::{Attempt, CodeMap, Decision, Doing, Route, Situation, Symbols, hindrance, leftovers, plan};
use crate::os::{Control, Held, MemoryWriter, SharpTimers, StopError, Stopping};
use std::time::{Duration, Instant};

/// How long a script may take to start before the main thread is looked at again; doubled each time.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// Not less often than this.
const LOOK_AT_LEAST: Duration = Duration::from_millis(400);
/// How soon to look again when nothing could be done; half as long again each time.
const RETRY: Duration = Duration::from_millis(5);
/// Not less often than this.
const RETRY_AT_LEAST: Duration = Duration::from_millis(100);
/// How often the kernel may refuse to stop the thread: another tracer may be there for a moment.
const REFUSALS: u32 = 10;
/// How often a thread that waits for a lock is woken in vain before that is taken to be no use. One that has woken up and wants
/// the GIL does not wait for the lock any more.
const WAKES: u32 = 3;
/// How long a thread may take to stop.
const STOP_LIMIT: Duration = Duration::from_millis(500);
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
    let _sharp = SharpTimers::begin();
    let code = CodeMap::new(subject.modules, subject.runtime);
    let symbols = find_symbols(subject, &code)?;
    let scene = Scene::new(subject.process, subject.memory, subject.runtime, &code, &symbols);
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
    let entrances = Entrances::new(&symbols)?;
    let tid = chosen_thread(subject, &scene, &options.thread)?;
    let mut session = Session {
        subject: *subject,
        options,
        program,
        entrances,
        writer: MemoryWriter::new(subject.process.pid),
        inside: Inside::of(subject.process.pid),
        scene: &scene,
        excluded: Vec::new(),
        few_descriptors: has_few_descriptors(subject),
        tid,
        mailbox: Mailbox::find(subject, tid),
        looks: 0,
        refusals: 0,
        look_soon: false,
        wakes: 0,
        late: None,
        has_leftovers: leftovers::are_there(subject),
        began,
        deadline,
        live: None,
        why: "nothing was tried".to_owned(),
        seen: None,
        stops: Vec::new(),
    };
    let route = session.run(on_progress)?;
    let tid = (route != Route::NewThread).then_some(tid);
    let paused = session.stops.iter().sum();
    Ok(Injected { route, tid, waited: began.elapsed(), paused, stops: session.stops, _turn: turn })
}

/// Looks once and says what would be done; nothing is changed.
pub fn look(subject: &Subject<'_>, options: &InjectOptions) -> Result<(Situation, Decision, Duration), InjectError> {
    let code = CodeMap::new(subject.modules, subject.runtime);
    let symbols = find_symbols(subject, &code)?;
    let scene = Scene::new(subject.process, subject.memory, subject.runtime, &code, &symbols);
    let tid = chosen_thread(subject, &scene, &options.thread)?;
    if let Some(hindrance) = hindrance(subject.process, tid) {
        return Err(InjectError::Refused(hindrance.text));
    }
    let held = Held::stop(tid, STOP_LIMIT)?;
    let registers = held.registers().map_err(|source| InjectError::Step { step: "reading registers", source })?;
    let situation = scene.look(tid, &registers);
    let paused = held.let_go();
    let situation = judged(situation.map_err(|error| InjectError::Refused(error.to_string()))?, options);
    let few_descriptors = has_few_descriptors(subject);
    let attempt = Attempt { only: options.only_route, few_descriptors, ..Attempt::default() };
    let decision = plan(&situation, &options.thread, &attempt);
    Ok((situation, decision, paused))
}

fn find_symbols(subject: &Subject<'_>, code: &CodeMap<'_>) -> Result<Symbols, InjectError> {
    if !crate::os::SUPPORTED {
        return Err(InjectError::Refused("scripts can be run on x86-64 only".to_owned()));
    }
    let symbols = Symbols::find(code, subject.memory, subject.runtime);
    symbols.map_err(|error| InjectError::Refused(error.to_string()))
}

/// The situation as the options want it judged.
fn judged(situation: Situation, options: &InjectOptions) -> Situation {
    Situation { seccomp_kills: situation.seccomp_kills && !options.ignore_seccomp, ..situation }
}

/// One attempt to get a script to run.
pub(super) struct Session<'a> {
    pub(super) subject: Subject<'a>,
    options: &'a InjectOptions,
    pub(super) program: &'a dyn Fn(&ChannelFacts) -> Vec<u8>,
    pub(super) entrances: Entrances,
    pub(super) writer: MemoryWriter,
    pub(super) inside: Inside,
    scene: &'a Scene<'a>,
    /// Routes that have turned out not to work.
    excluded: Vec<Route>,
    few_descriptors: bool,
    looks: u32,
    /// How often the kernel refused to stop it.
    refusals: u32,
    /// The last look has only shown what has to be read before the next.
    look_soon: bool,
    /// How often it was woken in vain.
    wakes: u32,
    /// A stop that was asked for and has not come.
    pub(super) late: Option<Stopping>,
    /// There is something that a pyattach which was killed has left.
    pub(super) has_leftovers: bool,
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
        let (mut interval, mut retry) = (LOOK_AGAIN, RETRY);
        loop {
            if let Err(error) = self.attempt(on_progress) {
                return self.withdraw().ok_or(error);
            }
            if std::mem::take(&mut self.look_soon) {
                continue;
            }
            let wait = if self.live.is_some() { interval } else { retry };
            match self.wait_for_start(Instant::now() + wait, on_progress) {
                Ok(None) => {}
                Ok(Some(route)) => return Ok(route),
                Err(error) => return self.withdraw().ok_or(error),
            }
            let is_over = Instant::now() >= self.deadline || self.options.is_cancelled();
            if is_over || (self.live.is_none() && !self.options.wait) {
                return match self.withdraw() {
                    Some(route) => Ok(route),
                    None => Err(self.not_started()),
                };
            }
            if self.live.is_some() {
                interval = (interval * 2).min(LOOK_AT_LEAST);
            } else {
                (interval, retry) = (LOOK_AGAIN, (retry * 3 / 2).min(RETRY_AT_LEAST));
            }
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
                    self.excluded.push(Route::SignalFrame);
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
        let registers = held.registers().map_err(|source| InjectError::Step { step: "reading registers", source })?;
        let situation = match self.scene.look_briefly(self.tid, &registers) {
            Ok(situation) => judged(situation, self.options),
            Err(LookError::Gone) => return Err(InjectError::Gone),
            Err(error) => {
                self.stops.push(held.let_go());
                self.why = error.to_string();
                self.look_soon = self.scene.prepare();
                return Ok(());
            }
        };
        self.count_wakes(&situation);
        let (only, few_descriptors) = (self.options.only_route, self.few_descriptors);
        let attempt = Attempt { number: self.looks, excluded: &self.excluded, only, few_descriptors };
        let decision = plan(&situation, &self.options.thread, &attempt);
        self.looks += 1;
        let mut news = Vec::new();
        let done = match &decision {
            Decision::Go(route, _) => self.go(&held, *route, &mut news).or_else(|error| self.once_more(error)),
            Decision::Wait(why) => {
                self.why.clone_from(why);
                Ok(())
            }
            Decision::Refuse(why) => Err(InjectError::Refused(why.clone())),
        };
        let paused = held.let_go();
        self.stops.push(paused);
        self.seen = Some(situation.clone());
        on_progress(Progress::Looked { situation, decision, paused });
        news.into_iter().for_each(on_progress);
        done
    }

    /// A thread that was woken in its wait for a lock should have looked around, and be gone from there, or be done.
    fn count_wakes(&mut self, situation: &Situation) {
        let was_woken = self.live.as_ref().is_some_and(|live| live.route == Route::PendingCallWoken);
        if was_woken && situation.doing == Doing::PythonLock {
            self.wakes += 1;
            if self.wakes == WAKES {
                self.excluded.push(Route::PendingCallWoken);
            }
        }
    }

    /// `None`: it cannot be stopped now; the reason is kept.
    fn stop(&mut self) -> Result<Option<Held>, InjectError> {
        // What we trace ourselves already is no hindrance.
        if self.late.is_none()
            && let Some(hindrance) = hindrance(self.subject.process, self.tid)
        {
            return match hindrance.may_pass() {
                true => {
                    self.why = hindrance.text;
                    Ok(None)
                }
                false => Err(InjectError::Refused(hindrance.text)),
            };
        }
        let stopping = match self.late.take().map_or_else(|| Stopping::new(self.tid), Ok) {
            Ok(stopping) => stopping,
            Err(StopError::Gone) => return Err(InjectError::Gone),
            // Somebody else was faster, or it may not be traced at all.
            Err(StopError::Refused) if self.refusals < REFUSALS => {
                self.refusals += 1;
                self.why = "the kernel refused to stop it".to_owned();
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let limit = STOP_LIMIT.min(self.deadline.saturating_duration_since(Instant::now()));
        match stopping.wait(limit) {
            Ok(held) => Ok(Some(held)),
            Err((StopError::Gone, _)) => Err(InjectError::Gone),
            Err((error @ StopError::Deadline, late)) => {
                self.late = late;
                self.why = format!("its main thread could not be stopped: {error}");
                Ok(None)
            }
            Err((error, _)) => Err(error.into()),
        }
    }
}
