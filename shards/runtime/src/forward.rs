//! What becomes of the frames of a burst that came in on a wire.

use mosaic_engine::counters::Drops;
use mosaic_engine::flow::Proto;
use mosaic_engine::shard::{Injected, Route, Shard};
use mosaic_engine::wire::{Buffer, Encapsulation, Layer, Packet, Parsed, Waited, finish_checksum};
use mosaic_port::{BURST_MAX, Batch, Extras, Headers, LinkType, Sent, Way};

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
/// `received + unseen + injected = forwarded + dropped_verdict + dropped_refused + dropped_fragments + dropped_overload + dropped_exit + dropped_no_room + held`.
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
    /// Frames with fragments that were held for others in vain, or said nothing new.
    pub dropped_fragments: u64,
    /// Frames with fragments that are held for others at this moment.
    pub held: u64,
    /// Frames dropped because the shard that owns their flow did not keep up.
    pub dropped_overload: u64,
    /// Frames dropped while the shard was ending or lost.
    pub dropped_exit: u64,
    /// Frames for which the device had no room.
    pub dropped_no_room: u64,
    /// Frames that came with an unfinished checksum, which was left to the device that they leave through. Complete ones that
    /// look unfinished by chance are among them: the device is asked before anybody adds them up.
    pub checksums_offloaded: u64,
    /// Frames that came with an unfinished checksum, which was finished in software: another one stands there since.
    pub checksums_finished: u64,
}

impl WireCounters {
    /// Whether every frame that came in or was injected left again, was counted as dropped or is held; true at rest.
    pub fn is_balanced(&self) -> bool {
        self.received + self.unseen + self.injected == self.forwarded + self.dropped() + self.held
    }

    /// Every frame that did not leave again.
    pub fn dropped(&self) -> u64 {
        self.dropped_verdict
            + self.dropped_refused
            + self.dropped_fragments
            + self.dropped_overload
            + self.dropped_exit
            + self.dropped_no_room
    }

    fn fields(&mut self) -> [&mut u64; 15] {
        [
            &mut self.received,
            &mut self.unseen,
            &mut self.injected,
            &mut self.forwarded,
            &mut self.forwarded_bytes,
            &mut self.bypassed,
            &mut self.dropped_verdict,
            &mut self.dropped_refused,
            &mut self.dropped_fragments,
            &mut self.held,
            &mut self.dropped_overload,
            &mut self.dropped_exit,
            &mut self.dropped_no_room,
            &mut self.checksums_offloaded,
            &mut self.checksums_finished,
        ]
    }

    pub(crate) fn count_sent(&mut self, sent: Sent) {
        self.forwarded += sent.frames;
        self.forwarded_bytes += sent.bytes;
        self.dropped_no_room += sent.no_room;
    }

    /// The frames of `parsed` that pass though they yielded no packet: those that the rules let pass, and fragments that
    /// are not held for others (the one that completes a datagram goes with it).
    pub(crate) fn judge_refused(&mut self, parsed: &Parsed, rules: &WireRules) -> u64 {
        let mut pass = parsed.absorbed & !parsed.held;
        for refused in &parsed.refused {
            if rules.pass_refused >> refused.reason & 1 == 1 {
                pass |= 1 << refused.frame;
            } else {
                self.dropped_refused += 1 + parsed.waited.count(refused.frame);
            }
        }
        self.bypassed += with_waited(parsed, pass);
        pass
    }

    /// What is left of `pass`, frames without a packet, where raw monitors dropped those in `dropped`.
    pub(crate) fn revoke(&mut self, parsed: &Parsed, pass: u64, dropped: u64) -> u64 {
        let revoked = with_waited(parsed, pass & dropped);
        self.bypassed -= revoked;
        self.dropped_verdict += revoked;
        pass & !dropped
    }

    /// What leaves of a burst from `batch`: of the frames without a packet those in `refused`, of the others those whose packets
    /// do not have their bit in `dropped`. What is to be sent besides is in `extras` afterwards.
    pub(crate) fn decide<B: Batch>(
        &mut self,
        shard: &Shard,
        parsed: &Parsed,
        batch: &mut B,
        (refused, dropped): (u64, u64),
        extras: &mut Extras,
    ) -> u64 {
        let forward = refused | self.judge_packets(parsed, dropped);
        if shard.has_changes() || !parsed.waited.is_empty() {
            self.apply(shard, parsed, batch, forward, extras)
        } else {
            extras.clear();
            forward
        }
    }

    /// The frames of packets that pass: packet `i` does not where bit `i` of `dropped` is set.
    fn judge_packets(&mut self, parsed: &Parsed, dropped: u64) -> u64 {
        self.dropped_verdict += u64::from(dropped.count_ones());
        let mut pass = 0;
        for (i, packet) in parsed.packets.iter().enumerate() {
            let frame = packet.buffer.frame();
            if dropped >> i & 1 == 0 {
                pass |= 1 << frame;
            } else if !parsed.waited.is_empty() {
                self.dropped_verdict += parsed.waited.count(frame);
            }
        }
        pass
    }

    /// Puts the frames that actors have changed into `batch`, and those that they have made, or that have waited for others,
    /// into `extras`. Returns `forward` without the frames that do not leave from `batch`.
    pub(crate) fn apply<B: Batch>(
        &mut self,
        shard: &Shard,
        parsed: &Parsed,
        batch: &mut B,
        mut forward: u64,
        extras: &mut Extras,
    ) -> u64 {
        extras.clear();
        for Injected { bytes, route } in shard.injected() {
            self.injected += 1;
            extras.push(way(route, &parsed.packets), bytes);
        }
        for (i, packet) in parsed.packets.iter().enumerate() {
            let frame = packet.buffer.frame();
            if shard.changes() >> i & 1 == 0 || forward >> frame & 1 == 0 {
                continue;
            }
            let Some(bytes) = shard.changed(i) else {
                continue;
            };
            if packet.buffer.datagram().is_some() {
                let came = parsed.bytes_of(packet, batch);
                let last = batch.frame(usize::from(frame)).bytes;
                for part in parsed.waited.of(frame) {
                    let copy = extras.push(before(frame), part.frame.unwrap_or(last));
                    part.follow(copy, packet, came, bytes);
                }
                forward &= !(1 << frame);
            } else if !batch.replace(usize::from(frame), bytes) {
                forward &= !(1 << frame);
                self.dropped_no_room += 1;
            }
        }
        release(&parsed.waited, forward, extras);
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

    /// The same for a batch of which is known what is in it: with its frames go those that have waited for them.
    pub(crate) fn judge_unheard(
        &mut self,
        (parsed, len): (&Parsed, usize),
        pass: bool,
        dropped: fn(&mut Self) -> &mut u64,
        extras: &mut Extras,
    ) -> u64 {
        let forward = self.judge_unseen(len, pass, dropped);
        extras.clear();
        release(&parsed.waited, forward, extras);
        if pass {
            self.bypassed += parsed.waited.frames();
        } else {
            *dropped(self) += parsed.waited.frames();
        }
        forward
    }
}

/// How many frames `frames` are, with those that have waited for them.
fn with_waited(parsed: &Parsed, frames: u64) -> u64 {
    let mut count = u64::from(frames.count_ones());
    if !parsed.waited.is_empty() {
        count += each(frames)
            .map(|frame| parsed.waited.count(frame))
            .sum::<u64>();
    }
    count
}

/// Sends the frames that have waited for those in `forward` before them.
fn release(waited: &Waited, forward: u64, extras: &mut Extras) {
    if waited.is_empty() {
        return;
    }
    for frame in each(forward) {
        for bytes in waited.of(frame).filter_map(|part| part.frame) {
            extras.push(before(frame), bytes);
        }
    }
}

/// The numbers of the frames in `frames`.
fn each(frames: u64) -> impl Iterator<Item = u8> {
    (0..64).filter(move |frame| frames >> frame & 1 == 1)
}

/// The way of a frame that goes before frame `frame`.
fn before(frame: u8) -> Way {
    Way::With {
        frame,
        before: true,
        back: false,
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
        Route::WithFrame { frame, back } => Way::With {
            frame,
            before: false,
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

impl WireCounters {
    /// Sees to the checksums that other programs of this machine left to a network card, before the frames go on a wire: the
    /// device that a frame leaves through finishes its own where it can, and the packet stays
    /// [`unfinished`](Packet::unfinished); the others are finished here.
    pub(crate) fn finish_checksums<B: Batch>(&mut self, parsed: &mut Parsed, batch: &mut B) {
        let around = &parsed.encapsulations;
        for packet in parsed.packets.iter_mut().filter(|packet| packet.unfinished) {
            // The frames of a datagram are on their way already, with what checksum they have.
            let Buffer::Frame(frame) = packet.buffer else {
                continue;
            };
            let frame = usize::from(frame);
            let headers = around
                .get(usize::from(packet.encapsulation))
                .and_then(|around| headers(packet, around, batch.frame(frame).bytes.len()));
            if headers.is_some_and(|headers| batch.offload_checksum(frame, headers)) {
                self.checksums_offloaded += 1;
            } else if let Some(bytes) = batch.bytes_mut(frame) {
                // One that was complete, and looked otherwise by chance, stays what it was.
                self.checksums_finished += u64::from(finish_checksum(packet, bytes));
                packet.unfinished = false;
            }
        }
    }
}

/// Whether there is nothing around a packet but tags of VLANs.
pub(crate) fn is_tagged_at_most(around: &Encapsulation) -> bool {
    let mut layers = around.layers.iter();
    layers.all(|layer| matches!(layer, Layer::Vlan(_)))
}

/// What a device must know to finish the checksum of a packet in a frame of `len` bytes. `None` where the packet is not right
/// within Ethernet, tags of VLANs apart, or something stands behind it: devices would count that as well.
fn headers(packet: &Packet, around: &Encapsulation, len: usize) -> Option<Headers> {
    let is_plain = packet.link == LinkType::ETHERNET
        && is_tagged_at_most(around)
        && (packet.payload_at + packet.payload_len) as usize == len;
    let between = |from: u32, to: u32| u16::try_from(to.checked_sub(from)?).ok();
    Some(Headers {
        link_len: between(0, packet.ip_at)?,
        ip_len: between(packet.ip_at, packet.transport_at)?,
        transport_len: between(packet.transport_at, packet.payload_at)?,
        is_v6: packet.key.is_v6(),
        is_udp: packet.key.proto() == Proto::UDP,
    })
    .filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use mosaic_engine::wire::{Checksums, Ingress, WireConfig};
    use mosaic_port::{Frame, Timestamp};

    use super::*;

    /// Frames on their way to a device that finishes checksums, or not; and what it was asked.
    #[derive(Default)]
    struct Asked {
        frames: Vec<Vec<u8>>,
        finishes: bool,
        asked: Vec<(usize, Headers)>,
    }

    impl Batch for Asked {
        fn len(&self) -> usize {
            self.frames.len()
        }

        fn frame(&self, index: usize) -> Frame<'_> {
            let bytes = &self.frames[index][..];
            Frame {
                bytes,
                wire_len: u32::try_from(bytes.len()).unwrap(),
                timestamp: Timestamp::ZERO,
                link: LinkType::ETHERNET,
                interface: 0,
            }
        }

        fn offload_checksum(&mut self, index: usize, headers: Headers) -> bool {
            self.asked.push((index, headers));
            self.finishes
        }

        fn bytes_mut(&mut self, index: usize) -> Option<&mut [u8]> {
            Some(&mut self.frames[index])
        }

        fn clear(&mut self) {}

        fn hand_over(&mut self, _: &[u8], _: &mut Self) {}
    }

    fn fold(mut sum: u32) -> u16 {
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).unwrap()
    }

    fn words(bytes: &[u8]) -> u32 {
        let words = bytes
            .chunks(2)
            .map(|pair| [pair[0], *pair.get(1).unwrap_or(&0)]);
        words.map(|word| u32::from(u16::from_be_bytes(word))).sum()
    }

    /// IPv4 with an odd datagram in it, whose checksum is the sum of the pseudo-header.
    fn datagram() -> Vec<u8> {
        let mut packet = vec![
            0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2,
        ];
        let header = !fold(words(&packet));
        packet[10..12].copy_from_slice(&header.to_be_bytes());
        let pseudo = fold(words(&packet[12..20]) + 17 + 13);
        packet.extend([0x0f, 0xa0, 0, 53, 0, 13]);
        packet.extend(pseudo.to_be_bytes());
        packet.extend(b"hello");
        packet
    }

    fn finish(frames: &[Vec<u8>], finishes: bool) -> (Asked, Parsed, WireCounters) {
        let mut batch = Asked {
            frames: frames.to_vec(),
            finishes,
            ..Asked::default()
        };
        let mut ingress = Ingress::new(WireConfig {
            checksums: Checksums::Verify,
            unfinished_checksums: true,
            ..WireConfig::default()
        });
        let mut parsed = Parsed::default();
        ingress.parse(&batch, &mut parsed);
        assert_eq!(parsed.packets.len(), frames.len());
        let mut wire = WireCounters::default();
        wire.finish_checksums(&mut parsed, &mut batch);
        (batch, parsed, wire)
    }

    #[test]
    fn devices_are_asked_for_what_they_can_finish_and_the_rest_is_done_here() {
        let inner = datagram();
        let mut tunnel = vec![
            0x45, 0, 0, 53, 0, 0, 0, 0, 64, 4, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        let header = !fold(words(&tunnel));
        tunnel[10..12].copy_from_slice(&header.to_be_bytes());
        let frames = [
            [&[2; 12][..], &[8, 0], &inner].concat(),
            [&[2; 12][..], &[0x81, 0, 0, 7, 8, 0], &inner].concat(),
            [&[2; 12][..], &[8, 0], &inner, &[9; 13]].concat(),
            [&[2; 12][..], &[8, 0], &tunnel, &inner].concat(),
        ];
        let (asked, parsed, wire) = finish(&frames, true);
        let headers = |link_len| Headers {
            link_len,
            ip_len: 20,
            transport_len: 8,
            is_v6: false,
            is_udp: true,
        };
        assert_eq!(asked.asked, [(0, headers(14)), (1, headers(18))]);
        assert_eq!((wire.checksums_offloaded, wire.checksums_finished), (2, 2));
        let unfinished: Vec<bool> = parsed
            .packets
            .iter()
            .map(|packet| packet.unfinished)
            .collect();
        assert_eq!(unfinished, [true, true, false, false]);
        assert_eq!(asked.frames[..2], frames[..2], "never both");

        let (software, parsed, wire) = finish(&frames, false);
        assert_eq!((wire.checksums_offloaded, wire.checksums_finished), (0, 4));
        for (packet, frame) in parsed.packets.iter().zip(&software.frames) {
            assert!(!packet.unfinished);
            let datagram = &frame[packet.transport_at as usize..][..13];
            let pseudo = words(&inner[12..20]) + 17 + 13;
            assert_eq!(fold(words(datagram) + pseudo), 0xffff);
        }
        assert_eq!(asked.frames[2..], software.frames[2..]);
    }

    #[test]
    fn a_complete_checksum_that_looks_unfinished_by_chance_is_not_finished() {
        let inner = datagram();
        let pseudo = words(&inner[12..20]) + 17 + 13;
        let mut complete = inner.clone();
        complete[28..30].fill(0);
        let lacks = !fold(words(&complete[20..]) + pseudo);
        complete[28..30].copy_from_slice(&lacks.to_be_bytes());
        assert_eq!(fold(words(&complete[20..]) + pseudo), 0xffff, "it holds");
        assert_eq!(complete[26..28], inner[26..28], "as if unfinished");

        let frames = [complete, inner].map(|packet| [&[2; 12][..], &[8, 0], &packet].concat());
        let (software, parsed, wire) = finish(&frames, false);
        assert_eq!((wire.checksums_offloaded, wire.checksums_finished), (0, 1));
        assert!(parsed.packets.iter().all(|packet| !packet.unfinished));
        assert_eq!(software.frames[0], frames[0]);
        assert_ne!(software.frames[1], frames[1]);
    }

    #[test]
    fn all_frames_of_a_batch_have_a_bit() {
        assert_eq!(
            [all(0), all(1), all(63), all(64)],
            [0, 1, u64::MAX >> 1, u64::MAX]
        );
    }
}
