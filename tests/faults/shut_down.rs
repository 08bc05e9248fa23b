//! A program that has used a CPython and lives on without it: what is left of the runtime is not taken for an interpreter,
//! nor for one that is about to start.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Test;
use crate::layers::{diagnose, layers, seen};
use crate::support::registry::{self, Interpreter};
use crate::support::target::{Target, mapped_files, python};
use crate::support::{Failed, Outcome, attach, ensure};

pub(crate) const TESTS: &[Test] = &[
    ("3.7", || of("3.7")),
    ("3.8", || of("3.8")),
    ("3.9", || of("3.9")),
    ("3.10", || of("3.10")),
    ("3.11", || of("3.11")),
    ("3.12", || of("3.12")),
    ("3.13", || of("3.13")),
    ("3.14", || of("3.14-shared")),
];

/// The library that the interpreter maps.
fn library(interpreter: &Interpreter) -> Result<PathBuf, Failed> {
    let mut command = python(interpreter);
    command.args(["-c", "import os; os.write(1, b'.\\n'); os.read(0, 1)"]);
    let target = Target::spawn_unready(command)?;
    target.line()?;
    let is_library = |path: &PathBuf| path.to_string_lossy().contains("libpython3");
    Ok(mapped_files(target.pid)?.into_iter().find(is_library).ok_or("it maps no library")?)
}

fn embedder(directory: &Path, interpreter: &Interpreter) -> Result<Target, Failed> {
    let program = directory.join("embedder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/embedder.c");
    let status = Command::new("cc").arg("-o").arg(&program).arg(source).arg("-ldl").status()?;
    ensure!(status.success(), "cc: {status}");
    let library = library(interpreter)?;
    let mut command = Command::new(program);
    let home = library.parent().and_then(Path::parent).ok_or("a library without a directory")?;
    command.arg(&library).env_clear().env("PYTHONHOME", home).env("LC_ALL", "C.UTF-8");
    Target::spawn_unready(command)
}

fn ensure_none(target: &Target, words: &str) -> Outcome {
    let answer = attach::stack(target.pid, &[])?;
    answer.ensure_code(&[4])?;
    answer.ensure_said(words)?;
    ensure!(answer.stdout.is_empty(), "stacks of nothing: {answer}");
    Ok(())
}

fn ensure_diagnosed(target: &Target, words: &str) -> Outcome {
    let found = diagnose(&["env"], target.pid, 4)?;
    ensure!(found["diagnosis"] == "not_python" && layers(&found, "refuses") == ["interpreter"], "{found}");
    ensure!(seen(&found, "interpreter").contains(words), "{found}");
    Ok(())
}

/// `ps` lists it, as what it is.
fn ensure_listed(target: &Target, words: &str) -> Outcome {
    let list = attach::ps()?;
    let row = list["processes"].as_array().into_iter().flatten().find(|row| row["pid"] == target.pid);
    let problem = row.ok_or("it is not listed")?["problems"][0]["message"].as_str().unwrap_or_default();
    ensure!(problem.contains(words), "{problem:?} in the list");
    Ok(())
}

fn of(name: &str) -> Outcome {
    let directory = tempfile::tempdir()?;
    let mut target = embedder(directory.path(), &registry::find(name)?)?;
    let expect = |words: &str, target: &mut Target| -> Outcome {
        let line = target.line()?;
        ensure!(line == words, "it says {line:?} instead of {words:?}");
        Ok(())
    };
    expect("loaded", &mut target)?;
    if name == "3.13" {
        ensure_none(&target, "initialised")?;
    }
    target.tell(".")?;
    expect("up", &mut target)?;
    attach::snapshot(target.pid, &[])?;
    target.tell(".")?;
    expect("down", &mut target)?;
    ensure_none(&target, "has been shut down")?;
    if name == "3.13" {
        // One is enough: what they look at takes time, every process of the machine for one.
        ensure_diagnosed(&target, "has been shut down")?;
        ensure_listed(&target, "has been shut down")?;
    }
    target.tell(".")?;
    expect("up again", &mut target)?;
    attach::snapshot(target.pid, &[])?;
    Ok(())
}
