//! Bounds-checked reading of the rest of a packet.

use super::reason::Reason;

/// What is left of a packet: the captured bytes and the length that the headers say.
///
/// The two differ where the snap length cut the frame; then reads beyond the captured part fail, while lengths are still
/// those of the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    /// The buffer from its start, without what lies behind `end`.
    bytes: &'a [u8],
    /// Offset of the current header in the buffer; beyond `bytes` where that header was not captured.
    at: usize,
    /// Offset at which the current layer ends on the wire, at least `at`.
    end: usize,
}

impl<'a> View<'a> {
    /// The whole of `bytes`, which were `wire_len` long before they were cut.
    #[inline]
    pub(super) fn new(bytes: &'a [u8], wire_len: usize) -> Self {
        let end = wire_len.max(bytes.len());
        Self { bytes, at: 0, end }
    }

    /// Offset of the current position in the buffer.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Offset of the current position in the buffer, at most its length.
    #[inline]
    pub(super) fn at_captured(&self) -> usize {
        self.at.min(self.bytes.len())
    }

    /// Bytes up to the end of the current layer, captured or not.
    #[inline]
    pub(super) fn wire_len(&self) -> usize {
        self.end - self.at
    }

    /// Captured bytes from here.
    #[inline]
    pub(super) fn captured(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Captured bytes of the buffer before here, from `at` on.
    pub(super) fn since(&self, at: usize) -> &'a [u8] {
        self.bytes.get(at..self.at).unwrap_or_default()
    }

    /// Whether every byte up to the end of the layer was captured.
    #[inline]
    pub(super) fn is_complete(&self) -> bool {
        self.bytes.len() == self.end
    }

    /// The `N` bytes at `offset` from here.
    #[inline]
    pub(super) fn array<const N: usize>(&self, offset: usize) -> Result<[u8; N], Reason> {
        self.captured()
            .get(offset..)
            .and_then(<[u8]>::first_chunk)
            .copied()
            .ok_or(Reason::Malformed)
    }

    #[inline]
    pub(super) fn u8(&self, offset: usize) -> Result<u8, Reason> {
        self.array(offset).map(u8::from_be_bytes)
    }

    #[inline]
    pub(super) fn u16(&self, offset: usize) -> Result<u16, Reason> {
        self.array(offset).map(u16::from_be_bytes)
    }

    #[inline]
    pub(super) fn u32(&self, offset: usize) -> Result<u32, Reason> {
        self.array(offset).map(u32::from_be_bytes)
    }

    /// Without the first `len` bytes, captured or not.
    #[inline]
    pub(super) fn skip(self, len: usize) -> Result<Self, Reason> {
        if len > self.wire_len() {
            Err(Reason::Malformed)
        } else {
            Ok(Self {
                at: self.at + len,
                ..self
            })
        }
    }

    /// Cut to `len` bytes from here, where it is longer: what follows is padding or a trailer.
    #[inline]
    pub(super) fn limit(self, len: usize) -> Self {
        let end = self.end.min(self.at.saturating_add(len));
        Self {
            bytes: self.bytes.get(..end).unwrap_or(self.bytes),
            at: self.at,
            end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stay_inside_what_was_captured() {
        let view = View::new(&[1, 2, 3, 4, 5], 9);
        assert_eq!(view.u16(3), Ok(0x0405));
        assert_eq!(view.u16(4), Err(Reason::Malformed));
        assert_eq!(view.u8(usize::MAX), Err(Reason::Malformed));
        assert_eq!((view.wire_len(), view.is_complete()), (9, false));
        let rest = view.skip(7).unwrap();
        assert_eq!(
            (rest.at(), rest.wire_len(), rest.captured().len()),
            (7, 2, 0)
        );
        assert!(view.skip(10).is_err());
    }

    #[test]
    fn a_limit_cuts_both_lengths_and_never_lengthens() {
        let view = View::new(&[1, 2, 3, 4, 5], 9).skip(1).unwrap();
        let cut = view.limit(2);
        assert_eq!(
            (cut.captured(), cut.wire_len(), cut.is_complete()),
            (&[2, 3][..], 2, true)
        );
        let longer = view.limit(6);
        assert_eq!(
            (
                longer.captured().len(),
                longer.wire_len(),
                longer.is_complete()
            ),
            (4, 6, false)
        );
        assert_eq!(view.limit(usize::MAX).wire_len(), 8);
        assert_eq!(cut.limit(7).wire_len(), 2);
    }
}
