//! Packets on their way to the shard that owns their flow.

use arrayvec::ArrayVec;
use mosaic_engine::wire::{Buffer, Encapsulation, Packet, Parsed};
use mosaic_port::{BURST_MAX, Batch, Extras};

/// What one burst has for one other shard: packets in the order of their frames, with everything they point to.
///
/// Order of calls: [`add`](Self::add) for each packet, then [`take_frames`](Self::take_frames) once; the receiver reads
/// `parsed` and `batch`, and [`clear`](Self::clear)s. Cleared bundles are used again and keep their memory.
#[derive(Debug, Default)]
pub(crate) struct Bundle<B> {
    /// The packets, with buffers and encapsulations numbered anew.
    pub(crate) parsed: Parsed,
    /// Their frames.
    pub(crate) batch: B,
    /// Frames of the burst that belong to it, ascending.
    picks: ArrayVec<u8, BURST_MAX>,
    /// What encapsulations of the burst are called here: pairs of old and new number.
    renamed: ArrayVec<(u8, u8), BURST_MAX>,
    /// Whether the frames came in on a wire and wait for a decision.
    pub(crate) inline: bool,
    /// The frames that go on their way: frame `i` has bit `i`. Set by the shard that decided.
    pub(crate) forward: u64,
    /// Frames to be sent besides.
    pub(crate) extras: Extras,
    /// Memory of earlier datagrams, left with a burst in exchange for its own.
    spare: ArrayVec<Vec<u8>, SPARE_MAX>,
}

/// Datagram buffers that a cleared bundle keeps: fragments are rare, and bundles are many.
const SPARE_MAX: usize = 4;

impl<B: Batch> Bundle<B> {
    /// Number of packets.
    pub(crate) fn packets(&self) -> u64 {
        self.parsed.packets.len() as u64
    }

    /// Takes in `packet` of the burst `parsed`; takes its datagram and a copy of its encapsulation along.
    pub(crate) fn add(&mut self, packet: &Packet, parsed: &mut Parsed) {
        self.picks.push(packet.buffer.frame());
        let frame = last_index(self.picks.len());
        let buffer = match packet.buffer {
            Buffer::Frame(_) => Buffer::Frame(frame),
            Buffer::Datagram { datagram, .. } => {
                let datagram = self.take_datagram(datagram, parsed);
                Buffer::Datagram { datagram, frame }
            }
            Buffer::Framed { datagram, .. } => {
                let datagram = self.take_datagram(datagram, parsed);
                Buffer::Framed { datagram, frame }
            }
        };
        if !parsed.waited.is_empty() {
            let waited = &mut self.parsed.waited;
            waited.copy(&parsed.waited, packet.buffer.frame(), frame);
        }
        let encapsulation = self.rename(packet.encapsulation, &parsed.encapsulations);
        self.parsed.packets.push(Packet {
            buffer,
            encapsulation,
            ..*packet
        });
    }

    /// Takes a datagram out of the burst; its number here.
    fn take_datagram(&mut self, datagram: u8, parsed: &mut Parsed) -> u8 {
        let spare = self.spare.pop().unwrap_or_default();
        let bytes = std::mem::replace(&mut parsed.datagrams[usize::from(datagram)], spare);
        self.parsed.datagrams.push(bytes);
        last_index(self.parsed.datagrams.len())
    }

    /// Takes the frames of its packets out of the burst.
    pub(crate) fn take_frames(&mut self, burst: &mut B, inline: bool) {
        self.inline = inline;
        burst.hand_over(&self.picks, &mut self.batch);
    }

    /// Gives the frames back and forgets the packets.
    pub(crate) fn clear(&mut self) {
        self.batch.clear();
        self.parsed.packets.clear();
        self.parsed.encapsulations.clear();
        self.parsed.waited.clear();
        self.spare.extend(
            self.parsed
                .datagrams
                .drain(..)
                .take(self.spare.remaining_capacity()),
        );
        self.picks.clear();
        self.renamed.clear();
        self.forward = 0;
        self.extras.clear();
    }

    /// The number here of encapsulation `old` of the burst. As in every burst, number 0 is the empty one.
    fn rename(&mut self, old: u8, encapsulations: &[Encapsulation]) -> u8 {
        let kept = &mut self.parsed.encapsulations;
        if kept.is_empty() {
            kept.push(Encapsulation::default());
        }
        if old == 0 {
            return 0;
        }
        if let Some(&(_, new)) = self.renamed.iter().find(|(known, _)| *known == old) {
            return new;
        }
        kept.push(encapsulations[usize::from(old)].clone());
        let new = last_index(kept.len());
        self.renamed.push((old, new));
        new
    }
}

/// The last index of something that has at most one entry a packet of a burst, and one more.
fn last_index(len: usize) -> u8 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most BURST_MAX + 1 entries"
    )]
    let index = (len - 1) as u8;
    index
}

const _: () = assert!(
    BURST_MAX < 255,
    "a bundle numbers its packets, and one encapsulation more, by a u8"
);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use mosaic_engine::flow::{FlowKey, Proto};
    use mosaic_engine::wire::{Layer, Transport};
    use mosaic_port::{Frame, LinkType, Timestamp};

    /// Frames of one byte.
    #[derive(Debug, Default, PartialEq)]
    pub(crate) struct Frames(Vec<u8>);

    impl Batch for Frames {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn frame(&self, index: usize) -> Frame<'_> {
            let bytes = &self.0[index..=index];
            Frame {
                bytes,
                wire_len: 1,
                timestamp: Timestamp::ZERO,
                link: LinkType::RAW,
                interface: 0,
            }
        }

        fn clear(&mut self) {
            self.0.clear();
        }

        fn hand_over(&mut self, picks: &[u8], to: &mut Self) {
            assert!(to.is_empty());
            to.0.extend(picks.iter().map(|pick| self.0[usize::from(*pick)]));
        }
    }

    /// Frames of the bytes 0 to `n`, each with a packet, without encapsulation.
    pub(crate) fn burst(n: u8) -> (Parsed, Frames) {
        let mut parsed = Parsed::default();
        parsed.encapsulations.push(Encapsulation::default());
        parsed
            .packets
            .extend((0..n).map(|index| packet(Buffer::Frame(index), 0)));
        (parsed, Frames((0..n).collect()))
    }

    fn packet(buffer: Buffer, encapsulation: u8) -> Packet {
        let (key, direction) = FlowKey::v4(1, 2, 3, 4, Proto::UDP, 0);
        Packet {
            key,
            direction,
            buffer,
            link: LinkType::RAW,
            encapsulation,
            rss: 0,
            timestamp: Timestamp::ZERO,
            clock: Timestamp::ZERO,
            wire_len: 1,
            ip_at: 0,
            ip_len: 1,
            transport_at: 0,
            payload_at: 0,
            payload_len: 1,
            payload_captured: 1,
            transport: Transport::Other,
            unfinished: false,
        }
    }

    fn datagram(datagram: u8, frame: u8) -> Buffer {
        Buffer::Datagram { datagram, frame }
    }

    fn vlan(id: u16) -> Encapsulation {
        Encapsulation {
            layers: [Layer::Vlan(id)].into_iter().collect(),
        }
    }

    #[test]
    fn packets_keep_their_bytes_and_their_encapsulation() {
        let (mut parsed, mut batch) = burst(6);
        parsed.encapsulations.extend([vlan(1), vlan(2), vlan(3)]);
        parsed.datagrams = vec![vec![100], vec![101]];
        let picked = [
            packet(Buffer::Frame(1), 3),
            packet(datagram(1, 2), 0),
            packet(Buffer::Frame(4), 1),
            packet(Buffer::Frame(5), 3),
        ];
        let mut bundle = Bundle::<Frames>::default();
        for _ in 0..2 {
            for packet in &picked {
                bundle.add(packet, &mut parsed);
            }
            bundle.take_frames(&mut batch, false);

            let buffers: Vec<_> = bundle.parsed.packets.iter().map(|p| p.buffer).collect();
            assert_eq!(
                buffers,
                [
                    Buffer::Frame(0),
                    datagram(0, 1),
                    Buffer::Frame(2),
                    Buffer::Frame(3)
                ]
            );
            assert_eq!(bundle.batch, Frames(vec![1, 2, 4, 5]));
            assert_eq!(bundle.parsed.datagrams, [vec![101]]);
            assert_eq!(
                bundle.parsed.encapsulations,
                [Encapsulation::default(), vlan(3), vlan(1)],
                "each once"
            );
            let names: Vec<_> = bundle
                .parsed
                .packets
                .iter()
                .map(|p| p.encapsulation)
                .collect();
            assert_eq!(names, [1, 0, 2, 1]);

            // Again, in a bundle that was used before. Its buffer comes back for the next datagram.
            bundle.clear();
            parsed.datagrams[1] = vec![101];
        }
        bundle.add(&picked[1], &mut parsed);
        assert!(
            parsed.datagrams[1].capacity() > 0,
            "memory in exchange for memory"
        );
    }

    #[test]
    fn a_cleared_bundle_keeps_a_few_datagram_buffers_only() {
        let mut bundle = Bundle::<Frames>::default();
        let (mut parsed, _) = burst(0);
        for index in 0..10 {
            parsed.datagrams.push(vec![index]);
            bundle.add(&packet(datagram(index, index), 0), &mut parsed);
        }
        bundle.clear();
        assert_eq!(
            (bundle.spare.len(), bundle.parsed.datagrams.len()),
            (SPARE_MAX, 0)
        );
    }

    #[test]
    fn a_full_burst_of_tunnels_fits() {
        let full = u8::try_from(BURST_MAX).unwrap();
        let (mut parsed, mut batch) = burst(full);
        for index in 0..full {
            parsed.encapsulations.push(vlan(index.into()));
            parsed.packets[usize::from(index)].encapsulation = index + 1;
        }
        let mut bundle = Bundle::<Frames>::default();
        for packet in parsed.packets.clone() {
            bundle.add(&packet, &mut parsed);
        }
        bundle.take_frames(&mut batch, false);
        assert_eq!(bundle.parsed.encapsulations, parsed.encapsulations);
        assert_eq!(bundle.batch, batch);
    }
}
