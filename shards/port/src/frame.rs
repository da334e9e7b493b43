//! Frames and the batches that own them.

use crate::{LinkType, Timestamp};

/// The most frames a burst may have.
pub const BURST_MAX: usize = 64;

/// One frame as it was received, borrowed from the batch that owns it.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The captured bytes, beginning with the header that `link` names.
    pub bytes: &'a [u8],
    /// Length of the frame on the wire, in bytes; more than `bytes` holds where the snap length cut it.
    pub wire_len: u32,
    /// When it was captured.
    pub timestamp: Timestamp,
    /// What the first byte belongs to.
    pub link: LinkType,
    /// Which interface of the capture or which port of the process it came from.
    pub interface: u32,
}

/// The headers of a frame that carries TCP or UDP right within IP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Headers {
    /// Bytes before the IP header.
    pub link_len: u16,
    /// Length of the IP header, options and extension headers included.
    pub ip_len: u16,
    /// Length of the header of TCP or UDP.
    pub transport_len: u16,
    /// Whether IP is version 6.
    pub is_v6: bool,
    /// UDP, not TCP.
    pub is_udp: bool,
}

/// The frames of one burst, owned: capture bytes shared with the reader, or buffers of a device.
///
/// A batch is filled by [`Port::rx_burst`](crate::Port::rx_burst), read by index, and cleared; it is reused from burst to
/// burst, so that nothing is allocated per packet.
pub trait Batch: Default + Send {
    /// Number of frames, at most [`BURST_MAX`].
    fn len(&self) -> usize;

    /// Whether there is no frame.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Frame `index`. Touches no byte of the frame, so that a caller can prefetch it.
    ///
    /// # Panics
    /// Where `index >= len()`.
    fn frame(&self, index: usize) -> Frame<'_>;

    /// Whether a device has checked the outermost checksums of every frame, IPv4 and TCP or UDP, and found all good. Those
    /// within tunnels it does not know.
    fn checksums_hold(&self) -> bool {
        false
    }

    /// The bytes of frame `index`, to be changed before it is sent. `None` where they are shared: captures.
    ///
    /// # Panics
    /// Where `index >= len()`, as far as the kind of batch gives bytes at all.
    fn bytes_mut(&mut self, index: usize) -> Option<&mut [u8]> {
        let _ = index;
        None
    }

    /// Leaves the checksum of TCP or UDP of frame `index`, in whose place the sum of the pseudo-header stands, to the device
    /// that the frame leaves through. False where that one does not do it: then the caller does. A frame that is
    /// [replaced](Self::replace) afterwards leaves with the checksum it then has.
    ///
    /// # Panics
    /// Where `index >= len()`, as far as the kind of batch leaves anything to devices.
    fn offload_checksum(&mut self, index: usize, headers: Headers) -> bool {
        let _ = (index, headers);
        false
    }

    /// Puts `bytes`, of any length, in the place of frame `index`, for the time when it is sent. False, with nothing changed,
    /// where there is no room for them or frames cannot be changed: captures.
    ///
    /// # Panics
    /// Where `index >= len()`, as far as the kind of batch changes frames at all.
    fn replace(&mut self, index: usize, bytes: &[u8]) -> bool {
        let _ = (index, bytes);
        false
    }

    /// Sets the time of frames that came without one. Captures and devices with a clock of their own bring one.
    fn stamp(&mut self, now: Timestamp) {
        let _ = now;
    }

    /// Gives the frames back to where they came from.
    fn clear(&mut self);

    /// Gives the frames at `picks` (ascending) to `to`, which is empty, in that order. Frames given away stay
    /// addressable here, but belong to `to` now: the caller looks at the others only.
    fn hand_over(&mut self, picks: &[u8], to: &mut Self);
}
