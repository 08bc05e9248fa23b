//! Debug information as gcc and binutils make it: every DWARF version, type units, compressed sections, and split off into
//! a file of its own that is found by build id or by link and checksum.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a panic fails the test")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use pyattach::cpython::layout::Offsets;
use pyattach::elf::dwarf;

const SOURCE: &str = "
    typedef struct inner { long pad; int value; } Inner;
    typedef volatile struct outer {
        char c;
        union { struct { short first; Inner in; }; long other; };
        unsigned bits : 3;
        Inner array[2];
    } Outer;
    struct declared { int a; Outer *pointer; Outer nested; };
    struct declared d;
    int main(void) { return d.a; }";
/// Only declares what the other unit defines.
const DECLARING: &str = "
    typedef struct declared Declared;
    extern Declared d;
    Declared *pointer = &d;";

const NAMES: &[&str] = &[
    "Outer.renamed|Outer.first",
    "Outer.in.value",
    "Outer.other",
    "Outer.bits",
    "Outer.array",
    "Declared.pointer",
    "Declared.nested.in.value",
    "sizeof struct outer",
];

/// A directory with a program in `opt/program`, compiled and linked with these options.
fn program(options: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("opt/program");
    std::fs::create_dir(directory.path().join("opt")).unwrap();
    std::fs::write(directory.path().join("a.c"), DECLARING).unwrap();
    std::fs::write(directory.path().join("b.c"), SOURCE).unwrap();
    run(Command::new("gcc").args(options).args(["-o", "opt/program", "a.c", "b.c"]).current_dir(directory.path()));
    (directory, path)
}

fn run(command: &mut Command) {
    let output = command.output().expect("gcc and binutils have to be installed");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Moves the debug information into `opt/program.debug` and links to it.
fn split(root: &Path) {
    let objcopy = |arguments: &[&str]| run(Command::new("objcopy").args(arguments).current_dir(root.join("opt")));
    objcopy(&["--only-keep-debug", "program", "program.debug"]);
    objcopy(&["--strip-all", "--add-gnu-debuglink=program.debug", "program"]);
}

/// Moves the debug file to another place below the root.
fn place(root: &Path, at: &str) {
    let to = root.join(at);
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::rename(root.join("opt/program.debug"), to).unwrap();
}

/// What is found for the program as it is seen in a root directory.
fn offsets(root: &Path) -> Option<(Offsets, String)> {
    let file = File::open(root.join("opt/program")).unwrap();
    dwarf::file_offsets(&file, Path::new("/opt/program"), &[root], NAMES)
}

/// As gcc's `offsetof` has it on all 64-bit targets.
fn assert_right(offsets: &Offsets, how: &str) {
    let found: Vec<(&str, u32)> = offsets.iter().collect();
    let expected = [
        ("Declared.nested.in.value", 40),
        ("Declared.pointer", 8),
        ("Outer.array", 40),
        ("Outer.first", 8),
        ("Outer.in.value", 24),
        ("Outer.other", 8),
        ("sizeof struct outer", 72),
    ];
    assert_eq!(found, expected, "{how}");
}

#[test]
fn every_dwarf_version_is_read() {
    for options in [
        &["-gdwarf-2"][..],
        &["-gdwarf-3"],
        &["-gdwarf-4"],
        &["-gdwarf-5"],
        &["-gdwarf-4", "-fdebug-types-section"],
        &["-gdwarf-5", "-fdebug-types-section"],
        &["-g", "-O2", "-flto"],
    ] {
        let (root, _) = program(options);
        let (found, path) = offsets(root.path()).unwrap();
        assert_right(&found, &format!("{options:?}"));
        assert_eq!(path, "/opt/program");
    }
}

#[test]
fn compressed_sections_are_read() {
    for kind in ["zlib", "zstd"] {
        let (root, path) = program(&["-g"]);
        run(Command::new("objcopy").arg(format!("--compress-debug-sections={kind}")).arg(path));
        assert_right(&offsets(root.path()).unwrap().0, kind);
    }
}

#[test]
fn a_separate_file_is_found_by_link() {
    for at in ["opt/program.debug", "opt/.debug/program.debug", "usr/lib/debug/opt/program.debug"] {
        for id in ["-Wl,--build-id=sha1", "-Wl,--build-id=none"] {
            let (root, _) = program(&["-g", id]);
            split(root.path());
            if at != "opt/program.debug" {
                place(root.path(), at);
            }
            let (found, path) = offsets(root.path()).unwrap();
            assert_right(&found, at);
            assert_eq!(Path::new(&path), root.path().join(at));
        }
    }
}

#[test]
fn a_separate_file_is_found_by_build_id() {
    let (root, _) = program(&["-g", "-Wl,--build-id=0xabcdef"]);
    split(root.path());
    place(root.path(), "usr/lib/debug/.build-id/ab/cdef.debug");
    assert_right(&offsets(root.path()).unwrap().0, "build id");
}

#[test]
fn a_separate_file_of_another_build_is_refused() {
    for id in ["-Wl,--build-id=0xabcdef", "-Wl,--build-id=none"] {
        let (root, _) = program(&["-g", id]);
        split(root.path());
        let (other, _) = program(&["-g", "-O2", "-Wl,--build-id=0xabcd00"]);
        split(other.path());
        std::fs::copy(other.path().join("opt/program.debug"), root.path().join("opt/program.debug")).unwrap();
        assert!(offsets(root.path()).is_none(), "{id}");
    }
}
