//! Frames of a capture and the bytes they lie in.

use core::fmt;
use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::{BURST_MAX, Batch, Frame, LinkType, Timestamp};

/// Where a frame lies in its chunk, and what the capture says about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameDesc {
    /// Of its first byte, from the beginning of the chunk.
    pub(crate) offset: usize,
    /// When it was captured.
    pub(crate) timestamp: Timestamp,
    /// Captured bytes.
    pub(crate) cap_len: u32,
    /// Bytes on the wire, as the capture states it.
    pub(crate) wire_len: u32,
    /// Number of the interface.
    pub(crate) interface: u32,
    /// What its first byte belongs to.
    pub(crate) link: LinkType,
}

// A burst of descriptors is copied at every call of `rx_burst`: two to a cache line.
const _: () = assert!(size_of::<FrameDesc>() <= 32);

impl FrameDesc {
    /// The frame itself, in the `bytes` of its chunk.
    #[inline]
    pub(crate) fn frame<'a>(&self, bytes: &'a [u8]) -> Frame<'a> {
        Frame {
            bytes: &bytes[self.offset..][..self.cap_len as usize],
            // Some writers leave the length out.
            wire_len: self.wire_len.max(self.cap_len),
            timestamp: self.timestamp,
            link: self.link,
            interface: self.interface,
        }
    }
}

/// Bytes that batches share with the port that read them.
///
/// Two counts: that of the `Arc<Chunk>` is touched at every burst and belongs to one port; `bytes` may be shared by
/// several ports (a capture in memory), whose shards must not fight for the cache line of one count.
#[repr(align(128))]
pub(crate) struct Chunk {
    pub(crate) bytes: Arc<Vec<u8>>,
}

impl Chunk {
    /// A chunk of its own bytes.
    pub(crate) fn new(len: usize) -> Self {
        Self {
            bytes: Arc::new(vec![0; len]),
        }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} bytes)", self.bytes.len())
    }
}

/// A burst of frames of one chunk.
///
/// Cleared it shares no chunk, so that the port can fill that again.
#[derive(Debug, Default)]
pub struct CaptureBatch {
    /// What the frames lie in; `None` where there is none.
    chunk: Option<Arc<Chunk>>,
    frames: ArrayVec<FrameDesc, BURST_MAX>,
}

impl CaptureBatch {
    /// Whether no frame more has room.
    pub(crate) fn is_full(&self) -> bool {
        self.frames.is_full()
    }

    /// Adds a frame of the chunk that [`share`](Self::share) will be called with. There must be room.
    #[inline]
    pub(crate) fn push(&mut self, frame: FrameDesc) {
        self.frames.push(frame);
    }

    /// Adds frames of `chunk`, as many as there is room for, to an empty batch; says how many.
    #[inline]
    pub(crate) fn fill(&mut self, chunk: &Arc<Chunk>, frames: &[FrameDesc]) -> usize {
        let taken = &frames[..frames.len().min(self.frames.remaining_capacity())];
        // Cannot fail: cut to what there is room for.
        if self.frames.try_extend_from_slice(taken).is_ok() && !taken.is_empty() {
            self.share(chunk);
        }
        taken.len()
    }

    /// Keeps `chunk`, in which all its frames lie, alive until it is cleared.
    pub(crate) fn share(&mut self, chunk: &Arc<Chunk>) {
        self.chunk = Some(Arc::clone(chunk));
    }
}

impl Batch for CaptureBatch {
    #[inline]
    fn len(&self) -> usize {
        self.frames.len()
    }

    #[inline]
    fn frame(&self, index: usize) -> Frame<'_> {
        let bytes = self
            .chunk
            .as_ref()
            .map_or(&[][..], |chunk| chunk.bytes.as_slice());
        self.frames[index].frame(bytes)
    }

    fn clear(&mut self) {
        self.frames.clear();
        self.chunk = None;
    }

    fn hand_over(&mut self, picks: &[u8], to: &mut Self) {
        if picks.is_empty() {
            return;
        }
        to.frames
            .extend(picks.iter().map(|&pick| self.frames[usize::from(pick)]));
        to.chunk = self.chunk.clone();
    }
}
