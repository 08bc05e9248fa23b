//! CPython versions.

use std::fmt;

/// Release level of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReleaseLevel {
    /// `a`.
    Alpha,
    /// `b`.
    Beta,
    /// `rc`.
    Candidate,
    /// A release.
    Final,
}

/// A CPython version as in `PY_VERSION_HEX` (`Include/patchlevel.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 3 in 3.12.1.
    pub major: u8,
    /// 12 in 3.12.1.
    pub minor: u8,
    /// 1 in 3.12.1.
    pub micro: u8,
    /// Alpha, beta, candidate or final.
    pub level: ReleaseLevel,
    /// 1 in 3.15.0rc1.
    pub serial: u8,
}

impl Version {
    /// Decodes `PY_VERSION_HEX`; `None` when its release level is none of the four.
    pub fn from_hex(hex: u32) -> Option<Version> {
        let [major, minor, micro, last] = hex.to_be_bytes();
        let level = match last >> 4 {
            0xa => ReleaseLevel::Alpha,
            0xb => ReleaseLevel::Beta,
            0xc => ReleaseLevel::Candidate,
            0xf => ReleaseLevel::Final,
            _ => return None,
        };
        Some(Version { major, minor, micro, level, serial: last & 0xf })
    }

    /// Major and minor.
    pub fn minor_version(self) -> (u8, u8) {
        (self.major, self.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)?;
        match self.level {
            ReleaseLevel::Alpha => write!(f, "a{}", self.serial),
            ReleaseLevel::Beta => write!(f, "b{}", self.serial),
            ReleaseLevel::Candidate => write!(f, "rc{}", self.serial),
            ReleaseLevel::Final => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_versions_are_decoded() {
        let text = |hex| Version::from_hex(hex).map(|v| v.to_string());
        assert_eq!(text(0x030c_01f0).as_deref(), Some("3.12.1"));
        assert_eq!(text(0x030f_00c1).as_deref(), Some("3.15.0rc1"));
        assert_eq!(text(0x030f_0001), None);
    }
}
