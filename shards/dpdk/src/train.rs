//! Buffers on their way out of one queue, any number of them.

use mosaic_dpdk_sys as sys;
use mosaic_port::BURST_MAX;

use crate::batch::{BURST_MAX_U16, NOTHING};
use crate::pool::Pool;
use crate::port::Out;

/// Buffers of a queue, sent whenever so many of them are together as the shim takes in one go.
// Invariant: the first `len` of `mbufs` are buffers that nobody else owns, with their `frames`.
pub(crate) struct Train {
    way: Out,
    kind: u32,
    patience: u32,
    len: u16,
    mbufs: [*mut sys::Mbuf; BURST_MAX],
    frames: [sys::MosaicFrame; BURST_MAX],
    sent: sys::MosaicSent,
}

impl Train {
    /// An empty one; `kind` says what the buffers may be.
    pub(crate) fn new(way: Out, kind: u32, patience: u32) -> Self {
        Self {
            way,
            kind: kind & !sys::GAPS,
            patience,
            len: 0,
            mbufs: [std::ptr::null_mut(); BURST_MAX],
            frames: [NOTHING; BURST_MAX],
            sent: sys::MosaicSent::default(),
        }
    }

    /// Adds a buffer.
    ///
    /// # Safety
    /// The caller owns the buffer, gives it away here, and `frame` says where its bytes are.
    pub(crate) unsafe fn add(&mut self, mbuf: *mut sys::Mbuf, frame: sys::MosaicFrame) {
        if self.len == BURST_MAX_U16 {
            self.flush();
        }
        let at = usize::from(self.len);
        (self.mbufs[at], self.frames[at]) = (mbuf, frame);
        self.len += 1;
    }

    /// Adds a frame of these bytes, in a buffer of `pool`. False where there is none that is long enough.
    pub(crate) fn add_new(&mut self, pool: &Pool, bytes: &[u8]) -> bool {
        let Ok(len) = u32::try_from(bytes.len()) else {
            return false;
        };
        // SAFETY: the pool exists, and `bytes` has `len` bytes.
        let mbuf = unsafe { sys::mosaic_frame_new(pool.as_ptr(), bytes.as_ptr(), len) };
        if mbuf.is_null() {
            return false;
        }
        let frame = sys::MosaicFrame {
            len,
            segments: 1,
            ..NOTHING
        };
        // SAFETY: the buffer is new and nobody else's. The shim looks at length and segments of what it sends only.
        unsafe { self.add(mbuf, frame) };
        true
    }

    fn flush(&mut self) {
        let count = std::mem::take(&mut self.len);
        if count == 0 {
            return;
        }
        let mut sent = sys::MosaicSent::default();
        // SAFETY: the invariant, and the train forgets its buffers here. Its maker is the only one that uses this queue of a
        // device that is open and keeps the buffers' pools. `sent` may be written.
        unsafe {
            sys::mosaic_tx_burst(
                self.way.tx.port,
                self.way.tx.queue,
                self.mbufs.as_mut_ptr(),
                self.frames.as_ptr(),
                count,
                u64::MAX,
                self.kind,
                self.way.linear.into(),
                self.patience,
                &mut sent,
            );
        }
        self.sent.frames += sent.frames;
        self.sent.bytes += sent.bytes;
        self.sent.no_room += sent.no_room;
    }

    /// Sends what it has.
    pub(crate) fn send(mut self) -> sys::MosaicSent {
        self.flush();
        self.sent
    }

    /// Gives back what it has, unsent. It must have been given no more than a burst.
    pub(crate) fn free(mut self) {
        let count = std::mem::take(&mut self.len);
        // SAFETY: the invariant, and the train forgets its buffers here.
        unsafe { sys::mosaic_free_burst(self.mbufs.as_mut_ptr(), count, self.kind) };
    }
}

impl Drop for Train {
    fn drop(&mut self) {
        debug_assert!(self.len == 0, "a train is sent or freed");
    }
}
