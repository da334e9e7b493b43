//! The receiving half of a peer.

use mosaic_engine::wire::TcpFlags;

use super::{DELAYED_ACK_NS, Peer, Phase, Timer, option, timestamp_option, unwrap_position, wire};
use crate::segment::Segment;

impl Peer {
    /// Takes the other one's SYN, with the data on it where the plan says so.
    pub(super) fn take_syn(&mut self, now: u64, segment: &Segment) {
        self.receive.isn = Some(segment.seq);
        self.receive.expected = 1;
        if let (Some(ours), Some([theirs])) = (self.plan.scale, option(&segment.options, 3)) {
            self.receive.scale = ours;
            self.send.scale = *theirs;
        }
        if timestamp_option(&segment.options).is_none() {
            self.plan.timestamps = false;
            self.peer_timestamp = None;
        }
        self.sacks = self.plan.sack && option(&segment.options, 4).is_some();
        self.recent = timestamp_option(&segment.options).filter(|_| self.plan.timestamps);
        // The window of a SYN is never scaled (RFC 7323, section 2.2).
        self.send.edge = self.send.edge.max(1 + u64::from(segment.window));
        self.receive.edge = 1 + self.plan.buffer.min(65_535);
        if self.plan.takes_syn_payload && !segment.payload.is_empty() {
            self.store(1, &segment.payload);
            self.advance(now);
        }
    }

    /// The position of a segment's first byte or control.
    pub(super) fn received_position(&self, segment: &Segment) -> u64 {
        let isn = self.receive.isn.unwrap_or(segment.seq);
        let position = unwrap_position(isn, segment.seq, self.receive.expected);
        // Below the SYN there is nothing: such a segment is as old as one that begins with it.
        u64::try_from(position).unwrap_or(0)
    }

    /// A segment that begins below the SYN, without what lies there; `None` for any other. A middlebox that took bytes away may
    /// send such ones, as repetitions of what was there.
    pub(super) fn without_what_is_below(&self, segment: &Segment) -> Option<Segment> {
        let isn = self.receive.isn?;
        let position = unwrap_position(isn, segment.seq, self.receive.expected);
        let below = usize::try_from(-position).ok().filter(|below| *below > 0)?;
        let mut part = segment.clone();
        // The SYN's place has no byte.
        let skip = (below + 1).min(part.payload.len());
        part.payload.drain(..skip);
        part.seq = wire(isn, 1);
        if skip <= below {
            part.seq = isn;
            part.flags.remove(TcpFlags::FIN);
        }
        Some(part)
    }

    /// Takes what of a segment is new and inside the window, and acknowledges it, at once where it was not what was
    /// expected.
    pub(super) fn take_payload(
        &mut self,
        now: u64,
        position: u64,
        segment: &Segment,
        out: &mut Vec<Segment>,
    ) {
        let syn = segment.flags.contains(TcpFlags::SYN);
        let start = position + u64::from(syn);
        let expected = self.receive.expected;
        if self.phase != Phase::SynReceived || !syn {
            self.receive.latest = start;
            self.store(start, &segment.payload);
        }
        if segment.flags.contains(TcpFlags::FIN) {
            let fin = start + segment.payload.len() as u64;
            self.receive.fin.get_or_insert(fin);
        }
        self.advance(now);
        if segment.sequence_len() == 0 {
            // An empty segment below what is expected is a probe.
            if position < expected {
                self.send_ack(now, out);
            }
            return;
        }
        self.receive.ack_owed += 1;
        let in_order = start == expected && self.receive.expected > expected;
        if !in_order || self.receive.ack_owed >= 2 || segment.flags.contains(TcpFlags::FIN) {
            self.send_ack(now, out);
        } else if !self.is_armed(Timer::DelayedAck) {
            self.arm(Timer::DelayedAck, now + DELAYED_ACK_NS);
        }
    }

    /// Keeps the bytes inside the window.
    fn store(&mut self, start: u64, payload: &[u8]) {
        for (position, byte) in (start..).zip(payload) {
            if (self.receive.expected..self.receive.edge).contains(&position) {
                let offset = usize::try_from(position - 1).expect("data lies in memory");
                if self.receive.bytes.len() <= offset {
                    self.receive.bytes.resize(offset + 1, None);
                }
                self.receive.bytes[offset].get_or_insert(*byte);
            }
        }
    }

    /// Moves on over everything that is in order now, and lets the application read.
    fn advance(&mut self, now: u64) {
        let before = self.receive.expected;
        while let Ok(offset) = usize::try_from(self.receive.expected - 1) {
            match self.receive.bytes.get(offset) {
                Some(Some(_)) => self.receive.expected += 1,
                _ => break,
            }
        }
        let data = self.receive.expected - before;
        if self.receive.fin == Some(self.receive.expected) {
            self.receive.expected += 1;
        }
        if let Some((_, gap_ns)) = self.plan.slow_reads {
            self.receive.unread += data;
            if self.receive.unread > 0 && !self.is_armed(Timer::Read) {
                self.arm(Timer::Read, now + gap_ns);
            }
        }
    }

    /// The application reads a piece; a window that was closed is announced open again.
    pub(super) fn read(&mut self, now: u64, out: &mut Vec<Segment>) {
        let Some((most, gap_ns)) = self.plan.slow_reads else {
            return;
        };
        let was_closed = self.receive.edge <= self.receive.expected;
        self.receive.unread -= most.min(self.receive.unread);
        if self.receive.unread > 0 {
            self.arm(Timer::Read, now + gap_ns);
        }
        if was_closed {
            self.send_ack(now, out);
        }
    }

    pub(super) fn send_ack(&mut self, now: u64, out: &mut Vec<Segment>) {
        let position = self.send.highest.max(self.send.next);
        let ack = self.segment(now, position, TcpFlags::ACK);
        self.acknowledged();
        out.push(ack);
    }

    /// A segment with an acknowledgment has left: none is owed any more.
    pub(super) fn acknowledged(&mut self) {
        self.receive.ack_owed = 0;
        self.disarm(Timer::DelayedAck);
    }

    /// The window field of the next segment. A window never shrinks: its right edge is kept.
    pub(super) fn announce_window(&mut self, syn: bool) -> u16 {
        let free = self.plan.buffer.saturating_sub(self.receive.unread);
        let wanted = (self.receive.expected + free).max(self.receive.edge);
        let shift = if syn { 0 } else { self.receive.scale };
        let field = (wanted - self.receive.expected)
            .div_ceil(1 << shift)
            .min(65_535);
        if self.receive.isn.is_some() {
            self.receive.edge = self
                .receive
                .edge
                .max(self.receive.expected + (field << shift));
        }
        u16::try_from(field).expect("limited to 16 bits")
    }
}
