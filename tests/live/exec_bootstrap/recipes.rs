//! The recipes, each in every version, in one process in this order: what they print, and that they can be undone.

use pyattach::inject::{Kind, Script, bootstrap, recipe};

use super::{fits, request};
use crate::support::registry::Interpreter;
use crate::support::stage::Stage;
use crate::support::target::Target;
use crate::support::{Outcome, ensure};

/// A recipe with its arguments, and what it says; a name of `-` runs the argument as a script.
struct Use(&'static [&'static str], &'static [&'static str]);

const USES: &[Use] = &[
    Use(&["-", "import linecache, logging, asyncio, tokenize, re"], &["done"]),
    Use(&["log-level", "debug", "1", "shop"], &["out: logger shop: DEBUG for 1 minutes, then NOTSET again\n", "done"]),
    Use(&["-", "import logging; print(logging.getLogger('shop').level)"], &["out: 10\n", "done"]),
    Use(&["log-level", "info", "1", "shop"], &["out: logger shop: INFO for 1 minutes, then NOTSET again\n", "done"]),
    Use(&["log-level", "info", "0", "shop"], &["out: logger shop: NOTSET\n", "done"]),
    Use(&["-", "import logging; print(hasattr(logging, '_pyattach_levels'))"], &["out: False\n", "done"]),
    Use(&["log-level", "nonsense"], &["exit: no level NONSENSE", "done"]),
    // Put back by itself.
    Use(
        &["log-level", "debug", "0.0001"],
        &["out: logger root: DEBUG for 0.0001 minutes, then WARNING again\n", "done"],
    ),
    Use(
        &[
            "-",
            "import logging, threading\n[t.join() for t in threading.enumerate() if t.name == 'pyattach-log-level']\n\
             print(logging.getLogger().level, hasattr(logging, '_pyattach_levels'))",
        ],
        &["out: 30 False\n", "done"],
    ),
    Use(&["faulthandler"], &["*(most recent call first):\n*", "done"]),
    Use(&["tracemalloc", "compare"], &["exit: not started: run it with start first", "done"]),
    Use(&["tracemalloc", "start"], &["out: started, with 1 frames each\n", "done"]),
    Use(&["tracemalloc", "compare"], &["exit: nothing to compare with: run it with snapshot first", "done"]),
    Use(&["tracemalloc", "snapshot"], &["*bytes are traced\n*", "done"]),
    Use(&["-", "import driver; driver.kept = [[i] for i in range(5000)]"], &["done"]),
    Use(&["tracemalloc", "compare", "3"], &["*size=*", "done"]),
    Use(&["tracemalloc", "top", "2"], &["*size=*", "done"]),
    Use(&["tracemalloc", "stop"], &["out: stopped\n", "done"]),
    Use(
        &["-", "import tracemalloc as t; print(t.is_tracing(), hasattr(t, '_pyattach_snapshot'))"],
        &["out: False False\n", "done"],
    ),
    Use(&["gc-stats", "5"], &["*types of *", "done"]),
    Use(&["heap-growth"], &["exit: nothing to compare with: run it with start first", "done"]),
    Use(&["heap-growth", "start"], &["out: counted *", "done"]),
    Use(&["-", "import driver; driver.more = [[i] for i in range(7000)]"], &["done"]),
    Use(&["heap-growth", "compare", "1"], &["*builtins.list\n*", "done"]),
    Use(&["heap-growth", "stop"], &["exit", "done"]),
    Use(&["-", "import gc; print(hasattr(gc, '_pyattach_counts'))"], &["out: False\n", "done"]),
    Use(&["debug-threads"], &["*'MainThread' *", "done"]),
    Use(&["debug-asyncio", "on"], &["out: no running event loop\n", "done"]),
    Use(&["attribute", "driver.ME.real.__class__"], &["out: <class 'int'>\n", "done"]),
    Use(&["attribute", "driver.none"], &["exit: module has no attribute none", "done"]),
    Use(&["attribute", "no_such.none"], &["exit: no module no_such is loaded", "done"]),
    Use(&["set-flag", "driver.kept", "None"], &["out: driver.kept: None, was [[0]*", "done"]),
    Use(&["set-flag", "driver.kept", "[True, 'x']"], &["out: driver.kept: [True, 'x'], was None\n", "done"]),
    Use(&["set-flag", "driver.PROTOCOL", "'text'"], &["exit: it is of type int, not str; nothing was set", "done"]),
    Use(&["set-flag", "driver.no_such", "5"], &["*has no attribute no_such*", "done"]),
    Use(&["set-flag", "driver.kept", "word"], &["*is no Python literal*", "done"]),
];

/// `threading.excepthook` is there from 3.8 on.
const SINCE_8: &[Use] = &[
    Use(&["debug-threads", "on"], &["out: exceptions of threads are named\n*", "done"]),
    Use(&["debug-threads", "off"], &["out: exceptions of threads are as the application has it\n*", "done"]),
    Use(
        &["-", "import threading as t; print(t.excepthook is t.__dict__.get('__excepthook__', t.excepthook))"],
        &["out: True\n", "done"],
    ),
];

pub(super) fn all(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let mut target = Target::start(interpreter, stage, &["exec_driver.py"])?;
    let later = SINCE_8.iter().filter(|_| interpreter.since(8));
    for Use(words, expected) in USES.iter().chain(later) {
        let (name, arguments) = words.split_first().ok_or("no name")?;
        let (source, arguments) = match recipe(name) {
            Some(recipe) => (recipe.source, arguments),
            None => (arguments[0], &[][..]),
        };
        let script = Script {
            source: source.as_bytes().to_vec(),
            name: (*name).into(),
            file: (*name).into(),
            arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
            namespace: None,
            kind: Kind::Exec,
        };
        let (told, answer) = request(&mut target, ("", "", "main"), |place, _| bootstrap::render(&script, &place))?;
        let all = told.len() == expected.len() && told.iter().zip(*expected).all(|(told, part)| fits(told, part));
        ensure!(all, "{words:?} said {told:#?}");
        ensure!(answer["closed"] == true, "{words:?}: {answer}");
        for what in ["streams", "tracing", "handlers", "descriptors"] {
            ensure!(answer["changed"].get(what).is_none(), "{words:?} changed {answer}");
        }
    }
    target.finish()?;
    Ok(())
}
