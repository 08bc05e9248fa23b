//! Targets that lie: memory, files and texts made to break the reader. Whatever a target holds, pyattach must neither panic
//! nor hang nor take memory without end, and what is whole in it must still be read right.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic fails the test")]

mod asyncio;
mod contents;
mod damage;
mod elf;
mod floods;
mod healthy;
mod python;
mod ram;
mod random;
mod stack;
mod tables;
mod text;
mod values;
mod writer;

use std::sync::mpsc;
use std::time::Duration;

/// A test that takes longer hangs; all of them together take a small part of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Does `work` on another thread, so that a reader that never ends fails its test.
fn bounded(work: impl FnOnce() + Send + 'static) {
    let (done, end) = mpsc::channel::<()>();
    let worker = std::thread::spawn(move || {
        let _tell = done;
        work();
    });
    if end.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("it does not end within {PATIENCE:?}");
    }
    if let Err(panic) = worker.join() {
        std::panic::resume_unwind(panic);
    }
}
