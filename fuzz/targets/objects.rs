//! `str`, `int`, `bytes`, `dict` and instances in memory of any contents.
#![no_main]

#[path = "../../tests/hostile/ram.rs"]
#[allow(dead_code)]
mod ram;

use libfuzzer_sys::fuzz_target;
use pyattach::base::{Addr, ReleaseLevel, Version};
use pyattach::cpython::Quirks;
use pyattach::cpython::layout::{Layout, TABLES};
use pyattach::objects::Objects;
use pyattach::target::Cache;

const START: u64 = 0x1_0000;

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (which, at, bytes) = input;
    let Some(table) = TABLES.get(usize::from(which) % TABLES.len()) else { return };
    let Ok(layout) = Layout::from_source(&table.offsets()) else { return };
    let (major, minor, micro) = table.version;
    let version = Version { major, minor, micro, level: ReleaseLevel::Final, serial: 0 };
    let mut memory = ram::Ram::new(10_000);
    memory.map(START, bytes.len());
    memory.poke(START, bytes);
    let cache = Cache::new(&memory);
    let objects = Objects::new(&cache, &layout, Quirks::of(version, table.build));
    let object = Addr(START + u64::from(at & !7));
    let _ = objects.str(object);
    let _ = objects.checked_str(object);
    let _ = objects.int(object);
    let _ = objects.bytes_object(object, 1 << 20);
    let _ = objects.type_name(object);
    let _ = objects.dict(object).map(|dict| dict.entries().count());
    let _ = objects.dict_get(object, "__name__");
    let _ = objects.instance_attributes(object, ["_name", "_daemonic"]);
    let lazily = cache.batched(&[object, Addr(START)], |object| objects.dict_get(*object, "name"));
    assert_eq!(lazily.len(), 2);
});
