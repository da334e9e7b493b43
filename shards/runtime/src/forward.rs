//! What becomes of the frames of a burst that came in on a wire.

use mosaic_engine::counters::Drops;
use mosaic_engine::shard::{Injected, Route, Shard};
use mosaic_engine::wire::{Packet, Parsed, finish_checksum};
use mosaic_port::{BURST_MAX, Batch, Extras, Sent, Way};

/// Rules of a wire for frames that no actor decides about. A frame that actors decide about passes unless one of them
/// says [`Verdict::Drop`](mosaic_engine::event::Verdict::Drop).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WireRules {
    /// The reasons for which a frame yields no packet and passes all the same: bit `n` stands for [`Drops::NAMES`]`[n]`.
    pub pass_refused: u32,
    /// Whether frames pass unseen that come faster than the shard that owns their flow takes them.
    pub pass_overload: bool,
    /// Whether frames pass unseen while the shards end, or after a shard was lost.
    pub pass_exit: bool,
}

impl WireRules {
    /// A plain wire: everything passes.
    pub const WIRE: Self = Self {
        pass_refused: u32::MAX,
        pass_overload: true,
        pass_exit: true,
    };
}

/// A plain wire.
impl Default for WireRules {
    fn default() -> Self {
        Self::WIRE
    }
}

const _: () = assert!(Drops::NAMES.len() <= 32, "a bit a reason");

/// What became of the frames of inline ports. At rest
/// `received + unseen + injected = forwarded + dropped_verdict + dropped_refused + dropped_overload + dropped_exit + dropped_no_room`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WireCounters {
    /// Frames received and looked at.
    pub received: u64,
    /// Frames received while nobody looked at them: the shard was ending, or lost.
    pub unseen: u64,
    /// Frames that actors have made, to be sent besides.
    pub injected: u64,
    /// Frames that a port took for sending, injected ones included.
    pub forwarded: u64,
    /// Their bytes.
    pub forwarded_bytes: u64,
    /// Frames that were to pass without an actor having decided: no packet in them, overload, or unseen. Part of
    /// `forwarded`, or of `dropped_no_room`.
    pub bypassed: u64,
    /// Frames that an actor dropped.
    pub dropped_verdict: u64,
    /// Frames without a packet whose reason does not pass.
    pub dropped_refused: u64,
    /// Frames dropped because the shard that owns their flow did not keep up.
    pub dropped_overload: u64,
    /// Frames dropped while the shard was ending or lost.
    pub dropped_exit: u64,
    /// Frames for which the device had no room.
    pub dropped_no_room: u64,
}

impl WireCounters {
    /// Whether every frame that came in or was injected left again or was counted as dropped; true at rest.
    pub fn is_balanced(&self) -> bool {
        self.received + self.unseen + self.injected == self.forwarded + self.dropped()
    }

    /// Every frame that did not leave again.
    pub fn dropped(&self) -> u64 {
        self.dropped_verdict
            + self.dropped_refused
            + self.dropped_overload
            + self.dropped_exit
            + self.dropped_no_room
    }

    fn fields(&mut self) -> [&mut u64; 11] {
        [
            &mut self.received,
            &mut self.unseen,
            &mut self.injected,
            &mut self.forwarded,
            &mut self.forwarded_bytes,
            &mut self.bypassed,
            &mut self.dropped_verdict,
            &mut self.dropped_refused,
            &mut self.dropped_overload,
            &mut self.dropped_exit,
            &mut self.dropped_no_room,
        ]
    }

    pub(crate) fn count_sent(&mut self, sent: Sent) {
        self.forwarded += sent.frames;
        self.forwarded_bytes += sent.bytes;
        self.dropped_no_room += sent.no_room;
    }

    /// The frames of `parsed` that pass though they yielded no packet: those that the rules let pass, and fragments that
    /// wait for others (the one that completes a datagram goes with it).
    pub(crate) fn judge_refused(&mut self, parsed: &Parsed, rules: &WireRules) -> u64 {
        let mut pass = parsed.absorbed;
        for refused in &parsed.refused {
            if rules.pass_refused >> refused.reason & 1 == 1 {
                pass |= 1 << refused.frame;
            } else {
                self.dropped_refused += 1;
            }
        }
        self.bypassed += u64::from(pass.count_ones());
        pass
    }

    /// What is left of `pass`, frames without a packet, where raw monitors dropped those in `dropped`.
    pub(crate) fn revoke(&mut self, pass: u64, dropped: u64) -> u64 {
        let revoked = u64::from((pass & dropped).count_ones());
        self.bypassed -= revoked;
        self.dropped_verdict += revoked;
        pass & !dropped
    }

    /// The frames of `packets` that pass: packet `i` does not where bit `i` of `dropped` is set.
    pub(crate) fn judge_packets(&mut self, packets: &[Packet], dropped: u64) -> u64 {
        self.dropped_verdict += u64::from(dropped.count_ones());
        (0..)
            .zip(packets)
            .filter(|(i, _)| dropped >> i & 1 == 0)
            .fold(0, |pass, (_, packet)| pass | 1 << packet.buffer.frame())
    }

    /// Puts the frames that actors have changed into `batch`, and those that they have made into `extras`. Returns `forward`
    /// without the frames for which that could not be done.
    pub(crate) fn apply<B: Batch>(
        &mut self,
        shard: &Shard,
        packets: &[Packet],
        batch: &mut B,
        mut forward: u64,
        extras: &mut Extras,
    ) -> u64 {
        for (i, packet) in packets.iter().enumerate() {
            let frame = packet.buffer.frame();
            if shard.changes() >> i & 1 == 0 || forward >> frame & 1 == 0 {
                continue;
            }
            if let Some(bytes) = shard.changed(i)
                && !batch.replace(usize::from(frame), bytes)
            {
                forward &= !(1 << frame);
                self.dropped_no_room += 1;
            }
        }
        extras.clear();
        for Injected { bytes, route } in shard.injected() {
            self.injected += 1;
            extras.push(way(route, packets), bytes);
        }
        forward
    }

    /// The frames of a batch of `len` that pass unseen, all or none; `dropped` is what counts them otherwise.
    pub(crate) fn judge_unseen(
        &mut self,
        len: usize,
        pass: bool,
        dropped: fn(&mut Self) -> &mut u64,
    ) -> u64 {
        if pass {
            self.bypassed += len as u64;
            all(len)
        } else {
            *dropped(self) += len as u64;
            0
        }
    }
}

impl std::ops::AddAssign for WireCounters {
    fn add_assign(&mut self, mut other: Self) {
        for (sum, more) in self.fields().into_iter().zip(other.fields()) {
            *sum += *more;
        }
    }
}

/// Where a frame goes that belongs to a packet of `packets`.
fn way(route: Route, packets: &[Packet]) -> Way {
    match route {
        Route::With {
            packet,
            before,
            back,
        } => Way::With {
            frame: packets
                .get(usize::from(packet))
                .map_or(0, |packet| packet.buffer.frame()),
            before,
            back,
        },
        Route::Interface { interface, back } => Way::Interface { interface, back },
    }
}

/// The first `len` frames of a batch.
fn all(len: usize) -> u64 {
    const _: () = assert!(BURST_MAX == 64, "a bit a frame");
    match len {
        0 => 0,
        len => u64::MAX >> (BURST_MAX - len.min(BURST_MAX)),
    }
}

/// Completes the checksums that other programs of this machine left to a network card, before the frames go on a wire.
pub(crate) fn finish_checksums<B: Batch>(packets: &mut [Packet], batch: &mut B) {
    for packet in packets.iter_mut().filter(|packet| packet.unfinished) {
        if let Some(bytes) = batch.bytes_mut(packet.buffer.frame().into()) {
            finish_checksum(packet, bytes);
            packet.unfinished = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_frames_of_a_batch_have_a_bit() {
        assert_eq!(
            [all(0), all(1), all(63), all(64)],
            [0, 1, u64::MAX >> 1, u64::MAX]
        );
    }
}
