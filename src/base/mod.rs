//! Plain values without I/O: addresses, typed fields, bounded reads, limits, versions, problems.

mod addr;
mod field;
mod hash;
pub mod limits;
mod problem;
mod sha256;
mod text;
mod version;

pub use addr::Addr;
pub use field::{Field, FieldValue, Record};
pub use hash::{AddrHasher, AddrHashing, AddrMap};
pub use problem::{Problem, ProblemKind};
pub use sha256::sha256;
pub use text::{display_safe, is_safe};
pub use version::{ReleaseLevel, Version};
