//! The thread that does it: finds the interpreter, has the script started, and reads what it says.

use super::collect::{Collected, milliseconds};
use super::follow::{Followed, Outside, follow};
use super::{ExecOptions, ExecReport, ExecStatus, ExecThread, Message, News, words};
use crate::base::{Problem, ProblemKind};
use crate::cpython::find;
use crate::inject::bootstrap::{Place, prepare};
use crate::inject::channel::{Channel, Event};
use crate::inject::{
    ChannelFacts, ChannelState, Decision, InjectError, InjectOptions, Injected, Progress, Route, Script, Subject,
    channel_state, inject, look,
};
use crate::os::{OsError, Process, Progress as Doing, StopError};
use crate::report::stack::{StackError, find_error};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

/// How it went, beside what the script said.
#[derive(Debug, Default)]
pub(super) struct End {
    status: Option<ExecStatus>,
    reason: Option<String>,
    route: Option<Route>,
    why: Option<String>,
    would: Vec<String>,
    waited: Option<Duration>,
    paused: Option<Duration>,
    tid: Option<i32>,
    problem: Option<Problem>,
}

impl End {
    /// Completes the report.
    pub(super) fn put_into(self, report: &mut ExecReport) {
        report.status = self.status.unwrap_or(report.status);
        report.reason = self.reason;
        report.route = self.route.map(words::name);
        report.why = self.why;
        report.would = self.would;
        report.waited_ms = self.waited.map(milliseconds);
        report.paused_us = self.paused.map(|paused| paused.as_micros() as u64);
        match &mut report.thread {
            Some(thread) => thread.tid = self.tid,
            // A script that has printed nothing yet has not said which thread it is in either.
            thread => *thread = self.tid.map(|tid| ExecThread { tid: Some(tid), ident: None, name: None }),
        }
        report.problems.extend(self.problem);
    }

    fn of(status: ExecStatus, reason: impl Into<String>) -> End {
        End { status: Some(status), reason: Some(reason.into()), ..End::default() }
    }
}

/// Does all of it, and sends what happens. The last message is the end.
pub(super) fn run(
    process: &Process,
    script: &Script,
    options: &ExecOptions,
    cancel: &Arc<AtomicBool>,
    doing: &Doing,
    sender: &Sender<Message>,
) {
    let work = Work { process, script, options, cancel, doing, sender };
    let end = work.run();
    // Nobody listens any more when the other side has given up.
    let _ = sender.send(Message::End(end));
}

struct Work<'a> {
    process: &'a Process,
    script: &'a Script,
    options: &'a ExecOptions,
    cancel: &'a Arc<AtomicBool>,
    doing: &'a Doing,
    sender: &'a Sender<Message>,
}

/// The channel that is in use, and how the script came to it.
#[derive(Default)]
struct Seen {
    channel: Option<(File, u64)>,
    why: Option<String>,
}

impl Work<'_> {
    fn run(&self) -> Result<End, StackError> {
        let process = self.process;
        self.doing.at("reading /proc/PID/maps");
        let modules = process.modules()?;
        let memory = process.memory();
        self.doing.at("looking for the interpreter");
        let runtime =
            find(process, &modules, &memory, self.options.layout).map_err(|source| match process.is_alive() {
                true => find_error(process.pid, source),
                false => OsError::Gone(process.pid).into(),
            })?;
        let subject = Subject { process, modules: &modules, memory: &memory, runtime: &runtime };
        let options = InjectOptions {
            thread: self.options.thread.clone(),
            start_limit: self.options.start_limit,
            wait: self.options.wait,
            only_route: self.options.only_route,
            ignore_seccomp: self.options.ignore_seccomp,
            cancel: Some(Arc::clone(self.cancel)),
        };
        if self.options.dry_run {
            self.doing.at("looking at the main thread");
            return look(&subject, &options).map_or_else(|error| self.failed(error), |seen| Ok(planned(seen)));
        }
        self.doing.at("starting the script");
        let mut seen = Seen::default();
        let prepared = prepare(self.script);
        let program = |facts: &ChannelFacts| prepared.render(&place(facts)).into_bytes();
        match inject(&subject, &options, &program, &mut |progress| self.progress(progress, &mut seen)) {
            Err(error) => self.failed(error),
            Ok(injected) => Ok(self.watch(&injected, seen)),
        }
    }

    fn send(&self, message: Message) {
        let _ = self.sender.send(message);
    }

    fn progress(&self, progress: Progress, seen: &mut Seen) {
        let news = match progress {
            Progress::WaitingForTurn => News::WaitingForTurn,
            Progress::Looked { decision, paused, .. } => {
                if let Decision::Go(_, why) = &decision {
                    seen.why = Some(why.clone());
                }
                News::Looked { decision: in_words(&decision), paused }
            }
            Progress::Requested { route } => News::Requested(route),
            Progress::ChannelOpen { file, facts } => {
                seen.channel = Some((file, facts.stream_at));
                return;
            }
            Progress::ChannelClosed => {
                seen.channel = None;
                return;
            }
        };
        self.send(Message::News(news));
    }

    /// Why nothing ran.
    fn failed(&self, error: InjectError) -> Result<End, StackError> {
        let cancelled = self.cancel.load(Ordering::Relaxed);
        match error {
            InjectError::Gone => Err(OsError::Gone(self.process.pid).into()),
            InjectError::Stop(StopError::Gone) => Err(OsError::Gone(self.process.pid).into()),
            InjectError::Stop(StopError::Refused) => Err(self.process.denied().into()),
            InjectError::Refused(why) => Ok(End::of(ExecStatus::Refused, why)),
            InjectError::NotStarted { waited, why, paused, .. } => {
                let seconds = waited.as_secs_f64();
                let reason = match cancelled {
                    true => format!("waiting was ended after {seconds:.1} s, before the script started: {why}"),
                    false => format!("the script did not start within {seconds:.1} s (--timeout): {why}"),
                };
                let end = End::of(ExecStatus::NotStarted, reason);
                Ok(End { waited: Some(waited), paused: Some(paused), ..end })
            }
            error => Ok(End::of(ExecStatus::Refused, error.to_string())),
        }
    }

    /// Reads what the script says until it is over, or long enough.
    fn watch(&self, injected: &Injected, seen: Seen) -> End {
        self.doing.at("reading what the script prints");
        self.send(Message::News(News::Started));
        let mut end = End {
            route: Some(injected.route),
            why: seen.why,
            waited: Some(injected.waited),
            paused: Some(injected.paused),
            tid: injected.tid,
            ..End::default()
        };
        let Some((file, start)) = seen.channel else {
            end.status = Some(ExecStatus::StillRunning);
            end.reason = Some("there is no channel to read from".to_owned());
            return end;
        };
        let mut collected = Collected::default();
        let followed = match file.try_clone() {
            Err(error) => Followed::Broken(error.into()),
            Ok(clone) => self.follow(&mut Channel::new(clone, start), &file, &mut collected),
        };
        if end.tid.is_none() && self.process.facts().ns_pids.len() == 1 {
            end.tid = collected.native_id;
        }
        self.send(Message::Collected(Box::new(collected)));
        self.conclude(followed, &mut end);
        end
    }

    fn follow(&self, channel: &mut Channel, file: &File, collected: &mut Collected) -> Followed {
        let outside = Outside {
            is_alive: &|| self.process.is_alive(),
            has_failed: &|| channel_state(file) == ChannelState::Failed,
            is_cancelled: &|| self.cancel.load(Ordering::Relaxed),
        };
        follow(channel, self.options.run_limit, &outside, &mut |event| {
            if let Event::Output(stream, bytes) = &event {
                self.send(Message::News(News::Output(*stream, bytes.clone())));
            }
            collected.take(event);
        })
    }

    fn conclude(&self, followed: Followed, end: &mut End) {
        let (status, reason) = match followed {
            Followed::Done => return,
            Followed::Gone => (ExecStatus::Gone, "the process ended while the script ran".to_owned()),
            Followed::Failed => (
                ExecStatus::Refused,
                "Python could not run it: an audit hook may have refused, or memory or stack are short".to_owned(),
            ),
            Followed::Late => {
                let seconds = self.options.run_limit.unwrap_or_default().as_secs_f64();
                let words =
                    format!("the script is still running after {seconds:.1} s (--run-timeout); it was left alone");
                (ExecStatus::StillRunning, words)
            }
            Followed::Cancelled => (
                ExecStatus::StillRunning,
                "the script was still running when waiting was ended; it was left alone".to_owned(),
            ),
            Followed::Broken(error) => {
                end.problem = Some(Problem::new(ProblemKind::Invalid, error.to_string()));
                (ExecStatus::StillRunning, "what the script says cannot be understood".to_owned())
            }
        };
        (end.status, end.reason) = (Some(status), Some(reason));
    }
}

/// What the code in the target has to know.
fn place(facts: &ChannelFacts) -> Place {
    let checked_before = !matches!(facts.route, Route::RemoteDebugger | Route::RemoteDebuggerWoken);
    Place {
        fd: facts.fd,
        text_fd: facts.text_fd,
        device: facts.device,
        inode: facts.inode,
        start: facts.stream_at,
        ns_pid: facts.ns_pid,
        deadline_ns: (!checked_before).then_some(facts.deadline_ns),
    }
}

fn in_words(decision: &Decision) -> String {
    match decision {
        Decision::Go(route, why) => format!("{}: {why}", words::name(*route)),
        Decision::Wait(why) => format!("wait: {why}"),
        Decision::Refuse(why) => format!("refuse: {why}"),
    }
}

/// The report of a dry run.
fn planned((_, decision, paused): (crate::inject::Situation, Decision, Duration)) -> End {
    let paused = Some(paused);
    match decision {
        Decision::Go(route, why) => End {
            status: Some(ExecStatus::Planned),
            route: Some(route),
            why: Some(why),
            would: words::steps(route),
            paused,
            ..End::default()
        },
        Decision::Wait(why) => End {
            status: Some(ExecStatus::Planned),
            reason: Some(format!("it would wait: {why}")),
            paused,
            ..End::default()
        },
        Decision::Refuse(why) => End { paused, ..End::of(ExecStatus::Refused, why) },
    }
}
