//! Objects of the standard library and of numpy: whole ones are written as documented, damaged ones end within their limits.

use proptest::prelude::*;
use pyattach::cpython::layout::TABLES;

use crate::damage::WILD;
use crate::python::Python;
use crate::values::{LIMITS, read};
use crate::writer::{Attributes, Writer};

/// `Py_TPFLAGS_HEAPTYPE`.
const HEAP_TYPE: u64 = 1 << 9;

/// Puts an object into the made memory; what must be read of it.
type Maker = fn(&mut Writer) -> (u64, String);

/// One of each kind.
const MAKERS: &[Maker] = &[
    proxy,
    namespace,
    view,
    weak,
    memory,
    array,
    pattern,
    matched,
    simple_queue,
    variable,
    numpy_array,
    numpy_scalar,
    file,
    generator,
    process_lock,
    thread,
    semaphore,
    queue,
    future,
    chain,
    decimal,
    process,
];

/// An object of a type with so many bytes behind its header, and these words in it.
fn words(w: &mut Writer, ty: &'static str, words: &[u64]) -> u64 {
    let header = w.at(0, "sizeof PyObject");
    let object = w.object(ty, header as usize + words.len() * 8);
    let of = w.get64(w.at(object, "PyObject.ob_type"));
    w.set64(of, "PyTypeObject.tp_basicsize", header + words.len() as u64 * 8);
    words.iter().enumerate().for_each(|(i, word)| w.put64(object + header + i as u64 * 8, *word));
    object
}

fn memory_of(w: &mut Writer, bytes: &[u8]) -> u64 {
    let at = w.alloc(bytes.len() + 8);
    w.ram.poke(at, bytes);
    at
}

fn packed(w: &mut Writer, words: &[u64]) -> u64 {
    memory_of(w, &words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>())
}

fn dict(w: &mut Writer) -> u64 {
    let entries = [(w.int("int", 1), w.str("one")), (w.int("int", 2), w.object("NoneType", 32))];
    let dict = w.dict(&entries, false);
    w.set64(dict, "PyDictObject.ma_used", 2);
    dict
}

fn list(w: &mut Writer, items: &[u64]) -> u64 {
    let place = packed(w, items);
    let list = w.object("list", 64);
    w.set64(list, "PyVarObject.ob_size", items.len() as u64);
    w.set64(list, "PyListObject.ob_item", place);
    list
}

fn proxy(w: &mut Writer) -> (u64, String) {
    let dict = dict(w);
    (words(w, "mappingproxy", &[dict]), "mappingproxy({1: 'one', 2: None})".into())
}

fn namespace(w: &mut Writer) -> (u64, String) {
    let entries = [("a", w.int("int", 1)), ("password", w.str("hunter2"))];
    let dict = w.text_dict(&entries);
    (words(w, "types.SimpleNamespace", &[dict]), "namespace(a=1, password=<redacted>)".into())
}

fn view(w: &mut Writer) -> (u64, String) {
    let dict = dict(w);
    (words(w, "dict_items", &[dict]), "dict_items([(1, 'one'), (2, None)])".into())
}

fn weak(w: &mut Writer) -> (u64, String) {
    let to = w.int("int", 7);
    let reference = words(w, "weakref", &[to, 0, 0, 0, 0]);
    (reference, format!("<weakref at {reference:#x}; to 'int' at {to:#x}>"))
}

fn memory(w: &mut Writer) -> (u64, String) {
    let (of, format) = (w.bytes(b"abc"), memory_of(w, b"B\0"));
    let view = words(w, "memoryview", &[3, 0, 0, 0, 0, of, of, 3, 1, 1 | 1 << 32, format, 0, 0, 0, 0, 0]);
    (view, format!("<memory at {view:#x} nbytes=3, format='B', readonly=True, obj=b'abc'>"))
}

fn array(w: &mut Writer) -> (u64, String) {
    let (items, described) = (packed(w, &[1 | 2 << 32, 3]), packed(w, &[u64::from(b'i') | 4 << 32, 0]));
    (words(w, "array.array", &[3, items, 3, described, 0, 0]), "array('i', [1, 2, 3])".into())
}

fn pattern(w: &mut Writer) -> (u64, String) {
    let text = w.str("a+");
    (words(w, "re.Pattern", &[0, 0, 0, 0, text, 2 | 32, 0, 0, 0, 0]), "re.compile('a+', re.IGNORECASE)".into())
}

fn matched(w: &mut Writer) -> (u64, String) {
    let text = w.str("xabc");
    let found = words(w, "re.Match", &[2, text, 0, 0, 0, 4, 0, 1, 1, 3, 0]);
    (found, "<re.Match object; span=(1, 3), match='ab'>".into())
}

fn simple_queue(w: &mut Writer) -> (u64, String) {
    let items = [w.int("int", 2), 0, 0, w.int("int", 1)];
    let ring = packed(w, &items);
    let queue = words(w, "_queue.SimpleQueue", &[0, 1, 3, ring, 4, 2, 0]);
    (queue, format!("<_queue.SimpleQueue at {queue:#x} length=2, queue=[1, 2]>"))
}

fn variable(w: &mut Writer) -> (u64, String) {
    let (name, default) = (w.str("api_key"), w.str("hunter2"));
    let variable = words(w, "ContextVar", &[name, default, 0, 0, 0, 0]);
    (variable, format!("<ContextVar name='api_key' default=<redacted> at {variable:#x}>"))
}

fn numpy_array(w: &mut Writer) -> (u64, String) {
    let dtype = words(
        w,
        "numpy.dtypes.Int16DType",
        &[0, u64::from_le_bytes(*b"ih=\0\x03\0\0\0"), 2 | 2 << 32, 0, 0, 0, 0, 0, 0, 0],
    );
    let (data, dimensions, strides) =
        (packed(w, &[1 | 2 << 16 | 3 << 32 | 4 << 48]), packed(w, &[2, 2]), packed(w, &[4, 2]));
    let array = words(w, "numpy.ndarray", &[data, 2, dimensions, strides, 0, dtype, 0, 0, 0, 0]);
    (array, "<numpy.ndarray dtype=int16 shape=(2, 2): [1, 2, 3, 4]>".into())
}

fn numpy_scalar(w: &mut Writer) -> (u64, String) {
    (words(w, "numpy.float64", &[1.5f64.to_bits()]), "numpy.float64(1.5)".into())
}

fn file(w: &mut Writer) -> (u64, String) {
    let raw = words(w, "_io.FileIO", &[3 | 2 << 32, 0, 0, 0]);
    let buffer = words(w, "_io.BufferedReader", &[raw, 1, 1, 0]);
    let encoding = w.str("utf-8");
    let text = words(w, "_io.TextIOWrapper", &[1, 8192, buffer, encoding, 0, 0]);
    (text, "<_io.TextIOWrapper encoding='utf-8' fd=3>".into())
}

fn process_lock(w: &mut Writer) -> (u64, String) {
    let lock = words(w, "_multiprocessing.SemLock", &[0, 99, 1 | 1 << 32, 0, 0]);
    (lock, format!("<_multiprocessing.SemLock at {lock:#x} count=1, maxvalue=1, owner=99>"))
}

fn generator(w: &mut Writer) -> (u64, String) {
    let generator = words(w, "generator", &[0; 16]);
    let name = w.str("count");
    w.set64(generator, "PyGenObject.gi_qualname", name);
    if w.offset("PyGenObject.gi_frame_state").is_none() {
        return (generator, format!("<generator object count at {generator:#x}, closed>"));
    }
    w.set(generator, "PyGenObject.gi_frame_state", [if w.minor < 15 { 1 } else { 5 }]);
    (generator, format!("<generator object count at {generator:#x}, closed>"))
}

/// An instance of a class of this module and name.
fn instance(w: &mut Writer, module: &str, name: &'static str, attributes: &[(&str, u64)]) -> u64 {
    let object = w.instance(attributes, Attributes::Dict);
    let of = w.get64(w.at(object, "PyObject.ob_type"));
    let (module, qualname) = (w.str(module), w.str(name));
    let namespace = w.text_dict(&[("__module__", module)]);
    let mro = w.object("tuple", 72);
    w.set64(mro, "PyVarObject.ob_size", 1);
    let item = w.at(mro, "PyTupleObject.ob_item");
    w.put64(item, of);
    let flags = w.get64(w.at(of, "PyTypeObject.tp_flags"));
    let text = memory_of(w, format!("{name}\0").as_bytes());
    w.set64(of, "PyTypeObject.tp_name", text);
    w.set64(of, "PyTypeObject.tp_flags", flags | HEAP_TYPE);
    w.set64(of, "PyTypeObject.tp_dict", namespace);
    w.set64(of, "PyTypeObject.tp_mro", mro);
    w.set64(of, "PyHeapTypeObject.ht_qualname", qualname);
    object
}

/// What waits, within something else; one of the same type will do.
fn condition(w: &mut Writer) -> u64 {
    let waiter = w.object("NoneType", 32);
    let waiters = list(w, &[waiter]);
    w.instance(&[("_waiters", waiters)], Attributes::Dict)
}

fn thread(w: &mut Writer) -> (u64, String) {
    let flag = w.int("bool", 1);
    let started = w.instance(&[("_flag", flag)], Attributes::Dict);
    let handle = packed(w, &[0, 0, 0, 0, 0, 0, 1 | 3 << 32, 0, 0]);
    let attributes = [
        ("_name", w.str("password=hunter2")),
        ("_ident", w.int("int", 99)),
        ("_daemonic", w.int("bool", 1)),
        ("_started", started),
        ("_handle", words(w, "_thread._ThreadHandle", &[handle])),
    ];
    let thread = instance(w, "threading", "Thread", &attributes);
    (thread, "<Thread(password=<redacted>, started daemon 99)>".into())
}

fn semaphore(w: &mut Writer) -> (u64, String) {
    let attributes = [("_value", w.int("int", 0)), ("_initial_value", w.int("int", 2)), ("_cond", condition(w))];
    let semaphore = instance(w, "threading", "BoundedSemaphore", &attributes);
    (semaphore, format!("<threading.BoundedSemaphore at {semaphore:#x}: value=0/2, 1 waiting>"))
}

fn queue(w: &mut Writer) -> (u64, String) {
    let item = w.int("int", 5);
    let attributes = [
        ("queue", list(w, &[item])),
        ("maxsize", w.int("int", 1)),
        ("unfinished_tasks", w.int("int", 1)),
        ("not_empty", condition(w)),
        ("not_full", condition(w)),
        ("all_tasks_done", condition(w)),
    ];
    let queue = instance(w, "queue", "Queue", &attributes);
    let counts = "length=1, maxsize=1, unfinished=1, getters=1, putters=1, joiners=1";
    (queue, format!("<queue.Queue at {queue:#x} {counts}, queue=[5]>"))
}

fn future(w: &mut Writer) -> (u64, String) {
    let attributes =
        [("_state", w.str("FINISHED")), ("_result", w.int("int", 5)), ("_exception", w.object("NoneType", 32))];
    let future = instance(w, "concurrent.futures._base", "Future", &attributes);
    (future, format!("<Future at {future:#x} state=finished returned int>"))
}

fn chain(w: &mut Writer) -> (u64, String) {
    let first = dict(w);
    let maps = list(w, &[first]);
    (instance(w, "collections", "ChainMap", &[("maps", maps)]), "ChainMap({1: 'one', 2: None})".into())
}

fn decimal(w: &mut Writer) -> (u64, String) {
    let attributes = [("_sign", w.int("int", 1)), ("_int", w.str("125")), ("_exp", w.int("int", 0))];
    (instance(w, "decimal", "Decimal", &attributes), "Decimal('-125')".into())
}

fn process(w: &mut Writer) -> (u64, String) {
    let arguments = [w.str("mysql"), w.str("--password"), w.str("hunter2")];
    let attributes =
        [("pid", w.int("int", 7)), ("returncode", w.object("NoneType", 32)), ("args", list(w, &arguments))];
    let process = instance(w, "subprocess", "Popen", &attributes);
    let text = "pid=7, returncode=None, args=['mysql', '--password', <redacted>]";
    (process, format!("<subprocess.Popen at {process:#x} {text}>"))
}

/// A made process with one object, and what must be read of it.
fn with(table: usize, maker: usize) -> (Python, u64, String) {
    let mut python = Python::new(TABLES[table]);
    let (object, text) = MAKERS[maker](&mut python.w);
    python.w.make_types();
    python.w.ram.set_limit(200_000);
    (python, object, text)
}

#[test]
fn whole_ones_are_written_as_documented() {
    for (table, measured) in TABLES.iter().enumerate() {
        for maker in 0..MAKERS.len() {
            let (python, object, text) = with(table, maker);
            assert_eq!(read(&python, object), text, "{:?}", measured.version);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 100, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn damaged_ones_end(
        table in any::<prop::sample::Index>(),
        maker in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>(), any::<prop::sample::Index>()), 1..8),
    ) {
        let (mut python, object, _) = with(table.index(TABLES.len()), maker.index(MAKERS.len()));
        let (start, len) = python.w.used();
        // The object is among what was made last: there damage counts most.
        let from = start.max((object & !7).saturating_sub(2048));
        let words: Vec<u64> = (from..start + len as u64).step_by(8).filter(|at| python.w.get64(*at) != 0).collect();
        for (at, word, to) in &damage {
            let new = match word % 4 {
                0 => *word,
                1 => word >> (word % 64),
                2 => WILD[(word / 4) as usize % WILD.len()],
                _ => words[to.index(words.len())] & !7,
            };
            python.w.put64(words[at.index(words.len())], new);
        }
        let seen = read(&python, object);
        prop_assert!(!seen.is_empty() && seen.len() < LIMITS.chars * 12, "{} bytes", seen.len());
        prop_assert!(python.w.ram.bytes_read() < 64 << 20);
    }
}
