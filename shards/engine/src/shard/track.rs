//! Facts of the last packet of each side, and round trips as they look from the middle.
//!
//! Round trips are taken from the handshake of every connection. All else is kept only for flows of which a monitor asked
//! for it ([`MonitorBuilder::track`](crate::actor::MonitorBuilder::track)), beside the flow table: other flows pay nothing.

use crate::flow::per_flow::PerFlow;
use core::time::Duration;
use mosaic_port::Timestamp;

use super::Shard;
use super::context::FlowContext;
use crate::event::Side;
use crate::flow::entry::{Cold, Flags, Hot};
use crate::tcp::Seq;
use crate::wire::{Packet, TcpFlags, Transport};

/// The last packet of a side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastPacket {
    /// When it was captured.
    pub time: Timestamp,
    /// Time to live, or hop limit, of the innermost IP header.
    pub ttl: u8,
    /// Payload bytes by the headers.
    pub payload_len: u32,
    /// What its TCP header said; `None` where it is not TCP.
    pub segment: Option<LastSegment>,
}

/// What the TCP header of a side's last packet said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastSegment {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number; `None` without ACK.
    pub ack: Option<u32>,
    /// Window in bytes, scaled as the side announced (RFC 7323; that of a SYN is not).
    pub window: u32,
    /// Control bits.
    pub flags: TcpFlags,
}

/// How long it takes from here to a side and back, as far as its acknowledgments tell: the delay of the network, and how
/// long the host waits before it acknowledges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoundTrip {
    /// The smoothed estimate (RFC 6298, section 2: SRTT).
    pub smoothed: Duration,
    /// Its variation (RTTVAR).
    pub variation: Duration,
    /// The shortest.
    pub min: Duration,
    /// The latest.
    pub latest: Duration,
    /// How many were measured; 1 where only the handshake was.
    pub samples: u32,
}

impl RoundTrip {
    /// After the first measurement (RFC 6298, rule 2.2).
    fn first(sample: Duration) -> Self {
        Self {
            smoothed: sample,
            variation: sample / 2,
            min: sample,
            latest: sample,
            samples: 1,
        }
    }

    /// After another one (rule 2.3, with the recommended gains).
    fn then(self, sample: Duration) -> Self {
        let error = self.smoothed.abs_diff(sample);
        Self {
            variation: (self.variation * 3 + error) / 4,
            smoothed: (self.smoothed * 7 + sample) / 8,
            min: self.min.min(sample),
            latest: sample,
            samples: self.samples.saturating_add(1),
        }
    }
}

/// What is known of one side.
#[derive(Clone, Copy, Debug, Default)]
struct TrackedSide {
    last: Option<LastPacket>,
    /// Behind the largest sequence number that it has sent.
    highest: Option<Seq>,
    /// The data that is being timed: behind its last byte, and when it passed.
    timed: Option<(Seq, Timestamp)>,
    /// From here to this side and back.
    round_trip: Option<RoundTrip>,
}

/// What is known of one flow.
#[derive(Clone, Copy, Debug, Default)]
struct Track {
    sides: [TrackedSide; 2],
}

/// What is known of flows of which a monitor asked for it, by flow number.
#[derive(Debug)]
pub(crate) struct Tracks {
    tracks: PerFlow<Track>,
}

impl Tracks {
    /// Takes no memory before the first flow.
    pub(super) fn new(flows_max: usize) -> Self {
        Self {
            tracks: PerFlow::new(flows_max, Track::default()),
        }
    }

    /// Nothing is known of flow `number` yet.
    pub(super) fn begin(&mut self, number: u32) {
        *self.tracks.at(number) = Track::default();
    }

    /// What was the client's is the server's, and the other way round.
    pub(super) fn swap_sides(&mut self, number: u32) {
        if let Some(track) = self.tracks.of_mut(number) {
            track.sides.swap(0, 1);
        }
    }

    fn side(&self, number: u32, side: Side) -> Option<&TrackedSide> {
        Some(&self.tracks.of(number)?.sides[side as usize])
    }

    fn sample(&mut self, number: u32, side: Side, sample: Duration) {
        if let Some(track) = self.tracks.of_mut(number) {
            let known = &mut track.sides[side as usize].round_trip;
            *known = Some(known.map_or(RoundTrip::first(sample), |known| known.then(sample)));
        }
    }
}

impl Track {
    /// A segment of `side` passes; everything it has sent below `known` was acknowledged before. Returns a round trip to that
    /// side, where the segment ends one.
    ///
    /// One run of data is timed at a time, until an acknowledgment covers it. Nothing is timed that may have been sent
    /// before (Karn and Partridge, 1987): a segment below the largest number seen ends the timing, whether it repeats bytes,
    /// fills a hole, or was overtaken.
    fn take(&mut self, side: Side, packet: &Packet, known: Option<Seq>) -> Option<Duration> {
        let now = packet.timestamp;
        let Transport::Tcp {
            seq, ack, flags, ..
        } = packet.transport
        else {
            return None;
        };
        if packet.payload_len > 0 {
            let own = &mut self.sides[side as usize];
            let first = Seq(seq).plus(u32::from(flags.contains(TcpFlags::SYN)));
            let end = first.plus(packet.payload_len);
            // A keep-alive probe may be the first that comes with bytes, or stand in the place of a FIN.
            let highest = match (own.highest, known) {
                (Some(highest), Some(known)) => Some(highest.max(known)),
                (highest, known) => highest.or(known),
            };
            match highest {
                Some(highest) if highest.is_after(first) => {
                    own.timed = None;
                    own.highest = Some(highest.max(end));
                }
                _ => {
                    own.timed.get_or_insert((end, now));
                    own.highest = Some(end);
                }
            }
        }
        let acknowledges = flags.contains(TcpFlags::ACK) && !flags.contains(TcpFlags::RST);
        let other = &mut self.sides[side.other() as usize];
        let (end, since) = other.timed.filter(|_| acknowledges)?;
        if end.is_after(Seq(ack)) {
            return None;
        }
        other.timed = None;
        // Captures may put an acknowledgment before what it acknowledges.
        (now >= since).then(|| now.since(since))
    }
}

/// A round trip of a handshake is kept in so many nanoseconds, so that 68 s fit into 32 bits.
const HANDSHAKE_UNIT_NS: u64 = 16;

impl Shard {
    /// Notes what a packet of a tracked flow tells.
    #[inline(never)]
    pub(super) fn track(&mut self, number: u32, side: Side, packet: &Packet, bytes: &[u8]) {
        let hot = self.table.hot(number);
        let scale = hot.scale(side);
        let other = side.other();
        let known = hot.has(Flags::ACKED, other).then(|| hot.half(other).acked);
        let Some(track) = self.tracks.tracks.of_mut(number) else {
            return;
        };
        track.sides[side as usize].last = Some(last_packet(packet, bytes, scale));
        if let Some(sample) = track.take(side, packet, known) {
            self.tracks.sample(number, side, sample);
        }
    }

    /// Notes the round trip of a handshake, if there is one, with the others.
    pub(super) fn note_round_trip(&mut self, number: u32, side: Side, sample: Option<Duration>) {
        if let Some(sample) = sample {
            self.tracks.sample(number, side, sample);
        }
    }
}

/// Takes the round trips of a handshake: to the server from a SYN to the SYN/ACK that answers it, to the client from there
/// to the acknowledgment. Not where one of them was sent twice: nobody knows then which of them was answered.
#[inline]
pub(super) fn time_handshake(
    hot: &Hot,
    cold: &mut Cold,
    side: Side,
    packet: &Packet,
) -> Option<Duration> {
    let Transport::Tcp { flags, ack, .. } = packet.transport else {
        return None;
    };
    if cold.round_trips[Side::Client as usize] != 0
        || flags.intersection(TcpFlags::ACK | TcpFlags::RST) != TcpFlags::ACK
        || cold.client_by != super::context::ClientBy::Syn
    {
        return None;
    }
    let since = handshake_began(hot, cold, side, flags, Seq(ack))?;
    let elapsed = packet.timestamp.as_nanos().saturating_sub(since);
    // 0 means that nothing is known.
    let units = u32::try_from((elapsed / HANDSHAKE_UNIT_NS).max(1)).unwrap_or(u32::MAX);
    cold.round_trips[side as usize] = units;
    Some(Duration::from_nanos(elapsed))
}

/// When what a segment of `side` with ACK answers in a handshake has passed, in nanoseconds.
fn handshake_began(hot: &Hot, cold: &Cold, side: Side, flags: TcpFlags, ack: Seq) -> Option<u64> {
    let (client, server) = (cold.half(Side::Client), cold.half(Side::Server));
    let first = cold.first.as_nanos();
    let own = hot.half(side).packets;
    match (side, flags.contains(TcpFlags::SYN)) {
        (Side::Server, true) => {
            // Counted below, after this: the only SYN of each, and the only packet of the client so far.
            let is_only = client.syn == 1 && server.syn == 0 && own == 1;
            let is_first = hot.half(Side::Client).packets == 1;
            (is_only && is_first && ack == client.isn.plus(1)).then_some(first)
        }
        (Side::Client, false) => {
            let to_server = u64::from(cold.round_trips[Side::Server as usize]);
            let is_only = client.syn == 1 && server.syn == 1 && own == 2;
            let answers = to_server != 0 && ack == server.isn.plus(1);
            (is_only && answers).then_some(first + to_server * HANDSHAKE_UNIT_NS)
        }
        _ => None,
    }
}

fn last_packet(packet: &Packet, bytes: &[u8], scale: u8) -> LastPacket {
    let ttl_at = packet.ip_at as usize + if packet.key.is_v6() { 7 } else { 8 };
    LastPacket {
        time: packet.timestamp,
        ttl: bytes.get(ttl_at).copied().unwrap_or(0),
        payload_len: packet.payload_len,
        segment: match packet.transport {
            Transport::Tcp {
                seq,
                ack,
                window,
                flags,
                ..
            } => {
                let scale = if flags.contains(TcpFlags::SYN) {
                    0
                } else {
                    scale
                };
                Some(LastSegment {
                    seq,
                    ack: flags.contains(TcpFlags::ACK).then_some(ack),
                    window: u32::from(window) << scale,
                    flags,
                })
            }
            Transport::Other => None,
        },
    }
}

/// The round trip to a side that the handshake showed.
pub(super) fn of_handshake(cold: &Cold, side: Side) -> Option<Duration> {
    match cold.round_trips[side as usize] {
        0 => None,
        units => Some(Duration::from_nanos(u64::from(units) * HANDSHAKE_UNIT_NS)),
    }
}

impl FlowContext<'_> {
    /// Facts of the last packet that `side` has sent, the one at hand included. `None` where there was none, or no monitor
    /// of the flow asked for it ([`MonitorBuilder::track`](crate::actor::MonitorBuilder::track)).
    pub fn last_packet(&self, side: Side) -> Option<LastPacket> {
        self.track(side)?.last
    }

    /// How long it takes from here to `side` and back: from the handshake, where it was seen and nothing of it was sent
    /// twice; and where a monitor of the flow asked for it
    /// ([`MonitorBuilder::track`](crate::actor::MonitorBuilder::track)), from data and its acknowledgments as well. The two
    /// sides together are the round trip that the ends see.
    pub fn rtt(&self, side: Side) -> Option<RoundTrip> {
        let measured = self.track(side).and_then(|track| track.round_trip);
        measured.or_else(|| Some(RoundTrip::first(self.handshake(side)?)))
    }

    fn track(&self, side: Side) -> Option<&TrackedSide> {
        self.tracks_of_flow()?.side(self.index(), side)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example values of the rules, by hand.
    #[test]
    fn estimates_follow_the_rules_of_rfc_6298() {
        let ms = Duration::from_millis;
        let first = RoundTrip::first(ms(100));
        assert_eq!((first.smoothed, first.variation), (ms(100), ms(50)));
        let second = first.then(ms(180));
        // RTTVAR = 3/4 * 50 + 1/4 * |100 - 180|; SRTT = 7/8 * 100 + 1/8 * 180.
        assert_eq!(second.variation, Duration::from_micros(57_500));
        assert_eq!(second.smoothed, ms(110));
        let third = second.then(ms(30));
        assert_eq!(
            (third.min, third.latest, third.samples),
            (ms(30), ms(30), 3)
        );
    }
}
