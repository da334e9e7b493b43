//! The numbers of a connection whose streams are edited on the way.

use super::map::{RecordError, Rewrite};
use crate::tcp::Seq;

/// One edited stream, and how its numbers translate: those of its sender, which count *original* bytes, and those of its
/// receiver, which count *edited* ones.
///
/// The two count from the same initial number. Two of these in a row are applied one after the other: numbers of the
/// sender through the first, then the second; numbers of the receiver through the second, then the first.
#[derive(Clone, Debug, Default)]
pub struct RewrittenStream {
    rewrite: Rewrite,
    /// Number of position 0.
    base: Seq,
    /// First original position that was not sent on: below, every byte is decided.
    sent: i64,
    /// Edited positions below this one are acknowledged.
    acked: i64,
}

impl RewrittenStream {
    /// A stream of which nothing was edited; position 0 has the number `base`, and everything below `sent` was sent.
    pub fn new(base: Seq, sent: u64) -> Self {
        let mut stream = Self::default();
        stream.begin(base, sent);
        stream
    }

    /// The same in the memory of another one.
    pub fn begin(&mut self, base: Seq, sent: u64) {
        self.rewrite.clear();
        self.base = base;
        self.sent = sent.cast_signed();
        self.acked = 0;
    }

    /// Which positions were edited, and how.
    pub fn rewrite(&self) -> &Rewrite {
        &self.rewrite
    }

    /// First original position that was not sent yet.
    pub fn sent(&self) -> i64 {
        self.sent
    }

    /// First edited position that was not sent yet.
    pub fn sent_edited(&self) -> i64 {
        self.rewrite.translate(self.sent)
    }

    /// The original position of a number of the sender: the one nearest to what was sent last.
    pub fn position(&self, seq: Seq) -> i64 {
        near(self.base, self.sent, seq)
    }

    /// The edited position of a number of the receiver.
    pub fn edited_position(&self, ack: Seq) -> i64 {
        near(self.base, self.sent_edited(), ack)
    }

    /// Edits a part of what is about to be sent; see [`Rewrite::record`].
    ///
    /// # Errors
    /// [`RecordError`]; `Decided` where a part of it was sent.
    pub fn edit(
        &mut self,
        at: i64,
        removed: u32,
        inserted: &[u8],
        with_fin: bool,
    ) -> Result<(), RecordError> {
        if at < self.sent {
            return Err(RecordError::Decided);
        }
        self.rewrite.record(at, removed, inserted, with_fin)
    }

    /// Everything below the original position `end` is sent now.
    pub fn send(&mut self, end: i64) {
        self.sent = self.sent.max(end);
    }

    /// Number of the receiver for a number of the sender. Nothing before the stream's first byte moves, the SYN included.
    pub fn seq(&self, seq: Seq) -> Seq {
        let position = self.position(seq);
        if position < 0 {
            return seq;
        }
        self.at(self.rewrite.translate(position))
    }

    /// The same for a segment that takes no room in the stream. One that stands below what was sent asks for an
    /// acknowledgment (RFC 9293, section 3.8.4, keep-alive; and probes of a closed window): so it must stand below what the
    /// receiver expects, also where the last original bytes were removed.
    pub fn seq_of_empty(&self, seq: Seq) -> Seq {
        let position = self.position(seq);
        if position < 0 || position >= self.sent {
            // Behind what was sent nothing is known yet; the next number expected suits every receiver.
            return if position < 0 {
                seq
            } else {
                self.at(self.sent_edited())
            };
        }
        let edited = self.rewrite.translate(position);
        self.at(edited.min(self.sent_edited() - 1))
    }

    /// The same for a RST, which a receiver takes at exactly the next number it expects (RFC 5961, section 3.2): where the
    /// sender stands at what was acknowledged to it, that is what the receiver has acknowledged itself.
    pub fn seq_of_reset(&self, seq: Seq) -> Seq {
        let position = self.position(seq);
        if position >= 0 && position == self.rewrite.invert(self.acked) {
            return self.at(self.acked);
        }
        self.seq(seq)
    }

    /// Acknowledgment number for the sender, from one of the receiver.
    pub fn ack(&self, ack: Seq) -> Seq {
        let edited = self.edited_position(ack);
        if edited < 0 {
            return ack;
        }
        self.at(self.rewrite.invert(edited))
    }

    /// Window for the sender, in bytes, from that of the receiver, `window`, which stood beside the acknowledgment `ack`:
    /// the distance of their edges. It may be larger than a window can be.
    pub fn window(&self, ack: Seq, window: u32) -> u32 {
        let edited = self.edited_position(ack);
        let right = self.rewrite.invert(edited + i64::from(window));
        u32::try_from(right - self.rewrite.invert(edited)).unwrap_or(0)
    }

    /// The block of a selective acknowledgment (RFC 2018) for the sender: never more than the receiver has, and `None` where
    /// nothing is left of it.
    pub fn sack(&self, left: Seq, right: Seq) -> Option<(Seq, Seq)> {
        let left = self.rewrite.invert_up(self.edited_position(left));
        let right = self.rewrite.invert(self.edited_position(right));
        (left < right).then(|| (self.at(left), self.at(right)))
    }

    /// Urgent pointer (RFC 9293, section 3.8.5) of the edited segment, from that of the original one with number `seq`.
    pub fn urgent(&self, seq: Seq, pointer: u16) -> u16 {
        let position = self.position(seq);
        let urgent = self.rewrite.translate(position + i64::from(pointer));
        let distance = urgent - self.rewrite.translate(position);
        u16::try_from(distance).unwrap_or(if distance < 0 { 0 } else { u16::MAX })
    }

    /// Takes an acknowledgment of the receiver: what it covers needs not be remembered. One of something that was never
    /// sent is ignored.
    pub fn acknowledge(&mut self, ack: Seq) {
        let edited = self.edited_position(ack);
        if edited > self.acked && edited <= self.sent_edited() {
            self.acked = edited;
            self.rewrite.acknowledge(edited);
        }
    }

    /// What the receiver has acknowledged.
    pub fn acked(&self) -> Seq {
        self.at(self.acked)
    }

    /// The number of a position, original or edited: they count from the same.
    pub fn at(&self, position: i64) -> Seq {
        self.base.at_offset(position.cast_unsigned())
    }
}

/// The position of `seq` nearest to `reference`, where position 0 has the number `base`.
fn near(base: Seq, reference: i64, seq: Seq) -> i64 {
    let distance = seq.distance_from(base.at_offset(reference.cast_unsigned()));
    reference + i64::from(distance)
}
