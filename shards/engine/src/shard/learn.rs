//! What a segment tells about its flow, whoever may refuse it: functions of the flow's two parts and nothing else.

use super::Profile;
use super::segment::Segment;
use super::timestamps::is_old;
use crate::event::Side;
use crate::flow::entry::{Cold, ColdHalf, Flags, Hot, UNKNOWN};
use crate::tcp::{Judged, Options, Seq, State, Window};
use crate::wire::{Packet, TcpFlags, Transport};

/// Control bits that an ordinary segment may have besides ACK.
pub(super) const ORDINARY: TcpFlags = TcpFlags::PSH
    .union(TcpFlags::URG)
    .union(TcpFlags::ECE)
    .union(TcpFlags::CWR);

/// Control bits that move a connection from one state to another.
pub(super) const CONTROL: TcpFlags = TcpFlags::SYN.union(TcpFlags::FIN).union(TcpFlags::RST);

/// The first segment of a flow whose handshake was not seen, other than a RST, shows that the connection is open.
#[inline]
pub(super) fn pick_up(hot: &mut Hot, segment: &Segment) {
    let unknown = hot.states == [State::Closed; 2] && !hot.flags.contains(Flags::CLOSED);
    if unknown && !segment.flags.intersects(TcpFlags::SYN | TcpFlags::RST) {
        hot.states = [State::Established; 2];
        hot.flags.insert(Flags::ESTABLISHED);
    }
}

/// Takes what a segment says about sequence numbers and windows, whoever may refuse it.
#[inline]
pub(super) fn learn(
    hot: &mut Hot,
    cold: &mut Cold,
    side: Side,
    segment: &Segment,
    options: &Options,
) {
    let other = side.other();
    let is_reset = segment.is(TcpFlags::RST);
    if segment.is(TcpFlags::SYN) && begins_with(hot, cold, side, segment.seq) {
        let rare = cold.half(side);
        if rare.syn_seen {
            let earlier = rare.isn;
            let trouble = cold.trouble_mut(side);
            (trouble.earlier_isn, trouble.earlier_isn_known) = (earlier, true);
        }
        set_isn(hot, cold, side, segment.seq);
        hot.set_scale(side, options.window_scale.unwrap_or(0));
    }
    let rare = cold.half_mut(side);
    if !rare.isn_known {
        rare.isn = if segment.is(TcpFlags::SYN) {
            segment.seq
        } else {
            segment.seq.plus(u32::MAX)
        };
        rare.isn_known = true;
    }
    let base_of_own = hot.has(Flags::BASE, side) || is_reset;
    if !base_of_own {
        hot.half_mut(side).base = segment.seq;
        hot.flags.insert(Flags::of(Flags::BASE, side));
    }
    if !segment.is(TcpFlags::ACK) {
        return;
    }
    let peer = cold.half_mut(other);
    if !peer.isn_known {
        peer.isn = segment.ack.plus(u32::MAX);
        peer.isn_known = true;
    }
    if segment.is(TcpFlags::SYN) && !hot.has(Flags::BASE, other) {
        hot.half_mut(other).base = segment.ack;
        hot.flags.insert(Flags::of(Flags::BASE, other));
    }
}

/// Takes what the receiver of a segment learns from its acknowledgment and window, whoever may refuse it.
#[inline]
pub(super) fn learn_acknowledgment(hot: &mut Hot, cold: &mut Cold, side: Side, segment: &Segment) {
    let other = side.other();
    if segment.is(TcpFlags::ACK) && !segment.is(TcpFlags::RST) {
        learn_window(hot, side, segment);
        // Of two initial numbers, the one that the other side acknowledges is the one.
        if cold.half(other).syn > 1 && is_untouched(hot, other) {
            let trouble = cold.trouble(other);
            let earlier = trouble.earlier_isn;
            if trouble.earlier_isn_known && segment.ack == earlier.plus(1) {
                set_isn(hot, cold, other, earlier);
            }
        }
    }
}

/// What a receiver makes of a segment of `side`; its timestamp is noted where the profile goes by timestamps.
#[inline]
pub(super) fn judge(
    profile: Profile,
    hot: &Hot,
    cold: &mut Cold,
    side: Side,
    (segment, options): (&Segment, &Options),
) -> Judged {
    let other = side.other();
    let half = hot.half(side);
    let next = half.base.at_offset(half.next);
    let known = hot.has(Flags::BASE, side) && hot.has(Flags::ACKED, other);
    if segment.is(TcpFlags::RST) {
        return judge_reset(profile, hot, side, segment, known.then_some(next));
    }
    if let (Profile::Receiver, Some(timestamps)) = (profile, options.timestamp)
        && is_old(cold, side, segment, timestamps)
    {
        return Judged::OldTimestamp;
    }
    if !known || segment.is(TcpFlags::SYN) {
        return Judged::Acceptable;
    }
    let len = segment.len + u32::from(segment.is(TcpFlags::FIN));
    Window {
        next,
        edge: hot.window_edge[other as usize],
    }
    .judge(segment.seq, len)
}

/// Counts SYN, FIN and RST; whether the SYN is a repetition.
#[inline]
pub(super) fn count_bits(rare: &mut ColdHalf, segment: &Segment) -> bool {
    let mut repeated_syn = false;
    if segment.is(TcpFlags::SYN) {
        rare.syn = rare.syn.saturating_add(1);
        repeated_syn = rare.syn_seen && segment.seq == rare.isn;
        rare.syn_seen = true;
    }
    let [fin, rst] = [TcpFlags::FIN, TcpFlags::RST].map(|bit| u16::from(segment.is(bit)));
    rare.fin = rare.fin.saturating_add(fin);
    rare.rst = rare.rst.saturating_add(rst);
    repeated_syn
}

/// Notes in the history what kinds of segment this is.
#[inline]
pub(super) fn note_kinds(hot: &mut Hot, cold: &mut Cold, side: Side, segment: &Segment) {
    let is_control = segment.flags.intersects(CONTROL);
    if segment.window == 0 && !is_control {
        let trouble = cold.trouble_mut(side);
        trouble.zero_windows = trouble.zero_windows.saturating_add(1);
        cold.note(side, 'W');
    }
    if segment.is(TcpFlags::SYN) {
        cold.note(side, if segment.is(TcpFlags::ACK) { 'H' } else { 'S' });
    }
    if segment.is(TcpFlags::RST) {
        cold.note(side, 'R');
    }
    let sent = if segment.len > 0 && !segment.is(TcpFlags::RST) {
        Some((Flags::SENT_DATA, 'D'))
    } else if segment.flags.difference(ORDINARY) == TcpFlags::ACK {
        Some((Flags::SENT_ACK, 'A'))
    } else {
        None
    };
    if let Some((seen, letter)) = sent
        && !hot.has(seen, side)
    {
        hot.flags.insert(Flags::of(seen, side));
        cold.note(side, letter);
    }
    if segment.is(TcpFlags::FIN) {
        cold.note(side, 'F');
    }
}

/// Largest stream offset seen of a side.
#[inline]
pub(super) fn highest(hot: &Hot, cold: &Cold, side: Side) -> u64 {
    hot.half(side).next.max(cold.half(side).highest)
}

/// Whether a bare acknowledgment of `side` stands beyond the window of the other side.
#[inline]
pub(super) fn is_beyond_window(hot: &Hot, side: Side, seq: Seq) -> bool {
    let other = side.other();
    hot.has(Flags::ACKED, other) && seq.is_after(hot.window_edge[other as usize])
}

/// Whether no byte of `side` counts from its present offset 0 yet, so that this may still move.
fn is_untouched(hot: &Hot, side: Side) -> bool {
    hot.half(side).next == 0 && !hot.has(Flags::STORED, side)
}

/// Whether a SYN with number `seq` tells where the stream of `side` begins: the first one does, and one with another number
/// as long as the other side has not acknowledged the first.
fn begins_with(hot: &Hot, cold: &Cold, side: Side, seq: Seq) -> bool {
    let (rare, other) = (cold.half(side), side.other());
    let settled = hot.has(Flags::ACKED, other) && hot.half(other).acked == rare.isn.plus(1);
    is_untouched(hot, side) && (!rare.syn_seen || seq != rare.isn && !settled)
}

/// Moves offset 0 of `side` to the byte behind its initial number `isn`.
fn set_isn(hot: &mut Hot, cold: &mut Cold, side: Side, isn: Seq) {
    let (half, rare) = (hot.half_mut(side), cold.half_mut(side));
    if rare.fin_at != UNKNOWN {
        let distance = half.base.at_offset(rare.fin_at).distance_from(isn.plus(1));
        rare.fin_at = u64::try_from(distance).unwrap_or(UNKNOWN);
    }
    half.base = isn.plus(1);
    rare.highest = 0;
    rare.isn = isn;
    rare.isn_known = true;
    hot.flags.insert(Flags::of(Flags::BASE, side));
}

/// Takes the acknowledgment number and the window of a segment.
fn learn_window(hot: &mut Hot, side: Side, segment: &Segment) {
    // The window of a SYN is not scaled (RFC 7323, section 2.2).
    let scale = if segment.is(TcpFlags::SYN) {
        0
    } else {
        hot.scale(side)
    };
    let edge = segment.ack.plus(u32::from(segment.window) << scale);
    if hot.has(Flags::ACKED, side) {
        let half = hot.half_mut(side);
        half.acked = half.acked.max(segment.ack);
        hot.window_edge[side as usize] = hot.window_edge[side as usize].max(edge);
    } else {
        hot.flags.insert(Flags::of(Flags::ACKED, side));
        hot.half_mut(side).acked = segment.ack;
        hot.window_edge[side as usize] = edge;
    }
}

/// Judges a RST sent by `side`, whose next expected number is `next` where it is known.
fn judge_reset(
    profile: Profile,
    hot: &Hot,
    side: Side,
    segment: &Segment,
    next: Option<Seq>,
) -> Judged {
    let other = side.other();
    if hot.states[other as usize] == State::SynSent {
        // In answer to a SYN only the acknowledgment counts (RFC 9293, section 3.10.7.3).
        let answers = segment.is(TcpFlags::ACK) && segment.ack == hot.half(other).base;
        return if answers {
            Judged::Acceptable
        } else {
            Judged::BadReset
        };
    }
    let Some(next) = next else {
        return Judged::Acceptable;
    };
    let window = Window {
        next,
        edge: hot.window_edge[other as usize].max(next),
    };
    match profile {
        Profile::Receiver => window.judge_reset(segment.seq),
        Profile::Record => window.judge_reset_in_window(segment.seq),
    }
}

/// The options of a TCP packet that lies in `bytes`.
pub(super) fn options_of(packet: &Packet, bytes: &[u8]) -> Options {
    Options::parse(option_bytes(packet, bytes))
}

/// The same as they stand there; empty where there are none, or not all of them were captured.
pub(super) fn option_bytes<'b>(packet: &Packet, bytes: &'b [u8]) -> &'b [u8] {
    let Transport::Tcp { options_len, .. } = packet.transport else {
        return &[];
    };
    let start = packet.transport_at as usize + 20;
    bytes
        .get(start..start + usize::from(options_len))
        .unwrap_or(&[])
}
