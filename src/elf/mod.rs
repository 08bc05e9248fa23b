//! ELF files and images in memory: bytes in, facts out. All input is untrusted.

pub mod debuglink;
pub mod dwarf;
mod dynamic;
mod image;

pub use image::{ElfError, Function, Image, ReadAt, Section, Symbol};
