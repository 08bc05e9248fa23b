//! Offsets of structure members out of DWARF 2 to 5, in a file itself or in its separate debug file.
//!
//! Only what is asked for is read: entries below functions are skipped, and reading stops when all types are found. All
//! input is untrusted; the work is bounded by a multiple of its size.

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests;
mod types;
mod units;

pub use types::member_offsets;
pub use units::Sections;

use super::debuglink;
use super::{Image, Section};
use crate::base::limits;
use crate::cpython::layout::Offsets;
use std::fs::File;
use std::io::Read;
use std::path::Path;

const ELFCOMPRESS_ZLIB: u32 = 1;
const ELFCOMPRESS_ZSTD: u32 = 2;

/// The offsets that the debug information of a file gives, as [`member_offsets`], and where they were found. `path` is the
/// file's path in the target; separate debug files are searched for below each of `roots`.
pub fn file_offsets(file: &File, path: &Path, roots: &[&Path], names: &[&str]) -> Option<(Offsets, String)> {
    let image = Image::parse(file).ok()?;
    if let Some(offsets) = image_offsets(&image, path, roots, names) {
        return Some((offsets, path.display().to_string()));
    }
    let (debug_file, debug_path) = debuglink::debug_file(&image, path, roots)?;
    let offsets = image_offsets(&Image::parse(&debug_file).ok()?, &debug_path, roots, names)?;
    Some((offsets, debug_path.display().to_string()))
}

fn image_offsets(image: &Image<'_>, path: &Path, roots: &[&Path], names: &[&str]) -> Option<Offsets> {
    let own = OwnedSections::read(image)?;
    let file = debuglink::supplementary_file(image, path, roots);
    let supplementary = file.and_then(|file| OwnedSections::read(&Image::parse(&file).ok()?));
    let offsets = member_offsets(own.borrow(), supplementary.as_ref().map(OwnedSections::borrow), names);
    let any = offsets.iter().next().is_some();
    any.then_some(offsets)
}

/// Sections as read from a file.
#[derive(Default)]
struct OwnedSections {
    info: Vec<u8>,
    types: Vec<u8>,
    abbrev: Vec<u8>,
    str: Vec<u8>,
    line_str: Vec<u8>,
    str_offsets: Vec<u8>,
}

impl OwnedSections {
    /// `None` without debug information.
    fn read(image: &Image<'_>) -> Option<OwnedSections> {
        let read = |name| contents(image, image.section(name)?);
        Some(OwnedSections {
            info: read(".debug_info")?,
            types: read(".debug_types").unwrap_or_default(),
            abbrev: read(".debug_abbrev")?,
            str: read(".debug_str").unwrap_or_default(),
            line_str: read(".debug_line_str").unwrap_or_default(),
            str_offsets: read(".debug_str_offsets").unwrap_or_default(),
        })
    }

    fn borrow(&self) -> Sections<'_> {
        Sections {
            info: &self.info,
            types: &self.types,
            abbrev: &self.abbrev,
            str: &self.str,
            line_str: &self.line_str,
            str_offsets: &self.str_offsets,
        }
    }
}

fn contents(image: &Image<'_>, section: &Section) -> Option<Vec<u8>> {
    let bytes = image.section_bytes(section)?;
    if section.is_compressed() { decompress(&bytes, limits::ELF_SECTION_BYTES) } else { Some(bytes) }
}

/// The contents of a compressed section (`SHF_COMPRESSED`): `Elf64_Chdr`, then the data.
pub fn decompress(section: &[u8], limit: u64) -> Option<Vec<u8>> {
    let (header, data) = section.split_first_chunk::<24>()?;
    let kind = u32::from_le_bytes(*header.first_chunk()?);
    let size = u64::from_le_bytes(*header.get(8..)?.first_chunk()?);
    if size > limit {
        return None;
    }
    let bytes = match kind {
        ELFCOMPRESS_ZLIB => miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(data, size as usize).ok()?,
        ELFCOMPRESS_ZSTD => {
            let mut bytes = Vec::new();
            ruzstd::decoding::StreamingDecoder::new(data).ok()?.take(size + 1).read_to_end(&mut bytes).ok()?;
            bytes
        }
        _ => return None,
    };
    (bytes.len() as u64 == size).then_some(bytes)
}
