//! A buffer for output that comes in many pieces of a few bytes, as JSON does.

use std::io::{self, Write};

const BUFFER_BYTES: usize = 16 << 10;

/// Collects pieces. Unlike `BufWriter` it copies short ones without calling `memcpy`, whose call costs
/// more than the bytes do, in musl by far.
pub(super) struct TokenBuffer<'o> {
    out: &'o mut dyn Write,
    buffer: Vec<u8>,
    used: usize,
}

impl<'o> TokenBuffer<'o> {
    pub(super) fn new(out: &'o mut dyn Write) -> TokenBuffer<'o> {
        TokenBuffer { out, buffer: vec![0; BUFFER_BYTES], used: 0 }
    }

    fn write_out(&mut self) -> io::Result<()> {
        let used = std::mem::take(&mut self.used);
        self.out.write_all(self.buffer.get(..used).unwrap_or_default())
    }
}

impl Write for TokenBuffer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > self.buffer.len() - self.used {
            self.write_out()?;
        }
        match self.buffer.get_mut(self.used..self.used + bytes.len()) {
            Some(place) => {
                copy(place, bytes);
                self.used += bytes.len();
                Ok(())
            }
            None => self.out.write_all(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_out()?;
        self.out.flush()
    }
}

/// Copies all of `bytes` to `place`, which has their length: short ones as two chunks, which may overlap.
#[inline]
fn copy(place: &mut [u8], bytes: &[u8]) {
    match bytes.len() {
        0 => {}
        1 => place.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from),
        2..4 => copy_ends::<2>(place, bytes),
        4..8 => copy_ends::<4>(place, bytes),
        8..16 => copy_ends::<8>(place, bytes),
        16..=32 => copy_ends::<16>(place, bytes),
        _ => place.copy_from_slice(bytes),
    }
}

#[inline]
fn copy_ends<const N: usize>(place: &mut [u8], bytes: &[u8]) {
    if let (Some(to), Some(from)) = (place.first_chunk_mut::<N>(), bytes.first_chunk::<N>()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (place.last_chunk_mut::<N>(), bytes.last_chunk::<N>()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_all_lengths_arrive_as_they_were() {
        let pieces: Vec<Vec<u8>> = (0..300).map(|n| (0..n).map(|byte| (byte + n) as u8).collect()).collect();
        let mut out = Vec::new();
        let mut buffer = TokenBuffer::new(&mut out);
        for piece in pieces.iter().chain(&pieces).chain([&vec![7; BUFFER_BYTES + 1]]).chain(&pieces) {
            buffer.write_all(piece).unwrap();
        }
        buffer.flush().unwrap();
        let expected = [pieces.concat(), pieces.concat(), vec![7; BUFFER_BYTES + 1], pieces.concat()].concat();
        assert!(out == expected);
    }

    #[test]
    fn an_output_that_is_full_is_an_error() {
        let mut room = [0; 10];
        let mut out = &mut room[..];
        let mut buffer = TokenBuffer::new(&mut out);
        buffer.write_all(&[1; 11]).unwrap();
        assert!(buffer.flush().is_err());
    }
}
