//! Each layer on made-up evidence, those too that cannot be staged on every machine.

use super::*;
use crate::os::access::evidence::Surroundings;

const ALL: u64 = (1 << 41) - 1;

fn party(user: u32, capabilities: u64) -> Option<Party> {
    Some(Party { uids: [user; 4], gids: [user; 4], permitted: capabilities, effective: capabilities })
}

/// One's own process, refused for no reason that shows.
fn own() -> Evidence {
    Evidence {
        pid: 42,
        ours: party(1000, 0),
        theirs: party(1000, 0),
        user_namespace: UserNamespace::Same,
        dumpable: Some(true),
        yama: None,
        our_label: None,
        their_label: None,
        seccomp: false,
        reading_oneself: Attempt::Granted,
        calling_ptrace: Attempt::Granted,
        maps: Attempt::Granted,
        memory: Attempt::Refused,
        tracer: None,
        state: 'S',
        surroundings: Surroundings { program: "/bin/pyattach".to_owned(), is_root: false, container: None },
    }
}

/// The layers that refuse, without the result that they all lead to.
fn refusing(evidence: &Evidence) -> Vec<Layer> {
    let checks = judge(evidence);
    let refusing = checks.iter().filter(|check| check.verdict == Verdict::Refuses && check.layer != Layer::Memory);
    refusing.map(|check| check.layer).collect()
}

fn advice(evidence: &Evidence) -> String {
    judge(evidence).iter().flat_map(|check| check.advice.clone()).collect::<Vec<_>>().join("\n")
}

#[test]
fn users() {
    let evidence = Evidence { theirs: party(1001, 0), ..own() };
    assert_eq!(refusing(&evidence), [Layer::User]);
    assert!(advice(&evidence).contains("sudo /bin/pyattach stack 42"));
    let mut setuid = own();
    setuid.theirs.as_mut().unwrap().uids = [1000, 0, 0, 0];
    assert_eq!(refusing(&setuid), [Layer::User]);
    let mut setgid = own();
    setgid.theirs.as_mut().unwrap().gids = [1000, 5, 5, 5];
    assert_eq!(refusing(&setgid), [Layer::User]);
}

#[test]
fn every_scope_of_yama() {
    for (scope, capabilities, refused) in
        [(0, 0, false), (1, 0, true), (2, 0, true), (3, 0, true), (1, ALL, false), (2, ALL, false), (3, ALL, true)]
    {
        let evidence = Evidence { yama: Some(scope), ours: party(1000, capabilities), ..own() };
        assert_eq!(
            refusing(&evidence).contains(&Layer::Yama),
            refused,
            "scope {scope}, capabilities {capabilities:#x}"
        );
    }
    assert!(advice(&Evidence { yama: Some(1), ..own() }).contains("sudo sysctl kernel.yama.ptrace_scope=0"));
    assert!(advice(&Evidence { yama: Some(3), ..own() }).contains("reboot"));
    // An exception that Yama made cannot be seen, only its effect.
    assert_eq!(refusing(&Evidence { yama: Some(1), memory: Attempt::Granted, ..own() }), []);
}

#[test]
fn capabilities() {
    let root = Evidence { ours: party(0, 0), theirs: party(0, ALL), dumpable: None, ..own() };
    assert_eq!(refusing(&root), [Layer::Capability]);
    let root = Evidence { surroundings: Surroundings { is_root: true, ..own().surroundings }, ..root };
    assert!(advice(&root).contains("--cap-add SYS_PTRACE") && !advice(&root).contains("sudo"));
}

#[test]
fn dumpability() {
    assert_eq!(refusing(&Evidence { dumpable: Some(false), ..own() }), [Layer::Dumpable]);
    // Root's files are root's in any case: by elimination.
    let root = Evidence { ours: party(0, 0), theirs: party(0, 0), dumpable: None, ..own() };
    assert_eq!(refusing(&root), [Layer::Dumpable]);
    assert_eq!(refusing(&Evidence { our_label: Some("docker-default (enforce)".to_owned()), ..root }), [Layer::Lsm]);
}

#[test]
fn user_namespaces() {
    let outside =
        Evidence { user_namespace: UserNamespace::Outside, ours: party(0, ALL), theirs: party(0, ALL), ..own() };
    assert_eq!(refusing(&outside), [Layer::UserNamespace]);
    let stranger = Evidence { theirs: party(65534, 0), ..outside };
    assert_eq!(refusing(&stranger), [Layer::UserNamespace]);
}

#[test]
fn security_modules_and_filters() {
    let label = Evidence { ours: party(0, ALL), their_label: Some("docker-default (enforce)".to_owned()), ..own() };
    assert_eq!(refusing(&label), [Layer::Lsm]);
    assert!(judge(&label).iter().any(|check| check.seen.contains("docker-default")));
    // Without a label only the refusal itself shows.
    let none = Evidence { their_label: None, ..label };
    assert_eq!(refusing(&none), [Layer::Lsm]);
    assert!(judge(&none).iter().any(|check| check.seen.contains("security module refuses, one that leaves no label")));
    let perhaps = Evidence { seccomp: true, ..none };
    assert!(judge(&perhaps).iter().any(|check| check.seen.contains("a security module or a seccomp filter refuses")));
    let filter = Evidence { seccomp: true, reading_oneself: Attempt::Refused, ..own() };
    assert_eq!(refusing(&filter), [Layer::Seccomp]);
    // Where memory can be read in another way, a filter only limits.
    let by_file = Evidence { memory: Attempt::Granted, ..filter };
    assert_eq!(refusing(&by_file), []);
    assert!(judge(&by_file).iter().any(|check| check.layer == Layer::Seccomp && check.verdict == Verdict::Limits));
}

#[test]
fn what_limits_does_not_refuse() {
    let evidence = Evidence { tracer: Some((7, "strace".to_owned())), state: 'T', memory: Attempt::Granted, ..own() };
    assert_eq!(refusing(&evidence), []);
    let checks = judge(&evidence);
    let limits = |layer| checks.iter().any(|check| check.layer == layer && check.verdict == Verdict::Limits);
    assert!(limits(Layer::Tracer) && limits(Layer::State) && limits(Layer::Stopping));
    assert!(advice(&evidence).contains("kill -CONT 42") && advice(&evidence).contains("end process 7 (strace)"));
}

#[test]
fn whatever_refuses_is_named_once() {
    let mut evidence = own();
    for memory in [Attempt::Granted, Attempt::Refused, Attempt::Unclear] {
        for maps in [Attempt::Granted, Attempt::Refused, Attempt::Unclear] {
            (evidence.memory, evidence.maps) = (memory, maps);
            let refused = memory == Attempt::Refused || maps == Attempt::Refused;
            assert_eq!(!refusing(&evidence).is_empty(), refused, "{memory:?} {maps:?}");
            let mut layers: Vec<Layer> = judge(&evidence).iter().map(|check| check.layer).collect();
            layers.dedup();
            assert_eq!(layers.len(), judge(&evidence).len());
        }
    }
}
