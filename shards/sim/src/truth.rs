//! What the tap saw, told the slow and simple way.

use mosaic_engine::event::Side;
use mosaic_engine::wire::TcpFlags;

use crate::peer::unwrap_position;
use crate::segment::{Ends, Segment, ip_len};

/// What a direction's stream offsets count from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Base {
    /// Its own SYN.
    Syn,
    /// The acknowledgment of the other side's SYN/ACK.
    SynAckOfPeer,
    /// Its first segment that was recorded.
    FirstSegment,
}

/// One direction of a connection: what its sender sent, as far as the tap recorded it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Direction {
    /// Segments.
    pub packets: u64,
    /// Bytes of their IP packets, as if none had been fragmented.
    pub ip_bytes: u64,
    /// Their payload bytes, repetitions and what rides on a RST included.
    pub payload_bytes: u64,
    /// Payload bytes that had been recorded before, those on a RST left out.
    pub repeated_bytes: u64,
    /// Segments with SYN.
    pub syn: u32,
    /// Segments with FIN.
    pub fin: u32,
    /// Segments with RST.
    pub rst: u32,
    /// The stream by offset; the first copy of each byte counts.
    pub bytes: Vec<Option<u8>>,
    /// What offset 0 is; `None` where nothing but RSTs was recorded.
    pub base: Option<Base>,
    /// Offset behind the last byte, where a FIN was recorded.
    pub fin_at: Option<u64>,
    /// Largest offset the other side acknowledged; one more than `fin_at` where that was the FIN.
    pub acked: u64,
    /// What the sender's application had to send, recorded or not.
    pub sent: Vec<u8>,
    /// What the receiver got in order.
    pub received: Vec<u8>,
    base_seq: u32,
    /// Offset near which the next sequence number is understood.
    near: u64,
}

impl Direction {
    /// The recorded bytes in order, holes left out.
    pub fn stream(&self) -> Vec<u8> {
        self.bytes.iter().flatten().copied().collect()
    }

    /// Offset and length of every hole that recorded bytes stand behind.
    pub fn holes(&self) -> Vec<(u64, u64)> {
        let mut holes: Vec<(u64, u64)> = Vec::new();
        for (offset, byte) in (0_u64..).zip(&self.bytes) {
            match (byte, holes.last_mut()) {
                (Some(_), _) => {}
                (None, Some((start, len))) if *start + *len == offset => *len += 1,
                (None, _) => holes.push((offset, 1)),
            }
        }
        holes
    }

    fn offset(&self, seq: u32) -> i64 {
        unwrap_position(self.base_seq, seq, self.near)
    }

    fn store(&mut self, offset: i64, payload: &[u8]) {
        for (offset, byte) in (offset..).zip(payload) {
            let Ok(offset) = usize::try_from(offset) else {
                continue;
            };
            if self.bytes.len() <= offset {
                self.bytes.resize(offset + 1, None);
            }
            self.repeated_bytes += u64::from(self.bytes[offset].is_some());
            self.bytes[offset].get_or_insert(*byte);
        }
    }
}

/// One connection, as far as the tap recorded it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conversation {
    /// Addresses and ports. `Side::Client` here is the end that the world let open, whatever the tap saw.
    pub ends: Ends,
    /// How many connections the 5-tuple had before this one.
    pub generation: usize,
    /// Who a viewer must take for the client: sender of a SYN, receiver of a SYN/ACK, otherwise sender of the first packet.
    pub client: Side,
    /// What was recorded, by sender.
    pub directions: [Direction; 2],
    /// Index of the first recorded frame.
    pub first_frame: usize,
    /// Index of the last recorded frame.
    pub last_frame: usize,
    /// What was recorded does not tell for certain where the connection begins or what its streams' offsets count from:
    /// only the numbers of packets and bytes can be compared.
    pub ambiguous: bool,
}

impl Conversation {
    pub(crate) fn new(ends: Ends, generation: usize) -> Self {
        Self {
            ends,
            generation,
            client: Side::Client,
            directions: [Direction::default(), Direction::default()],
            first_frame: 0,
            last_frame: 0,
            ambiguous: false,
        }
    }

    /// Packets recorded, of both directions.
    pub fn packets(&self) -> u64 {
        self.directions
            .iter()
            .map(|direction| direction.packets)
            .sum()
    }

    /// What `side` sent.
    pub fn sent_by(&self, side: Side) -> &Direction {
        &self.directions[side as usize]
    }

    /// Both sides' FIN, and both acknowledgments of them, were recorded.
    pub fn closed_by_fin(&self) -> bool {
        self.directions
            .iter()
            .all(|direction| direction.fin_at.is_some_and(|fin| direction.acked > fin))
    }

    /// A RST was recorded.
    pub fn saw_reset(&self) -> bool {
        self.directions.iter().any(|direction| direction.rst > 0)
    }

    /// The tap recorded `segment`, in frame `frame`.
    pub(crate) fn record(&mut self, segment: &Segment, frame: usize) {
        self.note_client(segment, frame);
        self.last_frame = frame;
        let payload = segment.payload.len() as u64;
        let flags = segment.flags;
        let direction = &mut self.directions[segment.sender as usize];
        direction.packets += 1;
        direction.ip_bytes += u64::from(ip_len(&self.ends, segment));
        direction.payload_bytes += payload;
        direction.syn += u32::from(flags.contains(TcpFlags::SYN));
        direction.fin += u32::from(flags.contains(TcpFlags::FIN));
        direction.rst += u32::from(flags.contains(TcpFlags::RST));
        self.note_base(segment);
        if flags.contains(TcpFlags::RST) {
            return;
        }
        let direction = &mut self.directions[segment.sender as usize];
        let syn = u32::from(flags.contains(TcpFlags::SYN));
        let offset = direction.offset(segment.seq.wrapping_add(syn));
        direction.store(offset, &segment.payload);
        let end = u64::try_from(offset).map_or(0, |offset| offset + payload);
        if flags.contains(TcpFlags::FIN) {
            direction.fin_at.get_or_insert(end);
        }
        direction.near = direction.near.max(end);
        self.note_ack(segment);
    }

    fn note_client(&mut self, segment: &Segment, frame: usize) {
        let syn = segment.flags.contains(TcpFlags::SYN);
        let opens = syn && !segment.flags.contains(TcpFlags::ACK);
        let packets = self.packets();
        if packets == 0 {
            self.first_frame = frame;
            let answers = syn && !opens;
            self.client = if answers {
                segment.sender.other()
            } else {
                segment.sender
            };
            // Nothing but a SYN tells a reused 5-tuple from the connection before.
            self.ambiguous |= self.generation > 0 && !opens;
        } else if opens && segment.sender != self.client {
            // Simultaneous open is plain while nothing but the other SYN was seen.
            let opened: u64 = self
                .directions
                .iter()
                .map(|direction| u64::from(direction.syn))
                .sum();
            self.ambiguous |= opened < packets;
        }
    }

    fn note_base(&mut self, segment: &Segment) {
        let first = segment.seq.wrapping_add(1);
        let syn = segment.flags.contains(TcpFlags::SYN);
        let direction = &mut self.directions[segment.sender as usize];
        match direction.base {
            // A SYN that contradicts what was assumed before it came.
            Some(_) if syn && direction.base_seq != first => self.ambiguous = true,
            Some(_) => {}
            None if syn => (direction.base, direction.base_seq) = (Some(Base::Syn), first),
            None if segment.flags.contains(TcpFlags::RST) => {}
            None => (direction.base, direction.base_seq) = (Some(Base::FirstSegment), segment.seq),
        }
        let other = &mut self.directions[segment.sender.other() as usize];
        if syn && segment.flags.contains(TcpFlags::ACK) && other.base.is_none() {
            (other.base, other.base_seq) = (Some(Base::SynAckOfPeer), segment.ack);
        }
    }

    fn note_ack(&mut self, segment: &Segment) {
        let other = &mut self.directions[segment.sender.other() as usize];
        if segment.flags.contains(TcpFlags::ACK) && other.base.is_some() {
            let acked = u64::try_from(other.offset(segment.ack)).unwrap_or(0);
            other.acked = other.acked.max(acked);
        }
    }
}
