//! Where the programs lie for an interpreter: in the repository, or in a copy inside the root it runs in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::Failed;

/// The programs, reachable from inside a root.
#[derive(Debug)]
pub(crate) struct Stage {
    root: PathBuf,
    programs: PathBuf,
    copy: Option<TempDir>,
}

impl Stage {
    pub(crate) fn new(root: &Path) -> Result<Self, Failed> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
        if root.as_os_str() == "/" {
            return Ok(Self { root: root.into(), programs: source, copy: None });
        }
        let copy = directory_in(root)?;
        copy_tree(&source, copy.path())?;
        Ok(Self { root: root.into(), programs: copy.path().into(), copy: Some(copy) })
    }

    /// A program's path, or a directory's, as the interpreter sees it.
    pub(crate) fn inside(&self, name: &str) -> PathBuf {
        inside(&self.root, &self.programs.join(name))
    }

    /// The same seen from here.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

/// A new temporary directory that programs in the root can use too.
pub(crate) fn directory_in(root: &Path) -> Result<TempDir, Failed> {
    let parent = root.join("tmp");
    fs::create_dir_all(&parent)?;
    Ok(tempfile::Builder::new().prefix("pyattach-tests-").tempdir_in(parent)?)
}

/// The path as seen from inside the root.
pub(crate) fn inside(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).map_or_else(|_| path.into(), |rest| Path::new("/").join(rest))
}

/// Copies a file that is to be executed, in a process of its own: a file open for writing in this one, which starts others
/// in other threads, would be so in those for a moment, and could not be executed.
pub(crate) fn copy_executable(from: &Path, to: &Path) -> Result<(), Failed> {
    let status = Command::new("cp").arg(from).arg(to).status()?;
    if status.success() { Ok(()) } else { Err(format!("cp {} {}: {status}", from.display(), to.display()).into()) }
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
