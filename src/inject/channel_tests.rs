//! The channel against records as they should be, in pieces, and against anything else.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]

use super::*;
use proptest::prelude::*;
use std::io::Write;

fn record_of(tag: u8, data: &[u8]) -> Vec<u8> {
    [&[tag], format!("{:08x}", data.len()).as_bytes(), data].concat()
}

fn fields_of(values: &[&[u8]]) -> Vec<u8> {
    values.iter().flat_map(|value| [format!("{:08x}", value.len()).as_bytes(), value].concat()).collect()
}

/// All sorts of records, the last one last.
fn every_record() -> Vec<u8> {
    [
        record_of(b's', &fields_of(&[b"140", b"12", b"Worker"])),
        record_of(b'o', b"out\xff"),
        record_of(b'e', b""),
        record_of(b'l', b""),
        record_of(b'x', &fields_of(&[b"KeyError", b"'a'", b"Traceback"])),
        record_of(b'q', &fields_of(&[b"code", b"3"])),
        record_of(b'r', &fields_of(&[b"list", b"3", b"[1]", b"[1]"])),
        record_of(b'i', &fields_of(&[b"15"])),
        record_of(b'd', &fields_of(&[b"1500"])),
    ]
    .concat()
}

/// Polls a file that has `bytes` after a page of something else.
fn polled(bytes: &[u8]) -> (Vec<Event>, Result<bool, ChannelError>, bool) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[b'#'; 4096]).unwrap();
    file.write_all(bytes).unwrap();
    let mut events = Vec::new();
    let mut channel = Channel::new(file, 4096);
    let result = channel.poll(&mut |event| events.push(event));
    (events, result, channel.is_done())
}

#[test]
fn every_kind_of_record_is_understood() {
    let (events, result, done) = polled(&[&every_record(), &b"left over"[..]].concat());
    assert!(result.unwrap() && done);
    let shown = format!("{events:?}");
    for part in [
        "Started { ident: 140, native_id: Some(12), name: Some(\"Worker\") }",
        "Output(Stdout, [111, 117, 116, 255])",
        "Output(Stderr, [])",
        "OutputLimit",
        "Thrown { kind: \"KeyError\", message: \"'a'\", traceback: \"Traceback\" }",
        "Exited(Code(\"3\"))",
        "repr: \"[1]\", repr_chars: 3, json: Some(RawValue([1]))",
        "SignalPassedOn(15)",
        "Done { ran: 1.5ms }",
    ] {
        assert!(shown.contains(part), "no {part} in {shown}");
    }
    assert_eq!(events.len(), 9);
}

#[test]
fn a_record_is_handed_on_when_it_is_complete() {
    let all = every_record();
    let mut file = tempfile::tempfile().unwrap();
    let mut channel = Channel::new(file.try_clone().unwrap(), 0);
    let mut count = 0;
    for byte in &all {
        assert!(!channel.is_done());
        file.write_all(&[*byte]).unwrap();
        channel.poll(&mut |_| count += 1).unwrap();
    }
    assert!(channel.is_done() && count == 9, "{count}");
    assert!(!channel.poll(&mut |_| count += 1).unwrap());
}

#[test]
fn long_records_are_read_whole_and_longer_ones_refused() {
    let long = vec![b'x'; RECORD_BYTES];
    let (events, result, _) = polled(&record_of(b'o', &long));
    assert!(result.unwrap() && events.len() == 1);
    let (events, result, _) = polled(&record_of(b'o', &[&long[..], b"x"].concat()));
    assert!(result.is_err() && events.is_empty());
    let many = record_of(b'o', &vec![b'x'; 1000]).repeat(3000);
    assert_eq!(polled(&many).0.len(), 3000);
}

#[test]
fn what_is_wrong_is_refused_where_it_is() {
    let good = record_of(b'o', b"a");
    let wrong: &[&[u8]] = &[
        b"z00000000",
        b"o0000000g",
        b"offffffff",
        b"d00000000",
        &record_of(b'd', &fields_of(&[b"-1"])),
        &record_of(b'd', &fields_of(&[b"1", b"2"])),
        &record_of(b'd', b"ffffffff1"),
        &record_of(b's', &fields_of(&[b"1", b"x", b""])),
        &record_of(b'r', &fields_of(&[b"int", b"1", b"1", b"[1"])),
    ];
    for wrong in wrong {
        let (events, result, done) = polled(&[&good, *wrong].concat());
        assert!(events.len() == 1 && !done, "{wrong:?}");
        assert!(matches!(result, Err(ChannelError::Invalid { at: 4106, .. })), "{wrong:?}: {result:?}");
    }
}

proptest! {
    #[test]
    fn nothing_that_a_target_writes_does_harm(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = polled(&bytes);
        let _ = event(*bytes.first().unwrap_or(&b'x'), bytes.get(1..).unwrap_or_default());
    }

    #[test]
    fn damage_is_found_or_harmless(at in 0_usize..250, byte in any::<u8>(), cut in 0_usize..300) {
        let mut all = every_record();
        let length = all.len();
        if let Some(place) = all.get_mut(at % length) {
            *place = byte;
        }
        all.truncate(cut);
        let (events, _, _) = polled(&all);
        prop_assert!(events.len() <= 9);
    }
}
