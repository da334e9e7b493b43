//! The sending half of a peer.

use mosaic_engine::wire::TcpFlags;

use super::{Close, MILLISECOND, PROBES_MAX, Peer, Phase, RETRANSMIT_NS, Timer, unwrap_position};
use crate::random::PerMille;
use crate::segment::Segment;

impl Peer {
    /// SYN, or SYN/ACK once the other one's SYN is known; the first one may carry data.
    pub(super) fn send_syn(&mut self, now: u64, out: &mut Vec<Segment>) {
        let first = self.send.highest == 0;
        let flags = if self.receive.isn.is_some() {
            TcpFlags::SYN | TcpFlags::ACK
        } else {
            TcpFlags::SYN
        };
        let mut syn = self.segment(now, 0, flags);
        if first || self.random.happens(PerMille(300)) {
            let len = self.plan.syn_payload.min(self.plan.data.len());
            syn.payload = self.plan.data[..len].to_vec();
        }
        self.send.next = 1 + syn.payload.len() as u64;
        self.send.highest = self.send.highest.max(self.send.next);
        self.send.written = self.send.written.max(syn.payload.len() as u64);
        out.push(syn);
        self.arm_retransmit(now);
    }

    /// The application writes a piece, and plans its next write.
    pub(super) fn write(&mut self, now: u64) {
        let size = self.random.size(1..=self.plan.write_max) as u64;
        let all = self.plan.data.len() as u64;
        self.send.written = (self.send.written + size).min(all);
        if self.send.written < all {
            let gap = self.random.within(0..=self.plan.write_gap_ns);
            self.arm(Timer::Write, now + gap);
        }
    }

    /// Sends what may be sent now.
    pub(super) fn transmit(&mut self, now: u64, out: &mut Vec<Segment>) {
        if self.phase != Phase::Open {
            return;
        }
        if self.ends_by_itself(now, out) {
            return;
        }
        let ahead = self.send.unacked + self.plan.ahead * u64::from(self.plan.mss);
        let limit = (1 + self.send.written).min(self.send.edge).min(ahead);
        while self.send.next < limit {
            self.send_data(now, limit, out);
        }
        if self.closes() && self.send.next == self.fin_position() {
            let fin = self.segment(now, self.send.next, TcpFlags::FIN | TcpFlags::ACK);
            self.sent(fin, 1, out);
        }
        let waits_for_window = self.send.next < 1 + self.send.written;
        if (self.send.unacked < self.send.next || waits_for_window)
            && !self.is_armed(Timer::Retransmit)
        {
            self.arm_retransmit(now);
        }
    }

    /// One segment of data from `next` on, not beyond `limit`; with the FIN where it ends the stream.
    fn send_data(&mut self, now: u64, limit: u64, out: &mut Vec<Segment>) {
        let mss = u64::from(self.plan.mss);
        let most = mss.min(limit - self.send.next);
        let len = if self.random.happens(PerMille(200)) {
            self.random.within(1..=most)
        } else {
            most
        };
        let mut flags = TcpFlags::ACK;
        let end = self.send.next + len;
        if end == 1 + self.send.written {
            flags |= TcpFlags::PSH;
        }
        let with_fin =
            self.closes() && end == self.fin_position() && self.random.happens(PerMille(500));
        if with_fin {
            flags |= TcpFlags::FIN;
        }
        let mut segment = self.segment(now, self.send.next, flags);
        segment.payload = self.payload(self.send.next, len);
        self.sent(segment, len + u64::from(with_fin), out);
    }

    /// Bytes of the stream at `position`; sometimes others, where they were sent before and the plan says so.
    fn payload(&mut self, position: u64, len: u64) -> Vec<u8> {
        let start = usize::try_from(position - 1).expect("data lies in memory");
        let len = usize::try_from(len).expect("a segment is short");
        let repeated = position + len as u64 <= self.send.highest;
        if repeated && self.random.happens(self.plan.garbage) {
            return self.random.bytes(len);
        }
        self.plan.data[start..start + len].to_vec()
    }

    fn sent(&mut self, segment: Segment, sequence_len: u64, out: &mut Vec<Segment>) {
        self.send.next += sequence_len;
        self.send.highest = self.send.highest.max(self.send.next);
        self.acknowledged();
        out.push(segment);
    }

    /// Whether the FIN may follow the data.
    fn closes(&self) -> bool {
        let written = self.send.written == self.plan.data.len() as u64;
        match self.plan.close {
            Close::WhenSent => written,
            Close::AfterPeer => {
                written
                    && self
                        .receive
                        .fin
                        .is_some_and(|fin| self.receive.expected > fin)
            }
            Close::Reset { .. } | Close::Vanish { .. } => false,
        }
    }

    /// RST or sudden silence, where the plan has come to that.
    fn ends_by_itself(&mut self, now: u64, out: &mut Vec<Segment>) -> bool {
        match self.plan.close {
            Close::Reset { after } if self.send.unacked > after => {
                let mut reset = self.segment(now, self.send.next, TcpFlags::RST | TcpFlags::ACK);
                if self.random.happens(PerMille(200)) {
                    reset.payload = b"connection reset by application".to_vec();
                }
                out.push(reset);
                self.phase = Phase::Gone;
                true
            }
            Close::Vanish { after } if self.receive.expected > after => {
                self.plan.resets_strangers = false;
                self.phase = Phase::Gone;
                true
            }
            _ => false,
        }
    }

    /// The retransmission timer is over: everything from the first unacknowledged byte on is sent again, cut anew.
    pub(super) fn retransmit(&mut self, now: u64, out: &mut Vec<Segment>) {
        if self.send.unacked == self.send.next && self.phase == Phase::Open {
            return self.probe_window(now, out);
        }
        self.send.retries += 1;
        // The other one may have given up what it said it had (RFC 2018, section 8).
        self.send.sacked.clear();
        if self.send.retries > self.plan.retries_max {
            return self.give_up(now, out);
        }
        match self.phase {
            Phase::SynSent | Phase::SynReceived => self.send_syn(now, out),
            Phase::Open => {
                self.send.next = self.send.unacked;
                self.transmit(now, out);
                self.arm_retransmit(now);
            }
            Phase::Listen | Phase::Linger | Phase::Gone => {}
        }
    }

    fn give_up(&mut self, now: u64, out: &mut Vec<Segment>) {
        if self.phase == Phase::Open && self.random.happens(PerMille(500)) {
            let reset = self.segment(now, self.send.highest, TcpFlags::RST | TcpFlags::ACK);
            out.push(reset);
        }
        self.phase = Phase::Gone;
    }

    /// The other one's window is closed: one byte beyond it as BSD does, or none just below it as Linux does.
    fn probe_window(&mut self, now: u64, out: &mut Vec<Segment>) {
        if self.send.next > self.send.written {
            return;
        }
        self.send.probes += 1;
        if self.send.probes > PROBES_MAX {
            return self.give_up(now, out);
        }
        if self.random.happens(PerMille(500)) {
            let mut probe = self.segment(now, self.send.next, TcpFlags::ACK);
            probe.payload = self.payload(self.send.next, 1);
            self.send.highest = self.send.highest.max(self.send.next + 1);
            out.push(probe);
        } else {
            let probe = self.segment(now, self.send.unacked - 1, TcpFlags::ACK);
            out.push(probe);
        }
        self.arm_retransmit(now);
    }

    /// The position an acknowledgment names; `None` for one of something never sent.
    pub(super) fn acked_position(&self, segment: &Segment) -> Option<u64> {
        let acked = unwrap_position(self.plan.isn, segment.ack, self.send.unacked);
        u64::try_from(acked)
            .ok()
            .filter(|acked| *acked <= self.send.highest)
    }

    pub(super) fn take_ack(&mut self, now: u64, segment: &Segment, out: &mut Vec<Segment>) {
        let Some(acked) = self.acked_position(segment) else {
            return;
        };
        let shift = if segment.flags.contains(TcpFlags::SYN) {
            0
        } else {
            self.send.scale
        };
        let edge = acked + (u64::from(segment.window) << shift);
        let opens = edge > self.send.edge;
        self.send.edge = self.send.edge.max(edge);
        if matches!(self.phase, Phase::SynSent | Phase::SynReceived) && acked >= 1 {
            self.phase = Phase::Open;
            self.send.next = acked;
        }
        let tells_sacks = self.take_sacks(segment);
        if acked > self.send.unacked {
            self.send.unacked = acked;
            self.send.sacked.retain(|(_, end)| *end > acked);
            self.send.next = self.send.next.max(acked);
            (
                self.send.retries,
                self.send.probes,
                self.send.duplicate_acks,
            ) = (0, 0, 0);
            self.disarm(Timer::Retransmit);
            if self.send.unacked < self.send.next {
                self.arm_retransmit(now);
            }
        } else if acked == self.send.unacked
            && segment.sequence_len() == 0
            && !opens
            && acked < self.send.next
            && (tells_sacks || !self.sacks)
        {
            self.send.duplicate_acks += 1;
            if self.send.duplicate_acks == 3 {
                self.retransmit_fast(now, out);
            }
        }
    }

    /// Three duplicate acknowledgments: one segment again (RFC 5681, section 3.2).
    fn retransmit_fast(&mut self, now: u64, out: &mut Vec<Segment>) {
        let resume = self.send.next;
        let end = self
            .send
            .next
            .min(1 + self.send.written)
            .min(self.send.edge);
        self.send.next = self.send.unacked;
        let hole = self.send.sacked.iter().map(|(start, _)| *start).min();
        let end = end.min(hole.unwrap_or(end));
        if self.phase == Phase::Open && self.send.next < end {
            self.send_data(now, end, out);
        }
        self.send.next = resume.max(self.send.next);
    }

    fn arm_retransmit(&mut self, now: u64) {
        let backoff = (self.send.retries + self.send.probes).min(6);
        let spread = self.random.within(0..=20 * MILLISECOND);
        self.arm(Timer::Retransmit, now + (RETRANSMIT_NS << backoff) + spread);
    }
}
