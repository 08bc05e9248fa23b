//! The stacks of a made process: frame objects up to 3.10, frames on a data stack from 3.11 on.

use crate::python::{Function, MadeFrame, Python};
use crate::tables;

/// Bytes of a made stack chunk.
const CHUNK: usize = 4096;
/// `owner` of a frame between C and Python, in versions that have it.
const BETWEEN: u8 = 3;

/// `PyFrameObject`s, each pointing at its caller.
pub(crate) fn frame_objects(python: &mut Python, thread: u64, functions: &[Function]) {
    let mut outer = 0;
    for function in functions.iter().rev() {
        let mut made = python.code(*function);
        let w = &mut python.w;
        made.address = w.object("frame", 256);
        let units = function.1 * tables::UNITS;
        let lasti = if w.minor == 10 { units } else { units * 2 };
        w.set64(made.address, "PyFrameObject.f_back", outer);
        w.set64(made.address, "PyFrameObject.f_code", made.code);
        w.set64(made.address, "PyFrameObject.f_globals", made.globals);
        w.set(made.address, "PyFrameObject.f_lasti", lasti.to_le_bytes());
        outer = made.address;
        python.made().frames.insert(0, made);
    }
    python.w.set64(thread, "PyThreadState.frame", outer);
}

/// `_PyInterpreterFrame`s: the innermost in the newest chunk, the others in an older one.
pub(crate) fn interpreter_frames(python: &mut Python, thread: u64, functions: &[Function]) {
    let chunks = [python.w.alloc(CHUNK), python.w.alloc(CHUNK)];
    let base = base_frame(python, thread);
    let mut outer = base;
    let mut tops = chunks.map(|chunk| python.w.at(chunk, "_PyStackChunk.data"));
    for (i, function) in functions.iter().enumerate().rev() {
        let made = python.code(*function);
        let top = &mut tops[usize::from(i > 0)];
        let is_outermost = i + 1 == functions.len();
        let made = frame(python, *top, made, outer, function.1, is_outermost);
        *top += python.w.offset("_PyInterpreterFrame.localsplus").expect("frames have locals") + 32;
        outer = made.address;
        python.made().frames.insert(0, made);
    }
    link_chunks(python, thread, chunks, tops);
    if python.w.minor >= 13 {
        python.w.set64(thread, "PyThreadState.current_frame", outer);
    } else {
        link_cframes(python, thread, outer);
    }
}

/// What lies below the outermost Python frame: nothing in 3.11, a frame without code from then on.
fn base_frame(python: &mut Python, thread: u64) -> u64 {
    let w = &mut python.w;
    if w.minor == 11 {
        return 0;
    }
    let base = w.structure("_PyInterpreterFrame", 64);
    w.set(base, "_PyInterpreterFrame.owner", [if w.minor >= 15 { BETWEEN + 1 } else { BETWEEN }]);
    w.set64(thread, "PyThreadState.base_frame", base);
    base
}

fn frame(python: &mut Python, at: u64, made: MadeFrame, outer: u64, run: u32, is_outermost: bool) -> MadeFrame {
    let w = &mut python.w;
    let tag = u64::from(w.minor >= 14);
    w.set64(at, "_PyInterpreterFrame.f_executable|_PyInterpreterFrame.f_code", made.code | tag);
    w.set64(at, "_PyInterpreterFrame.f_globals", made.globals);
    w.set64(at, "_PyInterpreterFrame.previous", outer);
    w.set(at, "_PyInterpreterFrame.is_entry", [u8::from(is_outermost)]);
    let own = w.at(made.code, "PyCodeObject.co_code_adaptive");
    let bytecode = match w.offset("PyCodeObject.co_tlbc") {
        // The second copy of two is the one that runs.
        Some(tlbc) => {
            let (copy, array) = (w.alloc(64), w.alloc(24));
            w.put64(array, 2);
            w.put64(array + 8, own);
            w.put64(array + 16, copy);
            w.put64(made.code + tlbc, array);
            w.set(at, "_PyInterpreterFrame.tlbc_index", 1i32.to_le_bytes());
            copy
        }
        None => own,
    };
    let instruction = bytecode + u64::from(run * tables::UNITS * 2);
    w.set64(at, "_PyInterpreterFrame.instr_ptr|_PyInterpreterFrame.prev_instr", instruction);
    MadeFrame { address: at, ..made }
}

fn link_chunks(python: &mut Python, thread: u64, chunks: [u64; 2], tops: [u64; 2]) {
    let [newest, older] = chunks;
    let w = &mut python.w;
    for chunk in chunks {
        w.set64(chunk, "_PyStackChunk.size", CHUNK as u64);
    }
    let data = w.at(older, "_PyStackChunk.data");
    w.set64(newest, "_PyStackChunk.previous", older);
    w.set64(older, "_PyStackChunk.top", (tops[1] - data) / 8);
    w.set64(thread, "PyThreadState.datastack_chunk", newest);
    w.set64(thread, "PyThreadState.datastack_top", tops[0]);
    python.made().chunks = chunks.to_vec();
}

/// One evaluation loop, in the root one; a thread that runs no Python code has only that.
fn link_cframes(python: &mut Python, thread: u64, innermost: u64) {
    let is_idle = python.made().frames.is_empty();
    let w = &mut python.w;
    let (root, cframe) = (w.structure("_PyCFrame", 16), w.structure("_PyCFrame", 16));
    w.set64(cframe, "_PyCFrame.current_frame", innermost);
    w.set64(cframe, "_PyCFrame.previous", root);
    w.set64(thread, "PyThreadState.cframe", if is_idle { root } else { cframe });
    python.made().cframes = vec![cframe, root];
}
