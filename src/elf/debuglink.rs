//! Where the debug information that was split off a file is: by build id, or by the name and checksum in
//! `.gnu_debuglink` (GDB's manual, "Separate Debug Files"); and the supplementary file that `dwz` moves common entries to.

use super::{Image, ReadAt};
use crate::base::limits;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

const NT_GNU_BUILD_ID: u32 = 3;
/// Longest build id; a hash of up to 512 bits.
const BUILD_ID_BYTES: usize = 64;
/// Link sections hold a path and a few bytes.
const LINK_BYTES: u64 = 64 * 1024;

/// Contents of `.gnu_debuglink`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugLink {
    /// A file name without directory.
    pub name: PathBuf,
    /// CRC-32 of the whole file.
    pub crc: u32,
}

impl DebugLink {
    /// Parses the section; `None` for anything but a plain file name and a checksum.
    pub fn parse(section: &[u8]) -> Option<DebugLink> {
        let end = section.iter().position(|byte| *byte == 0)?;
        let name = PathBuf::from(OsStr::from_bytes(section.get(..end)?));
        let mut components = name.components();
        let plain = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
        let crc = section.get((end + 4) & !3..)?.first_chunk()?;
        plain.then_some(DebugLink { name, crc: u32::from_le_bytes(*crc) })
    }
}

/// Contents of `.gnu_debugaltlink`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AltLink {
    /// Absolute, or relative to the directory of the file that has the link.
    pub path: PathBuf,
    /// Build id of the supplementary file.
    pub build_id: Vec<u8>,
}

impl AltLink {
    /// Parses the section.
    pub fn parse(section: &[u8]) -> Option<AltLink> {
        let end = section.iter().position(|byte| *byte == 0)?;
        let path = PathBuf::from(OsStr::from_bytes(section.get(..end)?));
        let build_id = section.get(end + 1..)?.to_vec();
        (1..=BUILD_ID_BYTES).contains(&build_id.len()).then_some(AltLink { path, build_id })
    }
}

/// The GNU build id in the contents of a note section or segment.
pub fn build_id_in_notes(notes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = notes;
    while let Some((header, body)) = rest.split_first_chunk::<12>() {
        let word = |at: usize| Some(u32::from_le_bytes(*header.get(at..)?.first_chunk()?));
        let (name_len, len) = (word(0)? as usize, word(4)? as usize);
        let name = body.get(..name_len)?;
        let description = body.get(name_len.next_multiple_of(4)..)?;
        if word(8)? == NT_GNU_BUILD_ID && name == b"GNU\0" {
            return (1..=BUILD_ID_BYTES).contains(&len).then_some(description.get(..len)?.to_vec());
        }
        rest = description.get(len.next_multiple_of(4)..)?;
    }
    None
}

/// The build id of a file.
pub fn build_id(image: &Image<'_>) -> Option<Vec<u8>> {
    build_id_in_notes(&small_section(image, ".note.gnu.build-id")?)
}

/// The separate debug file of the file at `path` in the target, and where it was found: below each of `roots` in turn.
pub fn debug_file(image: &Image<'_>, path: &Path, roots: &[&Path]) -> Option<(File, PathBuf)> {
    let id = build_id(image);
    let link = small_section(image, ".gnu_debuglink").and_then(|section| DebugLink::parse(&section));
    let candidates = roots.iter().flat_map(|root| candidates(root, path, id.as_deref(), link.as_ref()));
    candidates.filter_map(|path| Some((open_regular(&path)?, path))).find(|(file, _)| match (&id, &link) {
        (Some(id), _) => has_build_id(file, id),
        (None, Some(link)) => crc32_of_file(file) == Some(link.crc),
        (None, None) => false,
    })
}

/// The supplementary file of the debug file at `path`.
pub fn supplementary_file(image: &Image<'_>, path: &Path, roots: &[&Path]) -> Option<File> {
    let link = AltLink::parse(&small_section(image, ".gnu_debugaltlink")?)?;
    let by_id = roots.iter().filter_map(|root| build_id_path(root, &link.build_id));
    let by_path = if link.path.is_absolute() {
        roots.iter().map(|root| below(root, &link.path)).collect()
    } else {
        vec![path.parent()?.join(&link.path)]
    };
    by_id.chain(by_path).filter_map(|path| open_regular(&path)).find(|file| has_build_id(file, &link.build_id))
}

/// Paths at which the separate debug file of `path` may be, below one root.
pub fn candidates(root: &Path, path: &Path, id: Option<&[u8]>, link: Option<&DebugLink>) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = id.and_then(|id| build_id_path(root, id)).into_iter().collect();
    if let (Some(link), Some(directory)) = (link, path.parent()) {
        paths.push(below(root, directory).join(&link.name));
        paths.push(below(root, directory).join(".debug").join(&link.name));
        paths.push(below(&root.join("usr/lib/debug"), directory).join(&link.name));
    }
    paths
}

fn build_id_path(root: &Path, id: &[u8]) -> Option<PathBuf> {
    let (first, rest) = id.split_first()?;
    let hex: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(root.join(format!("usr/lib/debug/.build-id/{first:02x}/{hex}.debug")))
}

/// `path` below a root: without what would lead out of it by name.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.components().chain(path.components().filter(|part| matches!(part, Component::Normal(_)))).collect()
}

/// Opens a regular file without waiting, as a FIFO or a device under that name would make us.
fn open_regular(path: &Path) -> Option<File> {
    let file = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path).ok()?;
    file.metadata().ok()?.is_file().then_some(file)
}

fn has_build_id(file: &File, id: &[u8]) -> bool {
    Image::parse(file).is_ok_and(|image| build_id(&image).as_deref() == Some(id))
}

fn small_section(image: &Image<'_>, name: &str) -> Option<Vec<u8>> {
    let section = image.section(name).filter(|section| section.size <= LINK_BYTES)?;
    image.section_bytes(section)
}

fn crc32_of_file(file: &File) -> Option<u32> {
    let size = file.metadata().ok()?.len();
    if size > limits::ELF_SECTION_BYTES {
        return None;
    }
    let mut crc = Crc32::new();
    let mut position = 0;
    while position < size {
        let len = (size - position).min(1 << 16);
        crc.update(&file.read_at(position, len as usize)?);
        position += len;
    }
    Some(crc.value())
}

/// CRC-32 as in zlib and `.gnu_debuglink`.
struct Crc32 {
    table: [u32; 256],
    state: u32,
}

impl Crc32 {
    fn new() -> Crc32 {
        let entry = |byte: u32| {
            (0..8).fold(byte, |value, _| if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 })
        };
        Crc32 { table: std::array::from_fn(|byte| entry(byte as u32)), state: !0 }
    }

    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let index = (self.state as u8 ^ byte) as usize;
            self.state = self.state >> 8 ^ self.table.get(index).copied().unwrap_or(0);
        }
    }

    fn value(&self) -> u32 {
        !self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_has_the_standard_check_value() {
        let mut crc = Crc32::new();
        crc.update(b"12345");
        crc.update(b"6789");
        assert_eq!(crc.value(), 0xcbf4_3926);
    }

    #[test]
    fn a_debug_link_is_a_plain_name() {
        let parse = |bytes: &[u8]| DebugLink::parse(bytes).map(|link| (link.name.into_os_string(), link.crc));
        assert_eq!(parse(b"a.debug\0\x78\x56\x34\x12"), Some(("a.debug".into(), 0x1234_5678)));
        assert_eq!(parse(b"ab.debug\0\0\0\0\x01\0\0\0"), Some(("ab.debug".into(), 1)));
        for hostile in [
            &b"../a\0\0\0\0\x01\0\0\0"[..],
            b"..\0\0\x01\0\0\0",
            b"/a\0\0\x01\0\0\0",
            b"\0\0\0\0\x01\0\0\0",
            b"a.debug",
            b"a\0\0\0\x01",
        ] {
            assert_eq!(parse(hostile), None, "{hostile:?}");
        }
    }

    #[test]
    fn an_alt_link_has_a_build_id() {
        let link = AltLink::parse(b"/usr/lib/debug/.dwz/x\0\xab\xcd");
        assert_eq!(link, Some(AltLink { path: "/usr/lib/debug/.dwz/x".into(), build_id: vec![0xab, 0xcd] }));
        assert_eq!(AltLink::parse(b"/x\0"), None);
        assert_eq!(AltLink::parse(&[b'x'; 10]), None);
    }

    #[test]
    fn the_build_id_is_found_behind_other_notes() {
        let other = b"\x04\0\0\0\x02\0\0\0\x01\0\0\0GNU\0ab\0\0";
        let id = b"\x04\0\0\0\x03\0\0\0\x03\0\0\0GNU\0\x01\x02\x03\0";
        assert_eq!(build_id_in_notes(&[&other[..], id].concat()), Some(vec![1, 2, 3]));
        assert_eq!(build_id_in_notes(other), None);
        assert_eq!(build_id_in_notes(&id[..17]), None);
        assert_eq!(build_id_in_notes(b"\xff\xff\xff\xff\xff\xff\xff\xff\x03\0\0\0GNU\0"), None);
    }

    #[test]
    fn candidates_stay_below_the_root() {
        let link = DebugLink { name: "p.debug".into(), crc: 0 };
        let found = candidates(Path::new("/r"), Path::new("/opt/../bin/p"), Some(&[0xab, 1]), Some(&link));
        let expected = [
            "/r/usr/lib/debug/.build-id/ab/01.debug",
            "/r/opt/bin/p.debug",
            "/r/opt/bin/.debug/p.debug",
            "/r/usr/lib/debug/opt/bin/p.debug",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
    }
}
