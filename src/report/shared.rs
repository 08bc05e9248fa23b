//! Frames that many stacks share are turned into JSON once.

use super::model::Frame;
use crate::base::AddrHashing;
use serde::Serializer;
use serde::ser::{Error, SerializeSeq};
use serde_json::value::{RawValue, to_raw_value};
use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// JSON of frames by their address.
type Written = HashMap<usize, Box<RawValue>, AddrHashing>;

thread_local! {
    /// What was written, while a report is written by [`with_shared_frames`].
    static WRITTEN: RefCell<Option<Written>> = const { RefCell::new(None) };
}

/// Runs `write`, which writes one report through `serde_json`; frames that occur again are copied.
pub(super) fn with_shared_frames<T>(write: impl FnOnce() -> T) -> T {
    struct Forget;
    impl Drop for Forget {
        fn drop(&mut self) {
            WRITTEN.with_borrow_mut(|written| *written = None);
        }
    }
    let _forget = Forget;
    WRITTEN.with_borrow_mut(|written| *written = Some(Written::default()));
    write()
}

/// Serializes the frames of one stack.
pub(super) fn serialize<S: Serializer>(frames: &[Arc<Frame>], serializer: S) -> Result<S::Ok, S::Error> {
    WRITTEN.with_borrow_mut(|written| {
        let Some(written) = written else { return serializer.collect_seq(frames) };
        let mut sequence = serializer.serialize_seq(Some(frames.len()))?;
        for frame in frames {
            if Arc::strong_count(frame) == 1 {
                sequence.serialize_element(frame)?;
                continue;
            }
            let text = match written.entry(Arc::as_ptr(frame).addr()) {
                Entry::Vacant(entry) => entry.insert(to_raw_value(&**frame).map_err(S::Error::custom)?),
                Entry::Occupied(entry) => entry.into_mut(),
            };
            sequence.serialize_element(text)?;
        }
        sequence.end()
    })
}
