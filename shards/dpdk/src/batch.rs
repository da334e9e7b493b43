//! Packet buffers of one burst, owned.

use std::sync::Arc;

use arrayvec::ArrayVec;
use mosaic_dpdk_sys as sys;
use mosaic_port::{BURST_MAX, Batch, Extras, Frame, Headers, LinkType, Timestamp};

use crate::pool::Pool;
use crate::port::{Home, Out};
use crate::train::Train;
use crate::tx_checksums::{self, TxChecksums};

/// What an empty slot holds: of a frame that was given away.
pub(crate) const NOTHING: sys::MosaicFrame = sys::MosaicFrame {
    data: std::ptr::dangling(),
    len: 0,
    segments: 0,
};

/// The packet buffers of one burst, all from the same queue, and given back when it is cleared or dropped.
///
/// Frames given away with [`hand_over`](Batch::hand_over) are empty here from then on. A frame that came in several
/// buffers is shown copied together; what is sent is the original.
// Invariants: for `index < len`, `mbufs[index]` is either null, and `frames[index]` then `NOTHING`, or a buffer that nobody else
// owns, and `frames[index]` then says where its bytes are. A frame of several segments has its bytes copied together in
// `chained`. Where there is a buffer there is a home, which keeps its pool alive. `kind` is what the shim said when it
// received, with `sys::GAPS` added where something was given away, and `sys::OFFLOADED` where a device is asked to finish
// something.
pub struct MbufBatch {
    len: usize,
    /// Number of the lane of `home` it came in on.
    lane: usize,
    interface: u32,
    kind: u32,
    /// What the device that its frames leave through finishes.
    out: TxChecksums,
    time: Timestamp,
    home: Option<Arc<Home>>,
    mbufs: [*mut sys::Mbuf; BURST_MAX],
    frames: [sys::MosaicFrame; BURST_MAX],
    chained: Chained,
}

// SAFETY: the buffers are the batch's alone, their pools take them back on any thread, and a home is `Sync`.
unsafe impl Send for MbufBatch {}

/// Frames that came in several buffers, copied together.
#[derive(Default)]
struct Chained {
    /// Index of the frame, and its bytes.
    frames: Vec<(usize, Vec<u8>)>,
    /// Memory of earlier ones.
    spare: Vec<Vec<u8>>,
}

/// What a device says about a frame that it received, and what is asked of the one that the frame leaves through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FrameFacts {
    /// The hash by which it chose the queue.
    pub rss_hash: Option<u32>,
    /// When it was received, in the device's own unit.
    pub timestamp: Option<u64>,
    /// Checksum of the IPv4 header.
    pub ip_checksum: Checksum,
    /// Checksum of the transport header.
    pub l4_checksum: Checksum,
    /// The transport checksum is left to the device that the frame leaves through.
    pub offloaded: Option<Headers>,
}

/// What a device found a checksum to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Checksum {
    /// It does not say.
    #[default]
    Unknown,
    /// Right.
    Good,
    /// Wrong.
    Bad,
    /// Not complete, though the data is good: the packet comes from this machine and never was on a wire.
    Unfinished,
}

impl MbufBatch {
    /// Receives into the batch, which is emptied first; whether there was anything.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        home: &Arc<Home>,
        lane: usize,
        (queue, out): (QueueId, TxChecksums),
        max: u16,
    ) -> bool {
        debug_assert!(self.is_empty(), "a batch is cleared before it is filled");
        self.clear();
        // SAFETY: the caller is the only one that polls this queue of a device that `home` keeps open. Both arrays have
        // BURST_MAX entries, and hold nothing that would be overwritten.
        let count = unsafe {
            sys::mosaic_rx_burst(
                queue.port,
                queue.queue,
                self.mbufs.as_mut_ptr(),
                self.frames.as_mut_ptr(),
                max.min(BURST_MAX_U16),
                &mut self.kind,
            )
        };
        if count == 0 {
            return false;
        }
        self.settle(home, lane, queue.interface);
        self.out = out;
        self.len = usize::from(count);
        if self.kind & sys::CHAINED != 0 {
            self.copy_chained();
        }
        true
    }

    /// Notes where its buffers come from.
    #[inline]
    fn settle(&mut self, home: &Arc<Home>, lane: usize, interface: u32) {
        if !self.is_from(home) {
            self.home = Some(Arc::clone(home));
        }
        self.lane = lane;
        self.interface = interface;
    }

    #[cold]
    fn copy_chained(&mut self) {
        for (index, frame) in self.frames[..self.len].iter().enumerate() {
            if frame.segments < 2 {
                continue;
            }
            let mut bytes = self.chained.spare.pop().unwrap_or_default();
            bytes.clear();
            bytes.resize(frame.len as usize, 0);
            // SAFETY: the buffer is the batch's, `bytes` has `len` bytes.
            unsafe { sys::mosaic_copy_out(self.mbufs[index], bytes.as_mut_ptr(), frame.len) };
            self.chained.frames.push((index, bytes));
        }
    }

    /// Whether its buffers came in through the port of this home.
    #[inline]
    pub(crate) fn is_from(&self, home: &Arc<Home>) -> bool {
        self.home.as_ref().is_some_and(|own| Arc::ptr_eq(own, home))
    }

    /// Number of the lane it came in on.
    #[inline]
    pub(crate) fn lane(&self) -> usize {
        self.lane
    }

    /// Frames that have their bit in `forward` and were not given away.
    pub(crate) fn count_owned(&self, forward: u64) -> u64 {
        let owned = self.mbufs[..self.len].iter().enumerate();
        owned
            .filter(|(index, mbuf)| forward >> index & 1 != 0 && !mbuf.is_null())
            .count() as u64
    }

    /// Sends what has its bit in `forward` out of `queue`, and frees the rest. The batch is empty afterwards.
    #[inline]
    pub(crate) fn send(
        &mut self,
        queue: QueueId,
        forward: u64,
        linear: bool,
        patience: u32,
    ) -> sys::MosaicSent {
        let mut sent = sys::MosaicSent::default();
        let count = self.take_len();
        // SAFETY: the buffers are the batch's, and it forgets them here. The caller is the only one that uses this queue
        // of a device that is open and keeps the buffers' pools. `sent` may be written.
        unsafe {
            sys::mosaic_tx_burst(
                queue.port,
                queue.queue,
                self.mbufs.as_mut_ptr(),
                self.frames.as_ptr(),
                count,
                forward,
                self.kind,
                linear.into(),
                patience,
                &mut sent,
            );
        }
        sent
    }

    /// The same, and sends frames of `extras`, from `pool`, in their places: those that go on with it out of `out`, those that
    /// go back out of `back`.
    pub(crate) fn send_with(
        &mut self,
        (out, back): (Out, Out),
        forward: u64,
        extras: &Extras,
        pool: &Pool,
        patience: u32,
    ) -> sys::MosaicSent {
        let kind = self.kind | sys::SPECIAL;
        let len = usize::from(self.take_len());
        let mut trains = [out, back].map(|way| Train::new(way, kind, patience));
        let mut unsent = Train::new(out, kind, patience);
        let mut no_room = 0;
        for index in 0..len {
            let mbuf = std::mem::replace(&mut self.mbufs[index], std::ptr::null_mut());
            let frame = std::mem::replace(&mut self.frames[index], NOTHING);
            for (back, bytes) in extras.with(index, true) {
                no_room += u32::from(!trains[usize::from(back)].add_new(pool, bytes));
            }
            if !mbuf.is_null() {
                let train = if forward >> index & 1 != 0 {
                    &mut trains[0]
                } else {
                    &mut unsent
                };
                // SAFETY: the buffer was the batch's, which has forgotten it.
                unsafe { train.add(mbuf, frame) };
            }
            for (back, bytes) in extras.with(index, false) {
                no_room += u32::from(!trains[usize::from(back)].add_new(pool, bytes));
            }
        }
        unsent.free();
        let [mut all, other] = trains.map(Train::send);
        all.frames += other.frames;
        all.bytes += other.bytes;
        all.no_room += other.no_room + no_room;
        all
    }

    /// Empties the batch of everything but the buffers, which the caller takes care of; how many slots there were.
    #[inline]
    fn take_len(&mut self) -> u16 {
        let len = std::mem::take(&mut self.len);
        if !self.chained.frames.is_empty() {
            let frames = self.chained.frames.drain(..);
            self.chained.spare.extend(frames.map(|(_, bytes)| bytes));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "at most BURST_MAX, checked below"
        )]
        let len = len as u16;
        len
    }

    /// What the device said about the frames, by index; nothing about those given away.
    pub fn facts(&self) -> ArrayVec<FrameFacts, BURST_MAX> {
        let owned: ArrayVec<*mut sys::Mbuf, BURST_MAX> = self.mbufs[..self.len]
            .iter()
            .copied()
            .filter(|mbuf| !mbuf.is_null())
            .collect();
        let mut raw = [sys::MosaicFacts::default(); BURST_MAX];
        #[expect(clippy::cast_possible_truncation, reason = "at most BURST_MAX")]
        let count = owned.len() as u16;
        // SAFETY: `count` buffers of the batch, none null; `raw` has room for as many.
        unsafe { sys::mosaic_facts(owned.as_ptr(), raw.as_mut_ptr(), count) };
        let mut raw = raw.iter();
        self.mbufs[..self.len]
            .iter()
            .map(|mbuf| match mbuf.is_null() {
                true => FrameFacts::default(),
                false => raw.next().map(FrameFacts::from).unwrap_or_default(),
            })
            .collect()
    }

    /// Whether the frame lies in several buffers. The shim counts them only where a burst has such frames.
    #[inline]
    fn is_chained(&self, index: usize) -> bool {
        self.kind & sys::CHAINED != 0 && self.frames[index].segments > 1
    }

    fn chained_bytes(&self, index: usize) -> &[u8] {
        let found = self.chained.frames.iter().find(|(at, _)| *at == index);
        found.map_or(&[], |(_, bytes)| bytes)
    }
}

/// One queue of one device, and what its frames are called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueId {
    pub(crate) port: u16,
    pub(crate) queue: u16,
    pub(crate) interface: u32,
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "compared with the original below"
)]
pub(crate) const BURST_MAX_U16: u16 = BURST_MAX as u16;
const _: () = assert!(
    BURST_MAX_U16 as usize == BURST_MAX && BURST_MAX == sys::BURST_MAX,
    "a burst fits the shim's arrays and a bit mask"
);

impl Batch for MbufBatch {
    #[inline]
    fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn frame(&self, index: usize) -> Frame<'_> {
        let frame = &self.frames[..self.len][index];
        let bytes = if self.is_chained(index) {
            self.chained_bytes(index)
        } else {
            // SAFETY: the invariant: `len` bytes at `data` of a buffer of one segment that is the batch's alone, or none
            // at a dangling pointer. Nobody changes them while the batch is borrowed.
            unsafe { std::slice::from_raw_parts(frame.data, frame.len as usize) }
        };
        Frame {
            bytes,
            wire_len: frame.len,
            timestamp: self.time,
            link: LinkType::ETHERNET,
            interface: self.interface,
        }
    }

    fn checksums_hold(&self) -> bool {
        self.kind & sys::CHECKED != 0
    }

    /// `None` for a frame that came in several buffers: what is shown of it is a copy.
    fn bytes_mut(&mut self, index: usize) -> Option<&mut [u8]> {
        let frame = &self.frames[..self.len][index];
        if frame.segments > 1 {
            return None;
        }
        // SAFETY: as in `frame`, and the batch is borrowed mutably.
        Some(unsafe { std::slice::from_raw_parts_mut(frame.data.cast_mut(), frame.len as usize) })
    }

    fn offload_checksum(&mut self, index: usize, headers: Headers) -> bool {
        let mbuf = self.mbufs[..self.len][index];
        if mbuf.is_null() || !self.out.finish(&headers) {
            return false;
        }
        let raw = tx_checksums::raw(&headers);
        // SAFETY: the buffer is the batch's alone, `raw` lives until the call returns.
        let done = unsafe { sys::mosaic_checksum_offload(mbuf, &raw) } == 0;
        self.kind |= if done { sys::OFFLOADED } else { 0 };
        done
    }

    fn replace(&mut self, index: usize, bytes: &[u8]) -> bool {
        let (mbuf, frame) = (self.mbufs[index], &mut self.frames[..self.len][index]);
        let Ok(len) = u32::try_from(bytes.len()) else {
            return false;
        };
        if mbuf.is_null() {
            return false;
        }
        let mut written = NOTHING;
        // SAFETY: the buffer is the batch's alone, `bytes` has `len` bytes and does not lie in it, for the batch is borrowed
        // mutably; `written` may be written.
        if unsafe { sys::mosaic_frame_write(mbuf, bytes.as_ptr(), len, &mut written) } != 0 {
            return false;
        }
        *frame = written;
        let chained = &mut self.chained.frames;
        if let Some(at) = chained.iter().position(|(of, _)| *of == index) {
            if written.segments > 1 {
                chained[at].1.clear();
                chained[at].1.extend_from_slice(bytes);
            } else {
                let (_, bytes) = chained.swap_remove(at);
                self.chained.spare.push(bytes);
            }
        }
        true
    }

    #[inline]
    fn stamp(&mut self, now: Timestamp) {
        self.time = now;
    }

    #[inline]
    fn clear(&mut self) {
        if self.len == 0 {
            return;
        }
        let count = self.take_len();
        // SAFETY: the buffers are the batch's, and it forgets them here; `kind` says whether there are nulls.
        unsafe { sys::mosaic_free_burst(self.mbufs.as_mut_ptr(), count, self.kind) };
    }

    fn hand_over(&mut self, picks: &[u8], to: &mut Self) {
        debug_assert!(to.is_empty(), "frames are handed over to an empty batch");
        to.clear();
        let Some(home) = &self.home else {
            assert!(picks.is_empty(), "an empty batch has nothing to hand over");
            return;
        };
        to.settle(home, self.lane, self.interface);
        to.out = self.out;
        to.time = self.time;
        to.kind = self.kind & !sys::GAPS;
        if !picks.is_empty() {
            self.kind |= sys::GAPS;
        }
        for pick in picks {
            let (from, at) = (usize::from(*pick), to.len);
            assert!(
                from < self.len && at < BURST_MAX,
                "picks are frames of the batch"
            );
            to.mbufs[at] = std::mem::replace(&mut self.mbufs[from], std::ptr::null_mut());
            to.frames[at] = std::mem::replace(&mut self.frames[from], NOTHING);
            to.len += 1;
            if to.mbufs[at].is_null() {
                to.kind |= sys::GAPS;
            }
            if to.is_chained(at) {
                let chained = &mut self.chained.frames;
                if let Some(found) = chained.iter().position(|(index, _)| *index == from) {
                    let (_, bytes) = chained.swap_remove(found);
                    to.chained.frames.push((at, bytes));
                }
            }
        }
    }
}

impl Default for MbufBatch {
    fn default() -> Self {
        Self {
            len: 0,
            lane: 0,
            interface: 0,
            kind: 0,
            out: TxChecksums::default(),
            time: Timestamp::ZERO,
            home: None,
            mbufs: [std::ptr::null_mut(); BURST_MAX],
            frames: [NOTHING; BURST_MAX],
            chained: Chained::default(),
        }
    }
}

impl Drop for MbufBatch {
    fn drop(&mut self) {
        self.clear();
    }
}

impl std::fmt::Debug for MbufBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "MbufBatch({} frames of interface {})",
            self.len, self.interface
        )
    }
}

impl From<&sys::MosaicFacts> for FrameFacts {
    fn from(raw: &sys::MosaicFacts) -> Self {
        let known = |bit| raw.known & bit != 0;
        let checksum = |good, bad, unfinished| {
            if known(good) {
                Checksum::Good
            } else if known(bad) {
                Checksum::Bad
            } else if known(unfinished) {
                Checksum::Unfinished
            } else {
                Checksum::Unknown
            }
        };
        Self {
            rss_hash: known(sys::FACT_RSS_HASH).then_some(raw.rss_hash),
            timestamp: known(sys::FACT_TIMESTAMP).then_some(raw.timestamp),
            ip_checksum: checksum(sys::FACT_IP_GOOD, sys::FACT_IP_BAD, 0),
            l4_checksum: checksum(sys::FACT_L4_GOOD, sys::FACT_L4_BAD, sys::FACT_L4_UNFINISHED),
            offloaded: known(sys::FACT_OFFLOADED).then(|| tx_checksums::headers(&raw.headers)),
        }
    }
}
