//! What is to be run.

/// A script or an expression, and what it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its source as it is in the file: Python finds out the encoding.
    pub source: Vec<u8>,
    /// Its name in tracebacks, and `sys.argv[0]`.
    pub name: String,
    /// `__file__`.
    pub file: String,
    /// The rest of `sys.argv`.
    pub arguments: Vec<String>,
    /// The loaded module in whose namespace it runs; `None` for a new namespace.
    pub namespace: Option<String>,
    /// What it is.
    pub kind: Kind,
}

/// What the source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Statements.
    Exec,
    /// One expression, whose value is wanted.
    Eval,
}
