//! Stacks of every shape: the program says what its threads' stacks are, and exactly that must be seen.

use crate::everywhere;
use crate::support::registry::Interpreter;
use crate::support::stage::Stage;
use crate::support::target::Target;
use crate::support::{Outcome, attach, compare};

/// A program with its arguments and what is set in its environment, and where it exists.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    program: &'static [&'static str],
    env: Option<(&'static str, &'static str)>,
    pub(crate) exists: fn(&Interpreter) -> bool,
}

const fn shape(name: &'static str, program: &'static [&'static str]) -> Shape {
    Shape { name, program, env: None, exists: everywhere }
}

pub(crate) const SHAPES: &[Shape] = &[
    shape("plain", &["plain.py"]),
    shape("recursion_50", &["recursion.py", "python", "50"]),
    shape("recursion_900", &["recursion.py", "python", "900"]),
    shape("recursion_6000", &["recursion.py", "python", "6000"]),
    shape("recursion_through_c", &["recursion.py", "c", "100"]),
    shape("generators", &["generators.py"]),
    shape("coroutines", &["coroutines.py"]),
    shape("async_generators", &["async_generators.py"]),
    shape("comprehensions", &["comprehensions.py"]),
    shape("exec_code", &["exec_code.py"]),
    shape("class_bodies", &["class_bodies.py"]),
    shape("callbacks", &["callbacks.py"]),
    shape("decorators", &["decorators.py"]),
    shape("multiline", &["multiline.py"]),
    shape("exceptions", &["exceptions.py"]),
    shape("lambdas", &["lambdas.py"]),
    shape("unicode_names", &["unicode_names.py"]),
    shape("escapes", &["escapes.py"]),
    shape("threads_200", &["many_threads.py", "200"]),
    // Slow to start; what differs between builds of a version does not matter for it.
    Shape {
        exists: |i| ["3.8", "3.11", "3.14", "3.14t"].contains(&&*i.name),
        ..shape("threads_1000", &["many_threads.py", "1000"])
    },
    shape("raw_threads", &["raw_threads.py"]),
    // Before 3.8 only the test suite's module makes them, which Debian's packages leave out.
    Shape { exists: |i| i.since(8) || !i.is("chroot"), ..shape("subinterpreters", &["subinterpreters.py", "shared"]) },
    Shape { exists: |i| i.since(12), ..shape("subinterpreters_own_gil", &["subinterpreters.py", "own"]) },
    shape("fork_in_main_thread", &["forked.py", "main"]),
    shape("fork_in_other_thread", &["forked.py", "other"]),
    shape("at_exit", &["at_exit.py"]),
    shape("joining", &["joining.py"]),
    shape("finalizing", &["finalizing.py"]),
    shape("collecting", &["collecting.py"]),
    shape("tracing", &["tracing.py"]),
    shape("importing", &["importing.py"]),
    shape("hot", &["hot.py"]),
    // Debian builds these with the compiler, switched off.
    Shape {
        env: Some(("PYTHON_JIT", "1")),
        exists: |i| i.since(14) && i.is("stripped") && i.is("chroot"),
        ..shape("hot_compiled", &["hot.py"])
    },
    Shape {
        env: Some(("PYTHONNODEBUGRANGES", "1")),
        exists: |i| i.since(11),
        ..shape("without_columns", &["multiline.py"])
    },
    Shape { env: Some(("PYTHONOPTIMIZE", "2")), ..shape("optimised", &["exceptions.py"]) },
    // Free-threaded builds have but one.
    Shape {
        env: Some(("PYTHONMALLOC", "malloc")),
        exists: Interpreter::has_gil,
        ..shape("other_allocator", &["generators.py"])
    },
];

pub(crate) fn run(shape: &Shape, interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let mut interpreter = interpreter.clone();
    interpreter.env.extend(shape.env.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let target = Target::start(&interpreter, stage, shape.program)?;
    let seen = attach::snapshot(target.pid, &[])?;
    compare::ensure_same(&interpreter, &target, &seen)
}
