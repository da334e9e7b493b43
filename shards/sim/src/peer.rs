//! A TCP endpoint, just real enough: it sends what a real one might, and takes what a real one must.
//!
//! Inputs are segments and the time, outputs are segments and the next deadline. Sequence numbers are kept as 64-bit
//! *positions*: 0 is the SYN, 1 the first byte of data, the FIN stands behind the last one.

mod receive;
mod sack;
mod send;

use mosaic_engine::event::Side;
use mosaic_engine::wire::TcpFlags;

use crate::random::{PerMille, Random};
use crate::segment::Segment;

const MILLISECOND: u64 = 1_000_000;
/// First retransmission timeout, in nanoseconds; doubled with each repetition.
const RETRANSMIT_NS: u64 = 200 * MILLISECOND;
const DELAYED_ACK_NS: u64 = 40 * MILLISECOND;
/// Window probes after which a peer gives up, so that every run ends.
const PROBES_MAX: u32 = 60;
/// Keep-alive probes after which a peer stops sending them, so that every run ends.
const KEEP_ALIVES_MAX: u32 = 12;

/// How a peer's application ends the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Close {
    /// FIN as soon as all is written; it still reads what the other one sends.
    WhenSent,
    /// FIN once the other one has sent its FIN and all is written.
    AfterPeer,
    /// RST when this many bytes were sent.
    Reset { after: u64 },
    /// Silence, as of a host that lost power, when this many bytes were received.
    Vanish { after: u64 },
}

/// Everything about a peer that is decided before the connection begins.
#[derive(Clone, Debug)]
pub(crate) struct PeerPlan {
    /// What its application sends.
    pub(crate) data: Vec<u8>,
    pub(crate) isn: u32,
    /// The most payload bytes of a segment, announced and kept to.
    pub(crate) mss: u16,
    /// The most segments sent ahead of an acknowledgment.
    pub(crate) ahead: u64,
    /// Receive buffer in bytes.
    pub(crate) buffer: u64,
    /// Window scale offered (RFC 7323).
    pub(crate) scale: Option<u8>,
    /// Whether timestamps are offered (RFC 7323).
    pub(crate) timestamps: bool,
    /// How much of `data` rides on the SYN (RFC 7413).
    pub(crate) syn_payload: usize,
    /// Whether data on the other one's SYN is taken.
    pub(crate) takes_syn_payload: bool,
    /// Largest size of a write, in bytes.
    pub(crate) write_max: usize,
    /// Longest pause between writes, in nanoseconds.
    pub(crate) write_gap_ns: u64,
    /// Largest size of a read, in bytes, and pause between reads; reads everything at once where `None`.
    pub(crate) slow_reads: Option<(u64, u64)>,
    pub(crate) close: Close,
    /// Idle time after which it probes, in nanoseconds.
    pub(crate) keep_alive_ns: Option<u64>,
    /// Repetitions of a segment before the peer gives up.
    pub(crate) retries_max: u32,
    /// How often repeated bytes are others than the first time.
    pub(crate) garbage: PerMille,
    /// Whether a connection it does not know is answered with RST.
    pub(crate) resets_strangers: bool,
    /// The longest time it acknowledges repetitions once all is done, in nanoseconds.
    pub(crate) linger_ns: u64,
    /// Whether selective acknowledgments are offered (RFC 2018).
    pub(crate) sack: bool,
    /// Whether segments older than others are refused (RFC 7323, section 5).
    pub(crate) paws: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Listen,
    SynSent,
    SynReceived,
    Open,
    /// Everything is sent and received; duplicates are still acknowledged.
    Linger,
    Gone,
}

#[derive(Clone, Copy)]
enum Timer {
    Retransmit,
    DelayedAck,
    Write,
    Read,
    KeepAlive,
    Linger,
}

const TIMERS: [Timer; 6] = [
    Timer::Retransmit,
    Timer::DelayedAck,
    Timer::Write,
    Timer::Read,
    Timer::KeepAlive,
    Timer::Linger,
];

/// One end of a connection.
pub(crate) struct Peer {
    side: Side,
    plan: PeerPlan,
    random: Random,
    phase: Phase,
    timers: [Option<u64>; TIMERS.len()],
    send: Sending,
    receive: Receiving,
    keep_alives: u32,
    /// Most recent timestamp value of the other one; `None` unless both offered timestamps.
    peer_timestamp: Option<u32>,
    /// Timestamp value of the last segment that came in order, where it judges by them.
    recent: Option<u32>,
    /// Both ends go by selective acknowledgments.
    sacks: bool,
}

/// What is known of the direction it sends in.
#[derive(Default)]
struct Sending {
    /// Bytes of data the application has written.
    written: u64,
    /// First position not acknowledged.
    unacked: u64,
    /// Position to send next.
    next: u64,
    /// First position never sent.
    highest: u64,
    /// First position outside the other one's window.
    edge: u64,
    /// Shift of the windows the other one announces.
    scale: u8,
    retries: u32,
    probes: u32,
    duplicate_acks: u32,
    /// Ranges beyond `unacked` that the other one says it has.
    sacked: Vec<(u64, u64)>,
}

/// What is known of the direction it receives in.
#[derive(Default)]
struct Receiving {
    isn: Option<u32>,
    /// Next position expected.
    expected: u64,
    /// Data by offset.
    bytes: Vec<Option<u8>>,
    /// Position of the FIN.
    fin: Option<u64>,
    /// In-order bytes the application has not read.
    unread: u64,
    /// First position outside the window that was announced.
    edge: u64,
    /// Shift of the windows announced.
    scale: u8,
    /// In-order segments not acknowledged yet.
    ack_owed: u32,
    /// First position of the segment that came last.
    latest: u64,
    /// Largest position acknowledged.
    told: u64,
}

impl Peer {
    pub(crate) fn new(side: Side, plan: PeerPlan, random: Random) -> Self {
        Self {
            side,
            plan,
            random,
            phase: Phase::Listen,
            timers: [None; TIMERS.len()],
            send: Sending::default(),
            receive: Receiving::default(),
            keep_alives: 0,
            peer_timestamp: None,
            recent: None,
            sacks: false,
        }
    }

    /// Opens the connection actively.
    pub(crate) fn connect(&mut self, now: u64, out: &mut Vec<Segment>) {
        self.phase = Phase::SynSent;
        self.write(now);
        self.send_syn(now, out);
    }

    /// Nobody listens here: every SYN is answered with RST.
    pub(crate) fn refuse_all(&mut self) {
        self.phase = Phase::Gone;
    }

    /// Takes a segment that arrived.
    pub(crate) fn handle_segment(&mut self, now: u64, segment: &Segment, out: &mut Vec<Segment>) {
        self.note_timestamp(segment);
        match self.phase {
            Phase::Gone => self.refuse(segment, out),
            Phase::Listen => self.accept(now, segment, out),
            Phase::SynSent => self.handle_answer(now, segment, out),
            Phase::SynReceived | Phase::Open | Phase::Linger => {
                self.handle_known(now, segment, out)
            }
        }
        self.arm_keep_alive(now);
    }

    /// Does what is due.
    pub(crate) fn handle_time(&mut self, now: u64, out: &mut Vec<Segment>) {
        for timer in TIMERS {
            if self.timers[timer as usize].is_some_and(|at| at <= now) {
                self.timers[timer as usize] = None;
                if self.phase != Phase::Gone {
                    self.fire(timer, now, out);
                }
            }
        }
    }

    /// When [`handle_time`](Self::handle_time) is to be called next.
    pub(crate) fn poll_deadline(&self) -> Option<u64> {
        if self.phase == Phase::Gone {
            None
        } else {
            self.timers.iter().flatten().min().copied()
        }
    }

    /// Whether it will send nothing more of its own accord.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Gone | Phase::Linger)
    }

    /// Whether everything it sent was acknowledged, its FIN included, and it has the other one's.
    pub(crate) fn is_done(&self) -> bool {
        self.send.unacked > self.fin_position()
            && self
                .receive
                .fin
                .is_some_and(|fin| self.receive.expected > fin)
    }

    /// What it received in order.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.receive.bytes.iter().map_while(|byte| *byte).collect()
    }

    /// What its application has to send.
    pub(crate) fn data(&self) -> &[u8] {
        &self.plan.data
    }

    fn fire(&mut self, timer: Timer, now: u64, out: &mut Vec<Segment>) {
        match timer {
            Timer::Retransmit => self.retransmit(now, out),
            Timer::DelayedAck => self.send_ack(now, out),
            Timer::Write => {
                self.write(now);
                self.transmit(now, out);
            }
            Timer::Read => self.read(now, out),
            Timer::KeepAlive => self.probe_idle(now, out),
            Timer::Linger => self.phase = Phase::Gone,
        }
    }

    fn arm(&mut self, timer: Timer, at: u64) {
        self.timers[timer as usize] = Some(at);
    }

    fn disarm(&mut self, timer: Timer) {
        self.timers[timer as usize] = None;
    }

    fn is_armed(&self, timer: Timer) -> bool {
        self.timers[timer as usize].is_some()
    }

    /// A SYN for a listener, taken; anything else is refused.
    fn accept(&mut self, now: u64, segment: &Segment, out: &mut Vec<Segment>) {
        if !segment.flags.contains(TcpFlags::SYN) || segment.flags.contains(TcpFlags::ACK) {
            return self.refuse(segment, out);
        }
        self.phase = Phase::SynReceived;
        self.write(now);
        self.take_syn(now, segment);
        self.send_syn(now, out);
    }

    /// An answer to our SYN: SYN/ACK, a crossing SYN, or a refusal.
    fn handle_answer(&mut self, now: u64, segment: &Segment, out: &mut Vec<Segment>) {
        let acks_syn = segment.flags.contains(TcpFlags::ACK)
            && self.acked_position(segment).is_some_and(|acked| acked >= 1);
        if segment.flags.contains(TcpFlags::RST) {
            if acks_syn {
                self.phase = Phase::Gone;
            }
            return;
        }
        if !segment.flags.contains(TcpFlags::SYN) {
            return;
        }
        self.take_syn(now, segment);
        if acks_syn {
            self.take_ack(now, segment, out);
            self.send_ack(now, out);
            self.transmit(now, out);
        } else {
            self.phase = Phase::SynReceived;
            self.send_syn(now, out);
        }
    }

    fn handle_known(&mut self, now: u64, segment: &Segment, out: &mut Vec<Segment>) {
        let inside;
        let segment = match self.without_what_is_below(segment) {
            Some(part) => {
                inside = part;
                &inside
            }
            None => segment,
        };
        let position = self.received_position(segment);
        if segment.flags.contains(TcpFlags::RST) {
            if (self.receive.expected..=self.receive.edge).contains(&position) {
                self.phase = Phase::Gone;
            }
            return;
        }
        if self.is_old(position, segment) {
            return self.send_ack(now, out);
        }
        if self.phase == Phase::SynReceived
            && segment.flags.contains(TcpFlags::SYN)
            && !segment.flags.contains(TcpFlags::ACK)
        {
            return self.send_syn(now, out);
        }
        if segment.flags.contains(TcpFlags::ACK) {
            self.take_ack(now, segment, out);
        }
        self.take_payload(now, position, segment, out);
        if self.phase != Phase::Gone {
            self.transmit(now, out);
            self.finish_when_done(now);
        }
    }

    /// What a host says to a segment of a connection it does not know (RFC 9293, section 3.10.7.1).
    fn refuse(&mut self, segment: &Segment, out: &mut Vec<Segment>) {
        if segment.flags.contains(TcpFlags::RST) || !self.plan.resets_strangers {
            return;
        }
        let (seq, ack, flags) = if segment.flags.contains(TcpFlags::ACK) {
            (segment.ack, 0, TcpFlags::RST)
        } else {
            let ack = wire(segment.seq, segment.sequence_len());
            (0, ack, TcpFlags::RST | TcpFlags::ACK)
        };
        let (options, payload) = (Vec::new(), Vec::new());
        out.push(Segment {
            sender: self.side,
            seq,
            ack,
            flags,
            window: 0,
            options,
            payload,
        });
    }

    fn finish_when_done(&mut self, now: u64) {
        let sent = self.send.unacked > self.fin_position();
        let received = self
            .receive
            .fin
            .is_some_and(|fin| self.receive.expected > fin);
        if sent && received && self.phase == Phase::Open {
            self.phase = Phase::Linger;
            self.disarm(Timer::KeepAlive);
            let linger_max = self.plan.linger_ns;
            let linger = self
                .random
                .within(linger_max / 2 * u64::from(linger_max > 1 << 32)..=linger_max);
            self.arm(Timer::Linger, now + linger);
        }
    }

    fn note_timestamp(&mut self, segment: &Segment) {
        if let (true, Some(value)) = (self.plan.timestamps, timestamp_option(&segment.options)) {
            self.peer_timestamp = Some(value);
        }
    }

    fn arm_keep_alive(&mut self, now: u64) {
        if self.phase != Phase::Open || self.keep_alives >= KEEP_ALIVES_MAX {
            return;
        }
        if let Some(idle) = self.plan.keep_alive_ns {
            self.arm(Timer::KeepAlive, now + idle);
        }
    }

    /// A keep-alive probe: nothing or one byte just below what the other one expects (RFC 9293, section 3.8.4).
    fn probe_idle(&mut self, now: u64, out: &mut Vec<Segment>) {
        if self.phase != Phase::Open || self.send.unacked != self.send.next {
            return;
        }
        self.keep_alives += 1;
        let mut probe = self.segment(now, self.send.unacked - 1, TcpFlags::ACK);
        if self.random.happens(PerMille(500)) {
            probe.payload = vec![0];
        }
        out.push(probe);
        self.arm_keep_alive(now);
    }

    /// A segment without payload at `position`, acknowledging what was received.
    fn segment(&mut self, now: u64, position: u64, flags: TcpFlags) -> Segment {
        let ack = self
            .receive
            .isn
            .map_or(0, |isn| wire(isn, self.receive.expected));
        let options = if flags.contains(TcpFlags::SYN) {
            self.syn_options(now)
        } else {
            self.options(now)
        };
        let seq = wire(self.plan.isn, position);
        self.receive.told = self.receive.told.max(self.receive.expected);
        let window = self.announce_window(flags.contains(TcpFlags::SYN));
        Segment {
            sender: self.side,
            seq,
            ack,
            flags,
            window,
            options,
            payload: Vec::new(),
        }
    }

    fn options(&self, now: u64) -> Vec<u8> {
        let mut options = Vec::new();
        if let Some(echo) = self.peer_timestamp {
            options.extend([1, 1]);
            options.extend(timestamps(now, echo));
        }
        self.add_sacks(&mut options);
        options
    }

    fn syn_options(&self, now: u64) -> Vec<u8> {
        let mut options = vec![2, 4];
        options.extend(self.plan.mss.to_be_bytes());
        if self.plan.timestamps && (self.phase == Phase::SynSent || self.peer_timestamp.is_some()) {
            options.extend([4, 2]);
            options.extend(timestamps(now, self.peer_timestamp.unwrap_or(0)));
        } else if self.plan.sack {
            options.extend([4, 2, 1, 1]);
        }
        if let Some(shift) = self.offered_scale() {
            options.extend([1, 3, 3, shift]);
        }
        options
    }

    /// The shift for our SYN: an answer to a SYN without one must not have one (RFC 7323, section 2.2).
    fn offered_scale(&self) -> Option<u8> {
        self.plan
            .scale
            .filter(|_| self.receive.isn.is_none() || self.receive.scale > 0)
    }

    fn fin_position(&self) -> u64 {
        1 + self.plan.data.len() as u64
    }
}

/// The sequence number of `position` in a direction that begins with `isn`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "sequence numbers count modulo 2^32"
)]
pub(crate) fn wire(isn: u32, position: u64) -> u32 {
    isn.wrapping_add(position as u32)
}

/// The position of `seq` nearest to `near`; negative for one below the SYN.
#[expect(
    clippy::cast_possible_wrap,
    reason = "the difference of sequence numbers is signed"
)]
pub(crate) fn unwrap_position(isn: u32, seq: u32, near: u64) -> i64 {
    let difference = seq.wrapping_sub(wire(isn, near)) as i32;
    near as i64 + i64::from(difference)
}

fn timestamps(now: u64, echo: u32) -> Vec<u8> {
    let value = u32::try_from(now / MILLISECOND % (1 << 32)).expect("reduced modulo 2^32");
    let mut option = vec![8, 10];
    option.extend(value.to_be_bytes());
    option.extend(echo.to_be_bytes());
    option
}

fn timestamp_option(options: &[u8]) -> Option<u32> {
    let value = option(options, 8)?;
    Some(u32::from_be_bytes(*value.first_chunk()?))
}

/// The value of the first option of `kind`.
fn option(mut options: &[u8], kind: u8) -> Option<&[u8]> {
    loop {
        match options {
            [] | [0, ..] => return None,
            [1, rest @ ..] => options = rest,
            [found, len, rest @ ..] => {
                let value = rest.get(..usize::from(*len).checked_sub(2)?)?;
                if *found == kind {
                    return Some(value);
                }
                options = &rest[value.len()..];
            }
            [_] => return None,
        }
    }
}
