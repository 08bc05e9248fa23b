//! Files and sockets, with their descriptors.

use super::Writer;
use super::types::Type;
use crate::base::Addr;
use crate::target::ReadError;
use std::rc::Rc;

/// Bits of a `fileio` behind its descriptor: `created`, `readable`, `writable`, `appending` (`Modules/_io/fileio.c`).
const CREATED: u8 = 1;
const READABLE: u8 = 2;
const WRITABLE: u8 = 4;
const APPENDING: u8 = 8;

/// A text over a buffer over a file.
const LAYERS: usize = 3;
/// Nanoseconds of a second.
const NANOSECONDS: f64 = 1e9;

impl Writer<'_, '_> {
    /// `<_io.TextIOWrapper name='x' mode='r' encoding='UTF-8' fd=3>`, as Python's own, with the descriptor; `closed` when it
    /// is. `mode` is an attribute that `open` sets.
    pub(super) fn file(&mut self, object: Addr, type_name: &str) -> Result<(), ReadError> {
        let raw = self.raw_file(object)?;
        let descriptor: Option<i32> = raw.map(|raw| self.word(raw, 0)).transpose()?;
        let name = match raw {
            Some(raw) => self.own(raw, ["name"])?[0],
            None => None,
        };
        let mut mode = None;
        let mut encoding = None;
        if type_name == "_io.TextIOWrapper" {
            mode = self.own(object, ["mode"])?[0];
            encoding = self.word::<Addr>(object, 24)?.non_null();
        }
        self.push("<");
        self.push(type_name);
        for (label, value) in [(" name=", name), (" mode=", mode), (" encoding=", encoding)] {
            if let Some(value) = value {
                self.push(label);
                self.object(value);
            }
        }
        if let Some(raw) = raw.filter(|raw| *raw == object) {
            let bits = self.word::<u8>(raw, 4)?;
            self.push(&format!(" mode='{}'", mode_of(bits)));
        }
        match descriptor {
            Some(fd @ 0..) => self.push(&format!(" fd={fd}>")),
            Some(_) => self.push(" closed>"),
            None => self.push(">"),
        }
        Ok(())
    }

    /// The file below a buffer, and below a text over that. `buffered { raw, … }`, `textio { int ok, int detached,
    /// chunk_size, buffer, encoding, … }` (`Modules/_io`).
    fn raw_file(&self, object: Addr) -> Result<Option<Addr>, ReadError> {
        let mut at = object;
        for _ in 0..LAYERS {
            let below: Addr = match &*self.objects().type_name(at)? {
                "_io.FileIO" => return Ok(Some(at)),
                "_io.BufferedReader" | "_io.BufferedWriter" | "_io.BufferedRandom" => self.word(at, 0)?,
                "_io.TextIOWrapper" => self.word(at, 16)?,
                _ => return Ok(None),
            };
            // One that was detached has none.
            match below.non_null() {
                Some(below) => at = below,
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// `<socket.socket fd=3, family=AF_INET, type=SOCK_STREAM, proto=0, timeout=None>`: `PySocketSockObject { int sock_fd,
    /// sock_family, sock_type, sock_proto; errorhandler; sock_timeout; … }`, the timeout in nanoseconds, negative when there
    /// is none (`Modules/socketmodule.h`).
    pub(super) fn socket(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let (fd, family): (i32, i32) = (self.word(object, 0)?, self.word(object, 4)?);
        let (kind, proto): (i32, i32) = (self.word(object, 8)?, self.word(object, 12)?);
        let timeout: i64 = self.word(object, 24)?;
        self.push("<");
        self.push_name(&ty.full_name());
        if fd < 0 {
            self.push(" [closed]>");
            return Ok(());
        }
        let timeout = match timeout {
            0.. => super::number::float(timeout as f64 / NANOSECONDS, true),
            _ => "None".to_owned(),
        };
        let name = |names: &[(i32, &str)], value: i32| {
            let known = names.iter().find(|(own, _)| *own == value);
            known.map_or_else(|| value.to_string(), |(_, name)| (*name).to_owned())
        };
        let (family, kind) = (name(FAMILIES, family), name(TYPES, kind));
        self.push(&format!(" fd={fd}, family={family}, type={kind}, proto={proto}, timeout={timeout}>"));
        Ok(())
    }
}

/// `mode_string` (`Modules/_io/fileio.c`).
fn mode_of(bits: u8) -> &'static str {
    match (bits & READABLE != 0, bits & WRITABLE != 0) {
        (true, _) if bits & CREATED != 0 => "xb+",
        (_, _) if bits & CREATED != 0 => "xb",
        (true, _) if bits & APPENDING != 0 => "ab+",
        (_, _) if bits & APPENDING != 0 => "ab",
        (true, true) => "rb+",
        (true, false) => "rb",
        (false, _) => "wb",
    }
}

/// Address families and types of sockets (`<bits/socket.h>`, `<bits/socket_type.h>`).
const FAMILIES: &[(i32, &str)] = &[
    (1, "AF_UNIX"),
    (2, "AF_INET"),
    (10, "AF_INET6"),
    (16, "AF_NETLINK"),
    (17, "AF_PACKET"),
    (29, "AF_CAN"),
    (40, "AF_VSOCK"),
];
const TYPES: &[(i32, &str)] =
    &[(1, "SOCK_STREAM"), (2, "SOCK_DGRAM"), (3, "SOCK_RAW"), (4, "SOCK_RDM"), (5, "SOCK_SEQPACKET")];

#[cfg(test)]
mod tests {
    use super::mode_of;

    #[test]
    fn modes_are_as_python_writes_them() {
        for (bits, mode) in
            [(2, "rb"), (4, "wb"), (6, "rb+"), (5, "xb"), (7, "xb+"), (12, "ab"), (14, "ab+"), (0x92, "rb")]
        {
            assert_eq!(mode_of(bits), mode);
        }
    }
}
