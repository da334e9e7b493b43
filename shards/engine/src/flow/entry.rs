//! What is kept of a flow: a hot part for every packet, a cold one for the rare ones.

use arrayvec::ArrayString;
use mosaic_port::Timestamp;

use super::{Direction, Endpoint, FlowKey, Proto};
use crate::event::{EndReason, Side};
use crate::shard::context::ClientBy;
use crate::tcp::{Seq, State};

/// "No such thing" in the `u32` links between parallel tables.
pub(crate) const NONE: u32 = u32::MAX;

/// "Not known" for a stream offset.
pub(crate) const UNKNOWN: u64 = u64::MAX;

/// The part of a flow that ordinary packets touch: two cache lines, fetched together.
#[derive(Clone, Debug)]
#[repr(C, align(128))]
pub(crate) struct Hot {
    pub(crate) key: FlowKey,
    /// Clock at the last packet: what expiry is decided by.
    pub(crate) clock: Timestamp,
    pub(crate) flags: Flags,
    /// Which monitors listen: index of an interned set.
    pub(crate) set: u16,
    /// Window scale of each side, a nibble each.
    pub(crate) scales: u8,
    /// What the burst knows of the flow: see [`Activity`].
    pub(crate) active: Activity,
    pub(crate) states: [State; 2],
    /// Largest timestamp of its packets.
    pub(crate) last: Timestamp,
    /// Right edge of the receive window each side has announced.
    pub(crate) window_edge: [Seq; 2],
    pub(crate) halves: [HotHalf; 2],
}

/// One direction, indexed by the [`Side`] that sends.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct HotHalf {
    /// Stream offset of the next byte expected in order. For flows that are not TCP: payload bytes.
    pub(crate) next: u64,
    /// Sequence number of stream offset 0.
    pub(crate) base: Seq,
    /// Highest acknowledgment number this side has sent.
    pub(crate) acked: Seq,
    /// Packets, modulo 2^32; the carry is in the cold part.
    pub(crate) packets: u32,
    /// Bytes of IP and transport headers, modulo 2^32; the carry is in the cold part.
    pub(crate) header_bytes: u32,
}

const _: () = assert!(size_of::<Hot>() == 128);

bitflags::bitflags! {
    /// Facts about a flow; those in pairs have one bit a side, client first.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct Flags: u16 {
        /// `base` is known.
        const BASE = 0b11;
        /// `acked` is known.
        const ACKED = 0b11 << 2;
        /// Something of this side waits behind a hole, or the side needs the careful path for another reason (FIN seen).
        const CAREFUL = 0b11 << 4;
        /// This side has sent data.
        const SENT_DATA = 0b11 << 6;
        /// This side has sent a bare acknowledgment.
        const SENT_ACK = 0b11 << 8;
        /// This side has a stream store.
        const STORED = 0b11 << 10;
        /// The handshake was seen to complete, or the flow was picked up midstream.
        const ESTABLISHED = 1 << 12;
        /// Closed; what comes now is late.
        const CLOSED = 1 << 13;
        /// Something special is kept for the flow: see `shard::special`.
        const SPECIAL = 1 << 14;
        /// The client is the key's upper endpoint.
        const CLIENT_UPPER = 1 << 15;
    }
}

/// What the burst at work knows of a flow: nothing; or which sides grew, while nobody hears of that; or its slot in the list of
/// active flows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Activity(u8);

const _: () = assert!(crate::limits::BURST < 0x80, "a slot, and a bit to tell it");

impl Activity {
    pub(crate) const REST: Self = Self(0);

    pub(crate) const fn of_slot(slot: u8) -> Self {
        Self(0x80 | slot)
    }

    #[inline]
    pub(crate) const fn slot(self) -> Option<u8> {
        if self.0 & 0x80 == 0 {
            None
        } else {
            Some(self.0 & 0x7f)
        }
    }

    /// Whether a side grew; to be asked only while there is no slot.
    #[inline]
    pub(crate) const fn grew(self, side: Side) -> bool {
        self.0 & 1 << side as u8 != 0
    }

    /// The same with a side that grew.
    #[inline]
    pub(crate) const fn with_growth(self, side: Side) -> Self {
        Self(self.0 | 1 << side as u8)
    }
}

impl Flags {
    /// The bit of `pair` that belongs to `side`.
    #[inline]
    pub(crate) const fn of(pair: Self, side: Side) -> Self {
        let low = pair.bits() & pair.bits().wrapping_neg();
        Self::from_bits_retain(low << side as u16)
    }

    /// The flags with the two sides exchanged.
    pub(crate) const fn swapped(self) -> Self {
        let pairs = Self::BASE.bits()
            | Self::ACKED.bits()
            | Self::CAREFUL.bits()
            | Self::SENT_DATA.bits()
            | Self::SENT_ACK.bits()
            | Self::STORED.bits();
        let (odd, even) = (0b1010_1010_1010, 0b0101_0101_0101);
        let bits = self.bits();
        Self::from_bits_retain((bits & !pairs) | (bits & odd) >> 1 | (bits & even) << 1)
    }
}

impl Hot {
    /// A flow nobody has sent anything on.
    pub(crate) fn fresh(key: FlowKey) -> Self {
        Self {
            key,
            clock: Timestamp::ZERO,
            flags: Flags::empty(),
            set: 0,
            scales: 0,
            active: Activity::REST,
            states: [State::Closed; 2],
            last: Timestamp::ZERO,
            window_edge: [Seq(0); 2],
            halves: [HotHalf::default(), HotHalf::default()],
        }
    }

    #[inline]
    pub(crate) fn has(&self, pair: Flags, side: Side) -> bool {
        self.flags.contains(Flags::of(pair, side))
    }

    /// Whether its packets are likely to need nothing but this part: an open connection on which both sides have sent
    /// data and acknowledgments before.
    #[inline]
    pub(crate) fn is_ordinary(&self) -> bool {
        let usual = Flags::BASE | Flags::ACKED | Flags::SENT_DATA | Flags::SENT_ACK;
        self.flags.contains(usual) && !self.flags.intersects(Flags::CAREFUL | Flags::STORED)
    }

    #[inline]
    pub(crate) fn is_tcp(&self) -> bool {
        self.key.proto() == Proto::TCP
    }

    #[inline]
    pub(crate) fn half(&self, side: Side) -> &HotHalf {
        &self.halves[side as usize]
    }

    #[inline]
    pub(crate) fn half_mut(&mut self, side: Side) -> &mut HotHalf {
        &mut self.halves[side as usize]
    }

    /// Which side sends the packets that run in `direction`.
    #[inline]
    pub(crate) fn side_of(&self, direction: Direction) -> Side {
        let upper = direction == Direction::Down;
        if upper == self.flags.contains(Flags::CLIENT_UPPER) {
            Side::Client
        } else {
            Side::Server
        }
    }

    /// Which way the packets of `side` run through the key.
    pub(crate) fn direction_of(&self, side: Side) -> Direction {
        let client = if self.flags.contains(Flags::CLIENT_UPPER) {
            Direction::Down
        } else {
            Direction::Up
        };
        match side {
            Side::Client => client,
            Side::Server => client.reversed(),
        }
    }

    /// Address and port of `side`.
    pub(crate) fn endpoint(&self, side: Side) -> Endpoint {
        self.key.source(self.direction_of(side))
    }

    /// Addresses and ports: client, server.
    pub(crate) fn ends(&self) -> [Endpoint; 2] {
        Side::BOTH.map(|side| self.endpoint(side))
    }

    /// Window scale `side` announced.
    pub(crate) fn scale(&self, side: Side) -> u8 {
        self.scales >> (4 * side as u8) & 0xf
    }

    pub(crate) fn set_scale(&mut self, side: Side, scale: u8) {
        let shift = 4 * side as u8;
        self.scales = self.scales & !(0xf << shift) | (scale & 0xf) << shift;
    }
}

/// Nine kinds and two sides; see [`Cold::note`].
const HISTORY_MAX: usize = 18;

/// The part of a flow that its beginning, its end and irregular packets touch; of it, the first two cache lines are enough
/// as long as nothing goes wrong.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Cold {
    pub(crate) first: Timestamp,
    pub(crate) generation: u32,
    /// Round trips from here to each side that the handshake showed, 0 where unknown; see `shard::track`.
    pub(crate) round_trips: [u32; 2],
    /// Index of the layers around its first packet.
    pub(crate) encapsulation: u16,
    /// Monitors that were attached when the flow began; they hear of its removal whatever they stopped meanwhile.
    pub(crate) attached: u16,
    pub(crate) client_by: ClientBy,
    pub(crate) end: Option<EndReason>,
    /// Which class it is listed under; see `shard::lifecycle`.
    pub(crate) class: u8,
    /// Bound on the bytes kept of each side, a nibble each, 0 where that is the configured one: see `shard::commands`.
    pub(crate) bounds: u8,
    /// Overlap policy of each side, a nibble each, 0 where that is the configured one.
    pub(crate) overlaps: u8,
    /// What happened, a letter each; see `note`. 0 behind the last.
    pub(crate) history: [u8; HISTORY_MAX],
    /// `ConnEnd` was raised.
    pub(crate) ended: bool,
    pub(crate) halves: [ColdHalf; 2],
    pub(crate) troubles: [Trouble; 2],
}

const _: () = assert!(core::mem::offset_of!(Cold, troubles) <= 128);

/// One direction, indexed by the [`Side`] that sends.
#[derive(Clone, Debug)]
pub(crate) struct ColdHalf {
    /// Payload bytes minus `HotHalf::next`, modulo 2^64: 0 for a stream that came in order.
    pub(crate) payload_adjust: u64,
    /// Stream offset of the FIN, or [`UNKNOWN`].
    pub(crate) fin_at: u64,
    /// Largest stream offset seen, the reference for unwrapping sequence numbers.
    pub(crate) highest: u64,
    /// Index of its stream store, or [`NONE`].
    pub(crate) store: u32,
    /// Initial sequence number, from its own SYN or guessed as a capture reader does; see `isn_known`.
    pub(crate) isn: Seq,
    /// Segments with SYN, FIN and RST; they count up to 65,535.
    pub(crate) syn: u16,
    pub(crate) fin: u16,
    pub(crate) rst: u16,
    pub(crate) isn_known: bool,
    /// Its own SYN was seen.
    pub(crate) syn_seen: bool,
}

/// What went wrong in one direction, indexed by the [`Side`] that sends; and what no ordinary connection needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) gap_bytes: u64,
    pub(crate) late_bytes: u64,
    pub(crate) retransmitted_bytes: u64,
    pub(crate) overlap_differs_bytes: u64,
    /// Latest timestamp sent (validity profile `receiver`); see `ts_lag`.
    pub(crate) ts_latest: u32,
    pub(crate) gaps: u32,
    pub(crate) retransmissions: u32,
    pub(crate) out_of_order: u32,
    pub(crate) invalid: u32,
    /// An initial number that a later SYN has put out of place, until it shows which of them counts; see
    /// `earlier_isn_known`.
    pub(crate) earlier_isn: Seq,
    /// These two count up to 65,535.
    pub(crate) keep_alives: u16,
    pub(crate) zero_windows: u16,
    /// Carries of `HotHalf::packets` and `HotHalf::header_bytes`.
    pub(crate) packets_carry: u8,
    pub(crate) header_bytes_carry: u8,
    /// 0: no timestamp was sent; 1: none was echoed, or one long ago; otherwise the latest that was echoed is `ts_lag - 2`
    /// ticks before `ts_latest`.
    pub(crate) ts_lag: u8,
    pub(crate) earlier_isn_known: bool,
}

impl Default for ColdHalf {
    fn default() -> Self {
        Self {
            payload_adjust: 0,
            fin_at: UNKNOWN,
            highest: 0,
            store: NONE,
            isn: Seq(0),
            syn: 0,
            fin: 0,
            rst: 0,
            isn_known: false,
            syn_seen: false,
        }
    }
}

impl Cold {
    /// A flow nobody has sent anything on.
    pub(crate) fn fresh() -> Self {
        Self {
            first: Timestamp::ZERO,
            generation: 0,
            encapsulation: 0,
            client_by: ClientBy::FirstPacket,
            end: None,
            class: 0,
            bounds: 0,
            attached: 0,
            overlaps: 0,
            round_trips: [0; 2],
            history: [0; HISTORY_MAX],
            ended: false,
            halves: [ColdHalf::default(), ColdHalf::default()],
            troubles: [Trouble::default(), Trouble::default()],
        }
    }

    pub(crate) fn half(&self, side: Side) -> &ColdHalf {
        &self.halves[side as usize]
    }

    pub(crate) fn half_mut(&mut self, side: Side) -> &mut ColdHalf {
        &mut self.halves[side as usize]
    }

    pub(crate) fn trouble(&self, side: Side) -> &Trouble {
        &self.troubles[side as usize]
    }

    pub(crate) fn trouble_mut(&mut self, side: Side) -> &mut Trouble {
        &mut self.troubles[side as usize]
    }

    /// Notes what a side did, in Zeek's letters, once a kind and side: capitals for the client.
    pub(crate) fn note(&mut self, side: Side, letter: char) {
        let letter = if side == Side::Client {
            letter
        } else {
            letter.to_ascii_lowercase()
        };
        // Only a few bytes: a search that is made for long strings takes longer.
        let place = self
            .history
            .iter_mut()
            .find(|noted| **noted == 0 || char::from(**noted) == letter);
        // Every kind fits; a full history would only leave letters out.
        if let (Some(place), Ok(letter)) = (place, u8::try_from(letter)) {
            *place = letter;
        }
    }

    /// What happened, in the order in which it happened first.
    pub(crate) fn history(&self) -> ArrayString<24> {
        let noted = self.history.iter().take_while(|letter| **letter != 0);
        let mut history = ArrayString::new_const();
        for letter in noted {
            // A kind and side once.
            let _ = history.try_push(char::from(*letter));
        }
        history
    }
}

/// Bytes one idle flow costs in the tables of a shard: both parts, its place in the wheel, and its share of the index, which
/// is at most half full. Its bits in the sets of classes, less than a byte, are left out.
pub const IDLE_FLOW_BYTES: usize = size_of::<Hot>()
    + size_of::<Cold>()
    + size_of::<super::list::Link>()
    + 4
    + 2 * size_of::<u64>();

const _: () = assert!(
    IDLE_FLOW_BYTES <= 512,
    "an idle flow costs at most 512 bytes"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_flow_costs_at_most_512_bytes() {
        let parts = [size_of::<Hot>(), size_of::<Cold>(), IDLE_FLOW_BYTES];
        assert_eq!(parts, [128, 256, 412]);
    }

    #[test]
    fn flags_of_a_pair_swap_with_the_sides() {
        let flags = Flags::of(Flags::BASE, Side::Client)
            | Flags::of(Flags::SENT_ACK, Side::Server)
            | Flags::CLOSED;
        let swapped = Flags::of(Flags::BASE, Side::Server)
            | Flags::of(Flags::SENT_ACK, Side::Client)
            | Flags::CLOSED;
        assert_eq!(flags.swapped(), swapped);
        assert_eq!(swapped.swapped(), flags);
    }
}
