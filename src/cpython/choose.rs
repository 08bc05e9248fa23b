//! The layouts that may fit a runtime, best source first, and the first of them that does.

use super::debug_offsets::{self, DebugOffsets};
use super::layout::{Build, Layout, Offsets, TABLES, Table};
use super::validate::{Facts, Misfit, validate};
use super::{LayoutChoice, LayoutSource, Quirks};
use crate::base::{Addr, ReleaseLevel, Version};
use crate::target::{Cache, Memory, ReadError};

/// Validation reads a running process: what was torn the first time fits the next.
const ATTEMPTS: usize = 5;

/// A layout that may fit.
struct Candidate {
    layout: Layout,
    version: Version,
    build: Build,
    source: LayoutSource,
    /// The version is certain, not only that of the table.
    version_is_known: bool,
}

/// A layout that fits.
pub(super) struct Fit {
    pub(super) layout: Layout,
    pub(super) version: Version,
    pub(super) quirks: Quirks,
    pub(super) build: Build,
    pub(super) debug_build: bool,
    pub(super) source: LayoutSource,
}

/// Why none fits.
pub(super) enum NoFit {
    /// The runtime is there, but no interpreter.
    Uninitialised,
    /// The runtime is there, and its interpreter has been shut down.
    ShutDown,
    /// The process has given up its memory.
    Gone,
    /// This version has no table, and nothing else says where things are.
    Unsupported(Version),
    /// None of the candidates passed; the reason of the best.
    Misfit(String),
}

/// What is known of a runtime before any layout is chosen.
pub(super) struct Evidence<'a> {
    pub(super) address: Addr,
    /// `sizeof(_PyRuntimeState)` as the symbol or section says.
    pub(super) size: Option<u64>,
    /// `Py_Version`, where it is exported.
    pub(super) version: Option<Version>,
    /// Reads offsets from DWARF: slow, so only when nothing else fits or it is asked for.
    pub(super) dwarf: &'a dyn Fn() -> Option<(Offsets, String)>,
}

impl Evidence<'_> {
    fn is_size(&self, table: &Table) -> bool {
        self.size == Some(u64::from(table.runtime_size))
    }
}

/// Chooses.
pub(super) fn choose(memory: &dyn Memory, evidence: &Evidence<'_>, choice: LayoutChoice) -> Result<Fit, NoFit> {
    let head = Cache::new(memory).bytes(evidence.address, debug_offsets::TABLE_BYTES).ok();
    let described = head.and_then(|bytes| debug_offsets::parse(&bytes).ok());
    let known = described.as_ref().map(|d| d.version).or(evidence.version);
    let mut best_misfit = None;
    let mut uninitialised = false;
    for candidate in candidates(evidence, described, known, choice) {
        match check(memory, evidence.address, &candidate) {
            Ok(facts) => return Ok(fit(candidate, facts)),
            // By another layout the word that says so is another.
            Err(Misfit::ShutDown) if candidate.is_exact() => return Err(NoFit::ShutDown),
            Err(Misfit::Uninitialised | Misfit::ShutDown) => uninitialised = true,
            Err(Misfit::Read(ReadError::Gone)) => return Err(NoFit::Gone),
            // The layout is certain: the interpreter is being set up, or taken down.
            Err(_) if candidate.is_exact() && candidate.version_is_known => uninitialised = true,
            Err(misfit) => {
                best_misfit.get_or_insert_with(|| format!("{}: {misfit}", candidate.source));
            }
        }
    }
    match (uninitialised, best_misfit, known) {
        (true, _, _) => Err(NoFit::Uninitialised),
        (_, Some(misfit), _) => Err(NoFit::Misfit(misfit)),
        (_, None, Some(version)) if choice == LayoutChoice::Auto => Err(NoFit::Unsupported(version)),
        (_, None, _) => Err(NoFit::Misfit("there is no such source of a layout for it".to_owned())),
    }
}

fn check(memory: &dyn Memory, runtime: Addr, candidate: &Candidate) -> Result<Facts, Misfit> {
    let quirks = Quirks::of(candidate.version, candidate.build);
    let mut result = Err(Misfit::Uninitialised);
    for _ in 0..ATTEMPTS {
        result = validate(&Cache::new(memory), runtime, &candidate.layout, quirks);
        if matches!(result, Ok(_) | Err(Misfit::Uninitialised | Misfit::ShutDown)) {
            break;
        }
    }
    let facts = result?;
    match facts.version {
        Some(version) if version.minor_version() != candidate.version.minor_version() => {
            Err(Misfit::Contradiction("sys.hexversion is another version"))
        }
        None if !candidate.version_is_known && !matches!(candidate.source, LayoutSource::Table { exact: true, .. }) => {
            Err(Misfit::Contradiction("the version cannot be read"))
        }
        _ => Ok(facts),
    }
}

fn fit(candidate: Candidate, facts: Facts) -> Fit {
    let version = facts.version.unwrap_or(candidate.version);
    Fit {
        layout: candidate.layout,
        version,
        quirks: Quirks::of(version, candidate.build),
        build: candidate.build,
        debug_build: facts.debug_build,
        source: candidate.source,
    }
}

/// What may fit, each only made when those before it do not.
fn candidates<'e>(
    evidence: &'e Evidence<'_>,
    described: Option<DebugOffsets>,
    known: Option<Version>,
    choice: LayoutChoice,
) -> impl Iterator<Item = Candidate> + 'e {
    let wants = move |source| choice == LayoutChoice::Auto || choice == source;
    let free_threaded = described.as_ref().map(|d| d.free_threaded);
    let described = described.filter(|_| wants(LayoutChoice::DebugOffsets));
    let described = described.and_then(|described| by_debug_offsets(described, evidence.size));
    let tables = if wants(LayoutChoice::Table) { tables(evidence, known, free_threaded) } else { Vec::new() };
    let (exact, similar): (Vec<_>, Vec<_>) = tables.into_iter().partition(|table| evidence.is_size(table));
    // Reading DWARF takes long, but it is about this very build, which a table of another patch release is not.
    let wants_dwarf =
        choice == LayoutChoice::Dwarf || choice == LayoutChoice::Auto && described.is_none() && exact.is_empty();
    let dwarf = wants_dwarf.then_some(()).into_iter().flat_map(move |()| by_dwarf(evidence, known, free_threaded));
    let exact = exact.into_iter().filter_map(move |table| by_table(table, true, known));
    let similar = similar.into_iter().filter_map(move |table| by_table(table, false, known));
    described.into_iter().chain(exact).chain(dwarf).chain(similar)
}

impl Candidate {
    fn is_exact(&self) -> bool {
        matches!(self.source, LayoutSource::DebugOffsets { .. } | LayoutSource::Table { exact: true, .. })
    }
}

/// The table for a build: of the same minor version, or the newest for one newer than all.
fn nearest_table(version: Version, build: Build, size: Option<u64>) -> Option<&'static Table> {
    let of_build = || TABLES.iter().copied().filter(move |t| t.build == build);
    let newest = of_build().map(|t| t.version).max()?;
    let minor = version.minor_version().min((newest.0, newest.1));
    let same = || of_build().filter(move |t| (t.version.0, t.version.1) == minor);
    same()
        .find(|t| Some(u64::from(t.runtime_size)) == size)
        .or_else(|| same().min_by_key(|t| t.version.2.abs_diff(version.micro)))
}

/// What the target says of itself, over the table of its version for the fields it does not mention.
fn by_debug_offsets(described: DebugOffsets, size: Option<u64>) -> Option<Candidate> {
    let version = described.version;
    let build = match described.free_threaded {
        true => Build::FreeThreaded,
        false => {
            let fits = |t: &&&Table| Some(u64::from(t.runtime_size)) == size && t.build == Build::Debug;
            TABLES.iter().find(fits).map_or(Build::Default, |t| t.build)
        }
    };
    let mut offsets = nearest_table(version, build, size)?.offsets();
    for absent in ["PyCodeObject.co_tlbc", "_PyInterpreterFrame.tlbc_index"] {
        if described.offsets.get(absent).is_none() {
            offsets.remove(absent);
        }
    }
    offsets.overlay(described.offsets);
    let layout = Layout::from_source(&offsets).ok()?;
    Some(Candidate { layout, version, build, source: LayoutSource::DebugOffsets { version }, version_is_known: true })
}

/// Tables of the known version, or of every version when it is not known; those of the same size first.
fn tables(evidence: &Evidence<'_>, known: Option<Version>, free_threaded: Option<bool>) -> Vec<&'static Table> {
    let applies = |t: &&Table| match known {
        Some(version) => version.minor_version() == (t.version.0, t.version.1),
        // From 3.13 on the target would have said.
        None => t.version < (3, 13, 0),
    };
    let mut tables: Vec<&Table> = TABLES.iter().copied().filter(applies).collect();
    tables.retain(|t| free_threaded.is_none_or(|ft| ft == (t.build == Build::FreeThreaded)));
    let micro = known.map_or(0, |version| version.micro);
    tables.sort_by_key(|t| (!evidence.is_size(t), t.build != Build::Default, t.version.2.abs_diff(micro)));
    tables
}

fn by_table(table: &Table, exact: bool, known: Option<Version>) -> Option<Candidate> {
    let (major, minor, micro) = table.version;
    let version = known.unwrap_or(Version { major, minor, micro, level: ReleaseLevel::Final, serial: 0 });
    Some(Candidate {
        layout: Layout::from_source(&table.offsets()).ok()?,
        version,
        build: table.build,
        source: LayoutSource::Table { version: table.version, build: table.build, exact },
        version_is_known: known.is_some(),
    })
}

fn by_dwarf(evidence: &Evidence<'_>, known: Option<Version>, free_threaded: Option<bool>) -> Vec<Candidate> {
    let Some((offsets, file)) = (evidence.dwarf)() else { return Vec::new() };
    let Ok(layout) = Layout::from_source(&offsets) else { return Vec::new() };
    let build = if free_threaded == Some(true) { Build::FreeThreaded } else { Build::Default };
    let minors: Vec<Version> = match known {
        Some(version) => vec![version],
        None => {
            (7..13).map(|minor| Version { major: 3, minor, micro: 0, level: ReleaseLevel::Final, serial: 0 }).collect()
        }
    };
    let candidate = |version| Candidate {
        layout: layout.clone(),
        version,
        build,
        source: LayoutSource::Dwarf { file: file.clone() },
        version_is_known: known.is_some(),
    };
    minors.into_iter().map(candidate).collect()
}
