//! The buffers a capture is streamed through.

use std::io::{self, Read};
use std::sync::Arc;

use super::batch::Chunk;

/// Length of a chunk, in bytes, unless a record needs more. Large enough that a system call and the frames a burst
/// lacks at a chunk's end cost nothing, small enough for the second-level cache.
pub(super) const CHUNK_LEN: usize = 1 << 20;

/// A window over a stream of bytes, in chunks that can be shared with batches.
///
/// Invariant: `read <= filled <= current.bytes.len()`, and the bytes before `filled` change only while nobody else
/// shares `current`.
///
/// Memory: one chunk more than batches hold, each of `chunk_len` or of the longest record met (bounded by the formats).
#[derive(Debug)]
pub(super) struct Chunks {
    current: Arc<Chunk>,
    read: usize,
    filled: usize,
    /// Chunks read before, that batches share or shared.
    spare: Vec<Arc<Chunk>>,
    chunk_len: usize,
}

impl Chunks {
    /// Chunks of `chunk_len` bytes each; none is filled yet.
    pub(super) fn new(chunk_len: usize) -> Self {
        Self {
            current: Arc::new(Chunk::new(chunk_len)),
            read: 0,
            filled: 0,
            spare: Vec::new(),
            chunk_len,
        }
    }

    /// The chunk that [`unread`](Self::unread) lies in, and where in it.
    pub(super) fn current(&self) -> (&Arc<Chunk>, usize) {
        (&self.current, self.read)
    }

    /// What was filled in and is not read yet.
    #[inline]
    pub(super) fn unread(&self) -> &[u8] {
        &self.current.bytes[self.read..self.filled]
    }

    /// Counts the first `len` unread bytes as read.
    ///
    /// # Panics
    /// Where fewer are unread.
    pub(super) fn consume(&mut self, len: usize) {
        assert!(
            len <= self.filled - self.read,
            "reads on past what was filled in"
        );
        self.read += len;
    }

    /// Reads once from `source`, so that what is unread grows, towards `need` bytes, or past it. Gives the number of
    /// bytes read; 0 at the end of `source`.
    ///
    /// # Errors
    /// Those of `source`; what was unread stays so.
    pub(super) fn fill(&mut self, source: &mut dyn Read, need: usize) -> io::Result<usize> {
        if bytes_mut(&mut self.current).is_none() {
            self.change_chunk(need);
        }
        let (read, filled) = (self.read, self.filled);
        let Some(bytes) = bytes_mut(&mut self.current) else {
            unreachable!("this chunk has no other owner");
        };
        if read == filled || read + need > bytes.len() {
            bytes.copy_within(read..filled, 0);
            (self.read, self.filled) = (0, filled - read);
        }
        if need > bytes.len() {
            bytes.resize(need, 0);
        }
        loop {
            match source.read(&mut bytes[self.filled..]) {
                Ok(count) => {
                    self.filled += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Goes on in a chunk that no batch shares, with what is unread at its beginning.
    fn change_chunk(&mut self, need: usize) {
        let free = self
            .spare
            .iter_mut()
            .position(|chunk| bytes_mut(chunk).is_some());
        let mut next = match free {
            Some(free) => self.spare.swap_remove(free),
            None => Arc::new(Chunk::new(self.chunk_len.max(need))),
        };
        let unread = self.unread();
        let len = unread.len();
        let Some(bytes) = bytes_mut(&mut next) else {
            unreachable!("this chunk has no other owner");
        };
        if bytes.len() < need {
            bytes.resize(need, 0);
        }
        bytes[..len].copy_from_slice(unread);
        self.spare.push(std::mem::replace(&mut self.current, next));
        (self.read, self.filled) = (0, len);
    }
}

/// The bytes of `chunk`, to fill, where nobody else shares it.
fn bytes_mut(chunk: &mut Arc<Chunk>) -> Option<&mut Vec<u8>> {
    Arc::get_mut(chunk).and_then(|chunk| Arc::get_mut(&mut chunk.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills and reads until the end; `hold` sees each chunk that has something.
    fn read_through(
        chunks: &mut Chunks,
        mut source: &[u8],
        mut hold: impl FnMut(&Arc<Chunk>),
    ) -> Vec<u8> {
        let mut read = Vec::new();
        while chunks.fill(&mut source, 1).unwrap() > 0 {
            hold(chunks.current().0);
            read.extend_from_slice(chunks.unread());
            chunks.consume(chunks.unread().len());
        }
        read
    }

    #[test]
    fn one_chunk_is_enough_where_nobody_holds_it() {
        let source: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let mut chunks = Chunks::new(64);
        assert_eq!(read_through(&mut chunks, &source, |_| ()), source);
        assert_eq!(chunks.spare.len(), 0);
    }

    #[test]
    fn chunks_that_were_held_are_filled_again() {
        let source: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let mut chunks = Chunks::new(64);
        let mut held = std::collections::VecDeque::new();
        let read = read_through(&mut chunks, &source, |chunk| {
            held.push_back(Arc::clone(chunk));
            if held.len() > 3 {
                held.pop_front();
            }
        });
        assert_eq!(read, source);
        assert_eq!(chunks.spare.len(), 3, "as many as were held");
    }

    #[test]
    fn what_is_unread_moves_on_and_stays_what_it_was_for_holders() {
        let mut source: &[u8] = b"abcdefghijkl";
        let mut chunks = Chunks::new(4);
        chunks.fill(&mut source, 4).unwrap();
        let held = Arc::clone(chunks.current().0);
        chunks.consume(3);
        chunks.fill(&mut source, 4).unwrap();
        assert_eq!(chunks.unread(), b"defg");
        assert_eq!(held.bytes[..], *b"abcd");
        chunks.fill(&mut source, 6).unwrap();
        assert_eq!(chunks.unread(), b"defghi", "grew for a longer record");
    }
}
