//! Damaged memory: whatever becomes of the words of a process full of tasks, reading them ends soon, and what is said stays
//! short. The process is a healthy one; what is read of it is changed on the way.

use std::time::{Duration, Instant};

use pyattach::asyncio::{Awaiting, read_asyncio};
use pyattach::base::Addr;
use pyattach::cpython::{LayoutChoice, find, find_asyncio};
use pyattach::interp::collect;
use pyattach::objects::Objects;
use pyattach::os::{Process, with_deadline};
use pyattach::target::{Cache, Memory, ReadError};

use crate::Scenario;
use crate::support::registry::Interpreter;
use crate::support::stage::Stage;
use crate::support::target::{DEADLINE, Target};
use crate::support::{Outcome, kernel};

pub(crate) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "tasks_damaged",
    exists: |i| ["3.8", "3.10", "3.12", "3.14", "3.14t", "3.15"].contains(&&*i.name),
    run: damaged,
}];

/// One word in so many is another.
const RATES: [u64; 4] = [20, 100, 500, 3000];
/// Readings at each rate.
const SEEDS: u64 = 12;
/// Longest text that a sound reading gives is below this by far.
const TEXT_BYTES: usize = 2000;

/// Memory in which some words are others; always the same ones for a seed.
struct Damaged<'m> {
    memory: &'m dyn Memory,
    seed: u64,
    rate: u64,
}

impl Damaged<'_> {
    /// What is there instead of a word, if it is one of those.
    fn instead_of(&self, at: u64, word: u64) -> Option<u64> {
        let random = mix(at ^ self.seed.rotate_left(40));
        if !random.is_multiple_of(self.rate) {
            return None;
        }
        Some(match random >> 32 & 7 {
            0 => 0,
            1 => u64::MAX,
            2 => word ^ 8,
            3 => word.wrapping_add(0x40),
            // An object that refers to itself.
            4 => at & !15,
            5 => 1 << 40,
            6 => random,
            _ => word >> 8,
        })
    }
}

/// A number as random as another is not (splitmix64).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

impl Memory for Damaged<'_> {
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.memory.read(addr, buf)?;
        let skip = (8 - addr.0 % 8) % 8;
        for (index, word) in buf.get_mut(skip as usize..).unwrap_or_default().chunks_exact_mut(8).enumerate() {
            let at = addr.0 + skip + index as u64 * 8;
            if let Some(other) = self.instead_of(at, u64::from_le_bytes(word.try_into().unwrap_or_default())) {
                word.copy_from_slice(&other.to_le_bytes());
            }
        }
        Ok(())
    }
}

fn damaged(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["tasks_why.py"])?;
    kernel::wait_for_read(target.pid, target.pid)?;
    let pid = target.pid;
    Ok(with_deadline(DEADLINE, move || read_all(pid)).ok_or("reading takes too long")??)
}

fn read_all(pid: i32) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let process = Process::open(pid).map_err(|error| text(&error))?;
    let modules = process.modules().map_err(|error| text(&error))?;
    let memory = process.memory();
    let runtime = find(&process, &modules, &memory, LayoutChoice::Auto).map_err(|error| text(&error))?;
    let debug = find_asyncio(&modules, &memory, &runtime);
    let world = collect(&Cache::new(&memory), &runtime).map_err(|error| text(&error))?;
    let (mut whole, mut explained) = (0, 0);
    for (rate, seed) in RATES.iter().flat_map(|rate| (0..SEEDS).map(|seed| (*rate, seed))) {
        let damaged = Damaged { memory: &memory, seed, rate };
        let cache = Cache::new(&damaged);
        let objects = Objects::new(&cache, &runtime.layout, runtime.quirks);
        let began = Instant::now();
        let asyncio = read_asyncio(&objects, &runtime, &world, debug, began + Duration::from_secs(5));
        let took = began.elapsed();
        let sane = |awaiting: &&Awaiting| awaiting.text.len() < TEXT_BYTES && awaiting.fd.is_none_or(|fd| fd >= 0);
        let strange = asyncio.tasks.iter().filter_map(|task| task.awaiting.as_ref()).find(|awaiting| !sane(awaiting));
        if took > Duration::from_secs(20) || strange.is_some() {
            return Err(format!("rate {rate}, seed {seed}: {took:?}, {strange:?}"));
        }
        whole += usize::from(asyncio.problems.is_empty() && asyncio.tasks.len() > 40);
        explained += asyncio.tasks.iter().filter(|task| task.awaiting.is_some()).count();
    }
    // Otherwise nothing was tested.
    if whole == 0 || explained < 200 { Err(format!("{whole} whole readings, {explained} waits")) } else { Ok(()) }
}
