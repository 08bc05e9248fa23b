//! The interpreters and programs that `scripts/interpreters` got, as its tables in the cache list them.

use std::path::PathBuf;

use super::Failed;

/// One interpreter to run programs on.
#[derive(Clone, Debug)]
pub(crate) struct Interpreter {
    pub(crate) name: String,
    /// As the table has it: `3.12.1`, `3.15.0rc1`.
    pub(crate) version: String,
    pub(crate) minor: (u32, u32),
    pub(crate) kinds: Vec<String>,
    pub(crate) root: PathBuf,
    pub(crate) python: String,
    pub(crate) env: Vec<(String, String)>,
}

impl Interpreter {
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kinds.iter().any(|own| own == kind)
    }

    pub(crate) fn has_gil(&self) -> bool {
        !self.is("free-threaded")
    }

    pub(crate) fn since(&self, minor: u32) -> bool {
        self.minor >= (3, minor)
    }

    /// False for what pyattach refuses: Python 2, PyPy, 32-bit builds.
    pub(crate) fn is_supported(&self) -> bool {
        !self.is("unsupported")
    }

    pub(crate) fn is_in_chroot(&self) -> bool {
        self.root.as_os_str() != "/"
    }
}

/// A program with a CPython inside.
#[derive(Clone, Debug)]
pub(crate) struct Embedder {
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
}

/// What the matrix must contain: a name, or else words for a set of kinds.
pub(crate) const REQUIRED_NAMES: &[&str] =
    &["3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15", "3.13t", "3.14t", "3.15t"];
pub(crate) const REQUIRED_KINDS: &[&[&str]] = &[&["debug"], &["chroot", "stripped"], &["musl"]];
pub(crate) const REQUIRED_PROGRAMS: &[&str] = &["embedded", "frozen"];

/// Where the tables and most interpreters lie.
fn cache() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("PYATTACH_CACHE").unwrap_or_else(|| {
        variable("XDG_CACHE_HOME")
            .unwrap_or_else(|| variable("HOME").unwrap_or_default().join(".cache"))
            .join("pyattach")
    })
}

/// The rows of a table, each as a function from column name to text.
fn rows(table: &str) -> Result<Vec<impl Fn(&str) -> Result<String, Failed> + use<>>, Failed> {
    let path = cache().join(table);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("{}: {error}; run scripts/interpreters first", path.display()))?;
    let mut lines = text.lines();
    let header: Vec<String> = lines.next().unwrap_or_default().split('\t').map(str::to_owned).collect();
    let row = |line: &str| {
        let fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
        let (header, path) = (header.clone(), path.clone());
        move |column: &str| {
            let index = header.iter().position(|name| name == column);
            let field = index.and_then(|index| fields.get(index)).cloned();
            field.ok_or_else(|| Failed::from(format!("{}: a row without {column}", path.display())))
        }
    };
    Ok(lines.map(row).collect())
}

pub(crate) fn interpreters() -> Result<Vec<Interpreter>, Failed> {
    rows("interpreters.tsv")?.into_iter().map(|row| interpreter(&row)).collect()
}

fn interpreter(row: &dyn Fn(&str) -> Result<String, Failed>) -> Result<Interpreter, Failed> {
    let version = row("version")?;
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    let minor = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let env = row("env")?;
    Ok(Interpreter {
        name: row("name")?,
        minor,
        kinds: row("kind")?.split(',').map(str::to_owned).collect(),
        root: row("root")?.into(),
        python: row("python")?,
        env: env.split(' ').filter_map(|one| one.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect(),
        version,
    })
}

pub(crate) fn programs() -> Result<Vec<(Embedder, String)>, Failed> {
    let one = |row: &dyn Fn(&str) -> Result<String, Failed>| {
        let command = row("command")?.split(' ').map(str::to_owned).collect();
        Ok((Embedder { name: row("name")?, command }, row("kind")?))
    };
    rows("programs.tsv")?.into_iter().map(|row| one(&row)).collect()
}

/// Another tool that pyattach is compared with.
pub(crate) fn tool(name: &str) -> Result<PathBuf, Failed> {
    for row in rows("tools.tsv")? {
        if row("name")? == name {
            return Ok(row("command")?.into());
        }
    }
    Err(format!("no {name}: run scripts/interpreters").into())
}

/// The interpreter of this name, for a test that needs a certain one.
pub(crate) fn find(name: &str) -> Result<Interpreter, Failed> {
    let found = interpreters()?.into_iter().find(|interpreter| interpreter.name == name);
    found.ok_or_else(|| format!("no interpreter {name}: run scripts/interpreters").into())
}
