//! Every combination of what the decision depends on, against tables that were written down by hand.

use super::*;
use crate::base::ReleaseLevel;

const ROUTES: [Route; 6] = [
    Route::PendingCall,
    Route::PendingCallWoken,
    Route::SignalFrame,
    Route::NewThread,
    Route::RemoteDebugger,
    Route::RemoteDebuggerWoken,
];

/// What kind of CPython it is: without a protocol of its own; with it; with it, but no `/proc`; with it, disabled.
const KINDS: [(&str, Option<bool>, bool); 5] = [
    ("old", None, true),
    ("old, no proc", None, false),
    ("new", Some(true), true),
    ("new, no proc", Some(true), false),
    ("disabled", Some(false), true),
];

fn doings() -> [Doing; 5] {
    [
        Doing::Running,
        Doing::PythonLock,
        Doing::OwnCall { number: 7 },
        Doing::ForeignCall { number: 7, module: "libpq.so.5".to_owned() },
        Doing::Unsafe("inside the allocator (malloc)".to_owned()),
    ]
}

fn choices() -> [ThreadChoice; 5] {
    [
        ThreadChoice::Auto,
        ThreadChoice::Any,
        ThreadChoice::Main,
        ThreadChoice::Tid(7),
        ThreadChoice::Name("MainThread".to_owned()),
    ]
}

/// A thread that nothing is in the way of.
fn free() -> Situation {
    Situation {
        version: Version { major: 3, minor: 12, micro: 1, level: ReleaseLevel::Final, serial: 0 },
        is_main: true,
        doing: Doing::Running,
        initialized: true,
        finalizing: false,
        remote_debugging: None,
        procfs: true,
        attached: false,
        subinterpreters: false,
        shadow_stack: false,
        alternate_stack: false,
        free_stack: 8 << 20,
        seccomp_kills: false,
        importing: false,
        native_frames: Vec::new(),
    }
}

/// A decision as one word: `p`ending call, `P` woken, `s`ignal frame, new `t`hread, official (`r`, woken `R`), wait `.`,
/// refuse `x`.
fn letter(decision: &Decision) -> char {
    match decision {
        Decision::Go(Route::PendingCall, _) => 'p',
        Decision::Go(Route::PendingCallWoken, _) => 'P',
        Decision::Go(Route::SignalFrame, _) => 's',
        Decision::Go(Route::NewThread, _) => 't',
        Decision::Go(Route::RemoteDebugger, _) => 'r',
        Decision::Go(Route::RemoteDebuggerWoken, _) => 'R',
        Decision::Wait(_) => '.',
        Decision::Refuse(_) => 'x',
    }
}

/// Decisions for all doings, in the order of [`doings`].
fn row(situation: &Situation, choice: &ThreadChoice, excluded: &[Route]) -> String {
    let attempt = Attempt { excluded, ..Attempt::default() };
    let one = |doing| letter(&plan(&Situation { doing, ..situation.clone() }, choice, &attempt));
    doings().into_iter().map(one).collect()
}

#[test]
fn the_main_thread_of_every_kind_in_every_state() {
    // Running, lock, own call, foreign call, unsafe; for any thread, for the main thread, while the thread has the GIL, with
    // subinterpreters, and those for the main thread.
    let expected = [
        ("old", "pPst.", "pPs..", "pppp.", "pPtt.", "pP..."),
        ("old, no proc", "pPst.", "pPs..", "pppp.", "pPtt.", "pP..."),
        ("new", "rPRt.", "rPR..", "rrrr.", "rPRt.", "rPR.."),
        ("new, no proc", "pPst.", "pPs..", "pppp.", "pPtt.", "pP..."),
        ("disabled", "xxxxx", "xxxxx", "xxxxx", "xxxxx", "xxxxx"),
    ];
    for ((kind, remote_debugging, procfs), (name, any, main, attached, sub, sub_main)) in
        KINDS.into_iter().zip(expected)
    {
        assert_eq!(kind, name);
        let base = Situation { remote_debugging, procfs, ..free() };
        for choice in choices() {
            let is_any = matches!(choice, ThreadChoice::Auto | ThreadChoice::Any);
            assert_eq!(row(&base, &choice, &[]), if is_any { any } else { main }, "{kind} {choice:?}");
            let holding = Situation { attached: true, ..base.clone() };
            assert_eq!(row(&holding, &choice, &[]), attached, "{kind} {choice:?}, with the GIL");
            let with_sub = Situation { subinterpreters: true, ..base.clone() };
            assert_eq!(row(&with_sub, &choice, &[]), if is_any { sub } else { sub_main }, "{kind} {choice:?}, sub");
        }
    }
}

#[test]
fn other_threads_are_reached_by_the_official_protocol_only() {
    for (kind, remote_debugging, procfs) in KINDS {
        let situation = Situation { is_main: false, remote_debugging, procfs, ..free() };
        let expected = match kind {
            "new" => ["r.R..", "rrrr."],
            // Whatever may pass is said first.
            "disabled" => ["xxxxx", "xxxxx"],
            _ => ["xxxx.", "xxxx."],
        };
        for choice in choices() {
            for attached in [false, true] {
                let situation = Situation { attached, ..situation.clone() };
                assert_eq!(
                    row(&situation, &choice, &[]),
                    expected[usize::from(attached)],
                    "{kind} {choice:?} {attached}"
                );
            }
        }
    }
}

#[test]
fn what_did_not_work_is_not_tried_again() {
    for (_, remote_debugging, procfs) in KINDS {
        for choice in choices() {
            for (attached, subinterpreters, is_main) in every_three() {
                let situation = Situation { remote_debugging, procfs, attached, subinterpreters, is_main, ..free() };
                for bits in 0..1usize << ROUTES.len() {
                    let excluded: Vec<Route> =
                        (0..ROUTES.len()).filter(|i| bits >> i & 1 == 1).map(|i| ROUTES[i]).collect();
                    for doing in doings() {
                        let situation = Situation { doing, ..situation.clone() };
                        let attempt = Attempt { number: 3, excluded: &excluded, ..Attempt::default() };
                        if let Decision::Go(route, _) = plan(&situation, &choice, &attempt) {
                            assert!(!excluded.contains(&route), "{route:?} {situation:?}");
                        }
                    }
                }
            }
        }
    }
    let new = Situation { remote_debugging: Some(true), ..free() };
    assert_eq!(row(&new, &ThreadChoice::Auto, &[Route::RemoteDebugger]), "pPst.");
    assert_eq!(row(&free(), &ThreadChoice::Auto, &[Route::SignalFrame]), "pPtt.");
    assert_eq!(row(&free(), &ThreadChoice::Main, &[Route::SignalFrame]), "pP...");
    assert_eq!(row(&free(), &ThreadChoice::Auto, &[Route::NewThread]), "pPs..");
    // A lock whose wait cannot be interrupted.
    assert_eq!(row(&free(), &ThreadChoice::Any, &[Route::PendingCallWoken]), "ptst.");
    assert_eq!(row(&free(), &ThreadChoice::Main, &[Route::PendingCallWoken]), "p.s..");
}

fn every_three() -> impl Iterator<Item = (bool, bool, bool)> {
    (0..8).map(|bits| (bits & 1 == 1, bits & 2 == 2, bits & 4 == 4))
}

/// A change that puts something in the way, the decision that follows, and a word of the reason.
type Blocker = (fn(&mut Situation), char, &'static str);

/// In the order of precedence.
const BLOCKERS: [Blocker; 8] = [
    (|s| s.finalizing = true, 'x', "shutting down"),
    (|s| s.remote_debugging = Some(false), 'x', "-X disable-remote-debug"),
    (|s| s.shadow_stack = true, 'x', "shadow stack"),
    (|s| s.seccomp_kills = true, 'x', "CAP_SYS_ADMIN"),
    (|s| s.initialized = false, '.', "not initialised"),
    (|s| s.alternate_stack = true, '.', "another stack"),
    (|s| s.free_stack = STACK_NEEDED - 1, '.', "127 KiB"),
    (|s| s.importing = true, '.', "import machinery"),
];

#[test]
fn whatever_is_in_the_way_is_named_and_the_final_before_the_passing() {
    for (_, remote_debugging, procfs) in KINDS.into_iter().take(4) {
        for choice in choices() {
            for doing in doings() {
                for (attached, subinterpreters, is_main) in every_three() {
                    let base = Situation {
                        remote_debugging,
                        procfs,
                        attached,
                        subinterpreters,
                        is_main,
                        doing: doing.clone(),
                        ..free()
                    };
                    for bits in 1..1usize << BLOCKERS.len() {
                        let mut situation = base.clone();
                        let present = || (0..BLOCKERS.len()).filter(|i| bits >> i & 1 == 1);
                        present().for_each(|i| BLOCKERS[i].0(&mut situation));
                        let (_, expected, word) = BLOCKERS[present().next().unwrap()];
                        let decision = plan(&situation, &choice, &Attempt::default());
                        assert_eq!(letter(&decision), expected, "{situation:?}");
                        assert!(why(&decision).contains(word), "{decision:?}");
                    }
                }
            }
        }
    }
}

fn why(decision: &Decision) -> &str {
    match decision {
        Decision::Go(_, why) | Decision::Wait(why) | Decision::Refuse(why) => why,
    }
}

#[test]
fn reasons_name_their_cause() {
    let reason = |situation: Situation, choice| why(&plan(&situation, &choice, &Attempt::default())).to_owned();
    let foreign = Situation { doing: doings()[3].clone(), ..free() };
    assert!(reason(foreign.clone(), ThreadChoice::Auto).contains("libpq.so.5"));
    assert!(reason(foreign, ThreadChoice::Main).contains("only the main thread is wanted"));
    let no_proc = Situation { remote_debugging: Some(true), procfs: false, ..free() };
    assert!(reason(no_proc, ThreadChoice::Auto).contains("needs /proc"));
    assert!(reason(free(), ThreadChoice::Auto).contains("no protocol of its own"));
    let unsafe_place = Situation { doing: doings()[4].clone(), ..free() };
    assert!(reason(unsafe_place, ThreadChoice::Auto).contains("inside the allocator (malloc)"));
}

#[test]
fn a_route_that_does_not_fit_is_not_said_to_have_failed() {
    let with = |only, few_descriptors, situation: &Situation, choice| {
        plan(situation, &choice, &Attempt { only: Some(only), few_descriptors, ..Attempt::default() })
    };
    let new = Situation { remote_debugging: Some(true), ..free() };
    for base in [free(), new.clone()] {
        for doing in doings() {
            for only in ROUTES {
                let situation = Situation { doing: doing.clone(), ..base.clone() };
                match with(only, false, &situation, ThreadChoice::Auto) {
                    Decision::Go(route, _) => assert_eq!(route.kind(), only.kind(), "{situation:?}"),
                    Decision::Wait(why) | Decision::Refuse(why) => {
                        assert!(!why.contains("tried"), "{only:?} {situation:?}: {why}");
                        let is_unsafe = matches!(doing, Doing::Unsafe(_));
                        assert!(is_unsafe || why.contains(only.kind().name()), "{only:?} {situation:?}: {why}");
                    }
                }
            }
        }
    }
    let decision = with(Route::SignalFrame, false, &free(), ThreadChoice::Auto);
    assert_eq!(letter(&decision), '.');
    let expected =
        "only the route signal_frame is wanted (--route), and what the thread does now fits pending_call: the thread";
    assert!(why(&decision).starts_with(expected), "{decision:?}");
    // A version without the protocol never gets it.
    let decision = with(Route::RemoteDebugger, false, &free(), ThreadChoice::Auto);
    assert!(letter(&decision) == 'x' && why(&decision).contains("no protocol of its own"), "{decision:?}");
    let decision = with(Route::RemoteDebugger, true, &new, ThreadChoice::Auto);
    assert!(letter(&decision) == 'x' && why(&decision).contains("free file descriptors"), "{decision:?}");
    // Where the route is not asked for, its failing is no news; another thread is reached by no other.
    let other = Situation { is_main: false, ..new };
    let decision = with(Route::PendingCall, false, &other, ThreadChoice::Tid(7));
    assert!(letter(&decision) == 'x' && why(&decision).contains("another route than"), "{decision:?}");
    assert_eq!(
        letter(&with(Route::NewThread, false, &Situation { doing: doings()[2].clone(), ..free() }, ThreadChoice::Auto)),
        't'
    );
}
