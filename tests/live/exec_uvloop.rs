//! The wheels of uvloop for the matrix of scripts: which interpreters have one, and which have none.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::support::registry::{self, Interpreter};
use crate::support::{Failed, ensure, stage};

/// Those for whose ABI uvloop has published none, and the one with musl, for which `scripts/interpreters` gets none.
const WITHOUT: &[&str] = &["3.15", "debian-3.15", "3.13t", "3.15t", "3.11d", "3.13d", "3.14d", "3.15d", "musl-3.14"];

/// Where its wheel lies: that of the same build, also for another build of that version which takes it.
fn wheel(interpreter: &Interpreter) -> Result<PathBuf, Failed> {
    let name = interpreter.name.trim_start_matches("debian-").trim_end_matches("-shared").trim_end_matches("-stripped");
    Ok(registry::tool("uvloop")?.join(name))
}

/// True unless it is one of those that are known to have none.
pub(crate) fn exists(interpreter: &Interpreter) -> bool {
    !WITHOUT.contains(&interpreter.name.as_str())
}

/// Fails unless each interpreter either has a wheel or is known to have none.
pub(crate) fn each_is_known(interpreters: &[Interpreter]) -> Trial {
    let supported: Vec<Interpreter> = interpreters.iter().filter(|one| one.is_supported()).cloned().collect();
    Trial::test("live::exec_matrix::uvloop::wheels", move || {
        for interpreter in &supported {
            let found = wheel(interpreter)?.is_dir();
            ensure!(
                found == exists(interpreter),
                "{}: a wheel of uvloop, {}: {found}",
                interpreter.name,
                wheel(interpreter)?.display()
            );
        }
        let unknown = WITHOUT.iter().find(|name| !supported.iter().any(|one| one.name == **name));
        ensure!(unknown.is_none(), "no interpreter {unknown:?}");
        Ok(())
    })
}

/// A directory for `PYTHONPATH`, as the interpreter sees it; what is copied into its root lives as long as this.
pub(crate) struct Library {
    pub(crate) inside: PathBuf,
    _copy: Option<TempDir>,
}

impl Library {
    pub(crate) fn of(interpreter: &Interpreter) -> Result<Library, Failed> {
        let wheel = wheel(interpreter)?;
        if !interpreter.is_in_chroot() {
            return Ok(Library { inside: wheel, _copy: None });
        }
        let copy = stage::directory_in(&interpreter.root)?;
        let status =
            Command::new("cp").args([OsStr::new("-r"), wheel.as_os_str(), copy.path().as_os_str()]).status()?;
        ensure!(status.success(), "cp: {status}");
        let name = wheel.file_name().unwrap_or_default();
        Ok(Library { inside: stage::inside(&interpreter.root, &copy.path().join(name)), _copy: Some(copy) })
    }
}
