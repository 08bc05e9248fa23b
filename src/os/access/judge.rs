//! From what was seen to verdicts, in the order in which the kernel asks (`__ptrace_may_access` in `kernel/ptrace.c`,
//! described in `ptrace(2)`, "Ptrace access mode checking"). No I/O, so that every layer can be tested on data.

use super::advice::{containers, privileges, sudo};
use super::check::{Check, Layer, Verdict};
use super::evidence::{Attempt, Evidence, Party};
use super::status::UserNamespace;

/// `CAP_SYS_PTRACE` in `linux/capability.h`.
const CAP_SYS_PTRACE: u64 = 1 << 19;

/// The verdicts. When access is refused, one of them says so.
pub(super) fn judge(evidence: &Evidence) -> Vec<Check> {
    let mut checks = vec![
        user(evidence),
        dumpable(evidence),
        user_namespace(evidence),
        capability(evidence),
        yama(evidence),
        lsm(evidence),
        seccomp(evidence),
    ];
    if is_refused(evidence) && checks.iter().all(|check| check.verdict != Verdict::Refuses) {
        blame_the_rest(evidence, &mut checks);
    }
    checks.extend([memory(evidence), tracer(evidence), state(evidence), stopping(evidence)]);
    checks
}

fn is_refused(evidence: &Evidence) -> bool {
    evidence.memory == Attempt::Refused || evidence.maps == Attempt::Refused
}

/// A layer that would refuse does not when access is granted all the same: `PR_SET_PTRACER`, for example.
fn refuses(evidence: &Evidence, holds: bool) -> Verdict {
    if holds && is_refused(evidence) { Verdict::Refuses } else { Verdict::Fine }
}

/// We have the capability, and it counts where the target lives.
fn is_capable(evidence: &Evidence) -> bool {
    has_capability(evidence) && evidence.user_namespace != UserNamespace::Outside
}

fn has_capability(evidence: &Evidence) -> bool {
    evidence.ours.is_some_and(|ours| ours.effective & CAP_SYS_PTRACE != 0)
}

fn lacking(evidence: &Evidence) -> &'static str {
    if has_capability(evidence) { "with CAP_SYS_PTRACE in another user namespace" } else { "without CAP_SYS_PTRACE" }
}

/// All three user ids and all three group ids of the target are the caller's.
fn ids_match(ours: &Party, theirs: &Party) -> bool {
    let same = |ours: &[u32; 4], theirs: &[u32; 4]| theirs.iter().take(3).all(|id| ours.first() == Some(id));
    same(&ours.uids, &theirs.uids) && same(&ours.gids, &theirs.gids)
}

fn user(evidence: &Evidence) -> Check {
    let (Some(ours), Some(theirs)) = (&evidence.ours, &evidence.theirs) else {
        return Check::new(Layer::User, Verdict::Unknown, "the user ids could not be read");
    };
    let ([ours_real, ours_effective, ..], [theirs_real, theirs_effective, ..]) = (ours.uids, theirs.uids);
    let matches = ids_match(ours, theirs);
    let seen = if matches {
        format!("it belongs to user {theirs_effective}, as pyattach does")
    } else if is_capable(evidence) {
        format!("it belongs to user {theirs_effective}, and pyattach has CAP_SYS_PTRACE")
    } else if ours.uids == theirs.uids {
        format!("it runs under group {:?}, pyattach under {:?} {}", theirs.gids, ours.gids, lacking(evidence))
    } else if theirs_real != theirs_effective {
        format!(
            "it runs under the user ids {theirs_real} and {theirs_effective}, pyattach as user {ours_real} {}",
            lacking(evidence)
        )
    } else {
        format!("it belongs to user {theirs_effective}, pyattach runs as user {ours_effective} {}", lacking(evidence))
    };
    // With the capability in the wrong place, the user namespace is what to name.
    let refused = !matches && !is_capable(evidence) && !has_capability(evidence);
    match refuses(evidence, refused) {
        Verdict::Refuses => {
            Check::new(Layer::User, Verdict::Refuses, seen).with(privileges(evidence.pid, &evidence.surroundings))
        }
        verdict => Check::new(Layer::User, verdict, seen),
    }
}

fn dumpable(evidence: &Evidence) -> Check {
    let advice = || privileges(evidence.pid, &evidence.surroundings);
    match (evidence.dumpable, is_capable(evidence)) {
        (Some(false), false) => Check::new(
            Layer::Dumpable,
            refuses(evidence, true),
            "it has made itself non-dumpable (PR_SET_DUMPABLE, a change of user, an unreadable executable), and pyattach \
             lacks CAP_SYS_PTRACE",
        )
        .with(advice()),
        (Some(false), true) => {
            Check::new(Layer::Dumpable, Verdict::Fine, "it is not dumpable, but pyattach has CAP_SYS_PTRACE")
        }
        (Some(true), _) => Check::new(Layer::Dumpable, Verdict::Fine, "it is dumpable"),
        (None, true) => Check::new(Layer::Dumpable, Verdict::Fine, "pyattach has CAP_SYS_PTRACE"),
        (None, false) => {
            let verdict = if is_refused(evidence) { Verdict::Unknown } else { Verdict::Fine };
            Check::new(Layer::Dumpable, verdict, "whether it is dumpable does not show, as its files in /proc are root's")
        }
    }
}

fn user_namespace(evidence: &Evidence) -> Check {
    let check = |verdict, seen: &str| Check::new(Layer::UserNamespace, verdict, seen);
    match evidence.user_namespace {
        UserNamespace::Same => check(Verdict::Fine, "it lives in pyattach's user namespace"),
        UserNamespace::Below => check(Verdict::Fine, "it lives in a user namespace below pyattach's"),
        UserNamespace::Unknown if !is_refused(evidence) => check(Verdict::Fine, "its user namespace is no obstacle"),
        UserNamespace::Unknown => {
            check(Verdict::Unknown, "how its user namespace lies to pyattach's could not be told")
        }
        UserNamespace::Outside => check(
            refuses(evidence, true),
            "it lives in a user namespace that is not below pyattach's, so pyattach's capabilities do not count there",
        )
        .with(vec![
            "run pyattach in its user namespace, or as root of the host".to_owned(),
            format!(
                "from the host: sudo nsenter --user --preserve-credentials --target {} {} stack {}",
                evidence.pid, evidence.surroundings.program, evidence.pid
            ),
        ]),
    }
}

/// Without the capability, the target must not have any that we lack (`cap_ptrace_access_check` in `security/commoncap.c`).
fn capability(evidence: &Evidence) -> Check {
    let check = |verdict, seen: String| Check::new(Layer::Capability, verdict, seen);
    let (Some(ours), Some(theirs)) = (&evidence.ours, &evidence.theirs) else {
        return check(Verdict::Unknown, "the capabilities could not be read".to_owned());
    };
    if is_capable(evidence) {
        return check(Verdict::Fine, "pyattach has CAP_SYS_PTRACE".to_owned());
    }
    let missing = theirs.permitted & !(ours.permitted & ours.effective);
    if missing == 0 || !ids_match(ours, theirs) || evidence.user_namespace == UserNamespace::Outside {
        return check(Verdict::Fine, format!("pyattach runs {}", lacking(evidence)));
    }
    check(
        refuses(evidence, true),
        format!("it has capabilities that pyattach lacks ({missing:#x}), and pyattach runs {}", lacking(evidence)),
    )
    .with(match evidence.surroundings.is_root {
        true => containers(),
        false => privileges(evidence.pid, &evidence.surroundings),
    })
}

fn yama(evidence: &Evidence) -> Check {
    let check = |verdict, seen: String| Check::new(Layer::Yama, verdict, seen);
    let Some(scope) = evidence.yama else { return check(Verdict::Fine, "the kernel has no Yama".to_owned()) };
    let value = format!("kernel.yama.ptrace_scope is {scope}");
    let boot = || "3 can only be lowered by a reboot: set kernel.yama.ptrace_scope to 1 in /etc/sysctl.d".to_owned();
    match (scope, is_capable(evidence)) {
        (0, _) => check(Verdict::Fine, value),
        (1 | 2, true) => check(Verdict::Fine, format!("{value}, but pyattach has CAP_SYS_PTRACE")),
        (1, false) => {
            let mut advice = privileges(evidence.pid, &evidence.surroundings);
            advice
                .push("for your own processes, until the next boot: sudo sysctl kernel.yama.ptrace_scope=0".to_owned());
            check(
                refuses(evidence, true),
                format!("{value}: only ancestors of the process may look, and pyattach runs {}", lacking(evidence)),
            )
            .with(advice)
        }
        (2, false) => check(refuses(evidence, true), format!("{value}, and pyattach runs {}", lacking(evidence)))
            .with(privileges(evidence.pid, &evidence.surroundings)),
        _ => check(refuses(evidence, true), format!("{value}: nobody may look at any process")).with(vec![boot()]),
    }
}

fn lsm(evidence: &Evidence) -> Check {
    let seen = match (&evidence.our_label, &evidence.their_label) {
        (None, None) => "neither it nor pyattach is confined".to_owned(),
        (Some(ours), None) => format!("pyattach is confined as {ours}"),
        (None, Some(theirs)) => format!("it is confined as {theirs}"),
        (Some(ours), Some(theirs)) => format!("it is confined as {theirs}, pyattach as {ours}"),
    };
    Check::new(Layer::Lsm, Verdict::Fine, seen)
}

fn seccomp(evidence: &Evidence) -> Check {
    let filter =
        if evidence.seccomp { "a seccomp filter is in force for pyattach" } else { "no seccomp filter is in force" };
    let refused = [(evidence.reading_oneself, "process_vm_readv"), (evidence.calling_ptrace, "ptrace")];
    let refused: Vec<&str> =
        refused.iter().filter(|(tried, _)| *tried == Attempt::Refused).map(|(_, call)| *call).collect();
    if refused.is_empty() {
        return Check::new(Layer::Seccomp, Verdict::Fine, filter);
    }
    // Memory can be read in another way; refused ptrace matters only when threads have to be stopped.
    let verdict = if evidence.memory == Attempt::Granted { Verdict::Limits } else { Verdict::Refuses };
    let mut advice = containers();
    advice.push(
        "or a seccomp profile that allows ptrace and process_vm_readv: --security-opt seccomp=PROFILE".to_owned(),
    );
    let calls = match refused.as_slice() {
        [call] => format!("the call {call} is refused"),
        calls => format!("the calls {} are refused", calls.join(" and ")),
    };
    Check::new(Layer::Seccomp, verdict, format!("{filter}; {calls}")).with(advice)
}

/// Access is refused, and nothing that was seen explains it.
fn blame_the_rest(evidence: &Evidence, checks: &mut Vec<Check>) {
    let confined = evidence.our_label.is_some() || evidence.their_label.is_some();
    let hidden = evidence.dumpable.is_none() && !is_capable(evidence);
    let outside = evidence.user_namespace == UserNamespace::Unknown;
    let (layer, seen, advice) = match (confined, hidden, outside) {
        (false, _, true) => (
            Layer::UserNamespace,
            "nothing else explains the refusal: its user namespace is not one in which pyattach's capabilities count",
            vec!["run pyattach in its user namespace, or as root of the host".to_owned()],
        ),
        (false, true, _) => (
            Layer::Dumpable,
            "nothing else explains the refusal: it has made itself non-dumpable, and pyattach lacks CAP_SYS_PTRACE",
            privileges(evidence.pid, &evidence.surroundings),
        ),
        _ => (
            Layer::Lsm,
            match evidence.seccomp {
                true => "user and capabilities suffice, so a security module or a seccomp filter refuses",
                false => "user and capabilities suffice, so a security module refuses",
            },
            vec![
                "look for a denial in the kernel's log (dmesg, audit.log): AppArmor or SELinux must allow ptrace"
                    .to_owned(),
                "docker: --security-opt apparmor=unconfined".to_owned(),
                "if pyattach was started in a sandbox made of Landlock, start it outside".to_owned(),
            ],
        ),
    };
    let told = checks.iter().find(|check| check.layer == layer).map(|check| check.seen.clone());
    let seen = match told.filter(|_| layer == Layer::Lsm) {
        Some(told) if confined => format!("{seen} ({told})"),
        Some(_) => format!("{seen}, one that leaves no label to be seen, such as Landlock"),
        None => seen.to_owned(),
    };
    checks.retain(|check| check.layer != layer);
    checks.push(Check::new(layer, Verdict::Refuses, seen).with(advice));
}

fn memory(evidence: &Evidence) -> Check {
    match (evidence.memory, evidence.maps) {
        (Attempt::Granted, Attempt::Granted) => Check::new(Layer::Memory, Verdict::Fine, "its memory can be read"),
        (Attempt::Refused, _) | (_, Attempt::Refused) => {
            Check::new(Layer::Memory, Verdict::Refuses, "its memory cannot be read")
        }
        _ => Check::new(Layer::Memory, Verdict::Unknown, "its memory could not be tried: it is ending, or has none"),
    }
}

fn tracer(evidence: &Evidence) -> Check {
    match &evidence.tracer {
        None => Check::new(Layer::Tracer, Verdict::Fine, "nobody traces it"),
        Some((id, name)) => Check::new(
            Layer::Tracer,
            Verdict::Limits,
            format!(
                "process {id} ({name}) traces it, and there can be one tracer only: pyattach cannot stop its threads"
            ),
        )
        .with(vec![
            format!("read it without stopping: {} stack {} --pause never", evidence.surroundings.program, evidence.pid),
            format!("or end process {id} ({name})"),
        ]),
    }
}

fn state(evidence: &Evidence) -> Check {
    let pid = evidence.pid;
    match evidence.state {
        'T' => Check::new(
            Layer::State,
            Verdict::Limits,
            "it is stopped (by SIGSTOP, or from a terminal): its stacks can be read, but it does not go on by itself",
        )
        .with(vec![format!("let it go on: kill -CONT {pid}")]),
        't' => Check::new(Layer::State, Verdict::Limits, "its tracer has stopped it"),
        'D' => Check::new(
            Layer::State,
            Verdict::Limits,
            "its main thread is in uninterruptible sleep, usually waiting for a disk or NFS: reading it may hang",
        ),
        'R' => Check::new(Layer::State, Verdict::Fine, "it is running"),
        'S' | 'I' => Check::new(Layer::State, Verdict::Fine, "it is asleep"),
        other => Check::new(Layer::State, Verdict::Limits, format!("its main thread is in state {other}")),
    }
}

/// Stopping takes the same right as reading, `ptrace` itself, and that nobody else traces the process.
fn stopping(evidence: &Evidence) -> Check {
    let check = |verdict, seen| Check::new(Layer::Stopping, verdict, seen);
    if evidence.memory != Attempt::Granted {
        return check(Verdict::Unknown, "stopping its threads takes the same right as reading its memory");
    }
    if evidence.tracer.is_some() {
        return check(Verdict::Limits, "its threads cannot be stopped while another process traces it");
    }
    if evidence.calling_ptrace == Attempt::Refused {
        return check(Verdict::Limits, "its threads cannot be stopped: the call ptrace is refused").with(
            vec![sudo(evidence.pid, &evidence.surroundings)]
                .into_iter()
                .filter(|_| !evidence.surroundings.is_root)
                .collect(),
        );
    }
    check(Verdict::Fine, "its threads may be stopped, should that be needed")
}

#[cfg(test)]
mod tests;
