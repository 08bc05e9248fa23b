//! Line tables in the three formats: eight runs of two code units, each two lines below the one before.

/// Runs of a made line table.
pub(crate) const RUNS: u32 = 8;
/// Code units of a run.
pub(crate) const UNITS: u32 = 2;

/// Line of a run.
pub(crate) fn line(first: i32, run: u32) -> i32 {
    first + 1 + 2 * run as i32
}

/// Columns of a run, in the format that has them.
pub(crate) fn columns(run: u32) -> (i32, i32) {
    (run as i32, run as i32 + 100)
}

fn delta(run: u32) -> u8 {
    if run == 0 { 1 } else { 2 }
}

/// `co_lnotab`, up to 3.9: how far on, then how many lines on.
pub(crate) fn lnotab() -> Vec<u8> {
    (0..RUNS).flat_map(|run| [if run == 0 { 0 } else { 2 * UNITS as u8 }, delta(run)]).collect()
}

/// `co_linetable` of 3.10: how long, and how many lines on from the run before.
pub(crate) fn deltas() -> Vec<u8> {
    (0..RUNS).flat_map(|run| [2 * UNITS as u8, delta(run)]).collect()
}

/// `co_linetable` from 3.11 on, in the long form.
pub(crate) fn locations() -> Vec<u8> {
    let mut table = Vec::new();
    for run in 0..RUNS {
        let (start, end) = columns(run);
        table.push(0x80 | 14 << 3 | (UNITS as u8 - 1));
        // Signed numbers have their sign in the lowest bit.
        number(&mut table, u32::from(delta(run)) << 1);
        number(&mut table, 0);
        number(&mut table, start as u32 + 1);
        number(&mut table, end as u32 + 1);
    }
    table
}

fn number(table: &mut Vec<u8>, mut value: u32) {
    while value >= 64 {
        table.push(64 | (value & 63) as u8);
        value >>= 6;
    }
    table.push(value as u8);
}
