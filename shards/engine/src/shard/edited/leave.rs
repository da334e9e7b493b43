//! Segments of edited flows on their way out: what they say about the other stream, pieces of those that became too long, and
//! answers to those that do not go on.

use arrayvec::ArrayVec;

use super::api::Editing;
use super::window::Announced;
use super::{Passing, Span, behind, frames, write_header};
use crate::event::Side;
use crate::flow::entry::Flags;
use crate::shard::{Run, Shard};
use crate::tcp::Seq;
use crate::tcp::rewrite::RewrittenStream;
use crate::wire::{Packet, Sums, TcpFlags, Transport};

/// Bytes of options a header has room for.
const OPTIONS_MAX: usize = 40;
/// The most segments that are sent at once from here.
const PUSHED_MAX: usize = 8;
/// The largest IP packet of a way nobody has said anything about.
const USUAL_MTU: usize = 1500;

impl Shard {
    /// What is left to do with a segment that has passed its hooks.
    pub(super) fn leave(
        &mut self,
        run: &mut Run<'_>,
        i: usize,
        (number, place): (u32, u32),
        (span, editing): (&Span, Option<&Editing>),
        passing: Passing,
    ) {
        let goes_on =
            run.changes.notes.inline && run.dropped >> i & 1 == 0 && passing != Passing::Left;
        let translated = span.is(TcpFlags::ACK) && !span.is(TcpFlags::SYN) && goes_on;
        if translated && !self.translate_ack(run, i, (number, place), span) {
            return self.drop_for_room(run, i);
        }
        self.acknowledge(number, place, span, run.changes.notes.inline);
        if !goes_on {
            return;
        }
        if !self.go_onward(run, i, (place, span), editing) {
            return self.drop_for_room(run, i);
        }
        self.note_sent(run, i, (number, place), span);
        self.push(run, i, place, span);
        let is_cut_off = span.len > 0
            && run.packet(i).payload_len == 0
            && !span
                .flags
                .intersects(TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST);
        if is_cut_off {
            self.answer_cut(run, i, (number, place), span);
        }
        self.send(run, i, place, span, passing);
    }

    /// There is no room for what is to be sent in the place of packet `i`: its sender sends it again.
    pub(super) fn drop_for_room(&mut self, run: &mut Run<'_>, i: usize) {
        run.dropped |= 1 << i;
        self.counters.edits_no_room += 1;
    }

    /// Puts the acknowledgment of a segment, with all that belongs to it, into the numbers of the one it is for.
    fn translate_ack(
        &mut self,
        run: &mut Run<'_>,
        i: usize,
        (number, place): (u32, u32),
        span: &Span,
    ) -> bool {
        let other = span.side.other();
        let window = self.offer(run, i, (number, place), span);
        let stream = &self.edited.list[place as usize].sides[other as usize].stream;
        let is_identity = stream.rewrite().is_identity();
        if is_identity && window.is_none() {
            return true;
        }
        write_header(run, i, |packet, bytes, sums| {
            let transport = packet.transport_at as usize;
            if let Some(window) = window {
                sums.write(bytes, transport + 14, &window.to_be_bytes());
            }
            if is_identity {
                return;
            }
            let ack = stream.ack(span.ack);
            sums.write(bytes, transport + 8, &ack.0.to_be_bytes());
            if let Some(blocks) = frames::option(packet, bytes, 5) {
                translate_sacks(stream, bytes, sums, blocks);
            }
        })
    }

    /// The window field for the one whom the acknowledgment of packet `i` is for, where that is another one than it has.
    fn offer(
        &mut self,
        run: &Run<'_>,
        i: usize,
        (number, place): (u32, u32),
        span: &Span,
    ) -> Option<u16> {
        let scale = self.scale(number, place, span)?;
        let Transport::Tcp { window, .. } = run.packet(i).transport else {
            return None;
        };
        let other = span.side.other();
        let limit = self.window_limit(number, place, other, scale);
        let side = self.edited_side(place, other);
        let stream = &side.stream;
        let field = if stream.rewrite().is_identity() {
            window
        } else {
            translate_window(stream, span.ack, window, scale)
        };
        let ack = stream.rewrite().invert(stream.edited_position(span.ack));
        let announced = Announced { ack, field, scale };
        let offered = side.offer.forward(announced, limit);
        (offered != window).then_some(offered)
    }

    /// By how much the windows in segments of `span`'s sender are scaled; `None` where the handshake was not seen.
    pub(super) fn scale(&self, number: u32, place: u32, span: &Span) -> Option<u8> {
        let cold = self.table.cold(number);
        let seen = cold.halves.iter().all(|half| half.syn_seen);
        let sides = &self.edited.list[place as usize].sides;
        let own = &sides[span.side as usize];
        // Both ends must have offered it (RFC 7323, section 2.2).
        let scale = own
            .scale
            .filter(|_| sides[span.side.other() as usize].scale.is_some());
        seen.then_some(scale.unwrap_or(0))
    }

    /// Notes the timestamp and the window of a segment that goes on.
    fn note_sent(&mut self, run: &Run<'_>, i: usize, (number, place): (u32, u32), span: &Span) {
        let scale = self.scale(number, place, span).unwrap_or(0);
        let packet = run.packet(i);
        let bytes = run.changes.bytes(run.bytes, i);
        let timestamp = frames::option(packet, bytes, 8).map(|at| frames::word(bytes, at.start));
        let side = self.edited_side(place, span.side);
        if let Transport::Tcp {
            seq, ack, window, ..
        } = packet.transport
        {
            side.window = window;
            if !span.is(TcpFlags::SYN) {
                side.window_max = side.window_max.max(u32::from(span.window) << scale);
            }
            side.ack = Some(Seq(ack))
                .filter(|_| span.is(TcpFlags::ACK))
                .or(side.ack);
            let end = side.onward.edited_position(Seq(seq)) + i64::from(packet.payload_len);
            if !span.flags.intersects(TcpFlags::SYN | TcpFlags::RST) {
                let end = side.edge.map_or(end, |edge| edge.min(end));
                side.reached = side.reached.max(end);
            }
        }
        if let Some(new) = timestamp
            && side.timestamp.is_none_or(|old| Seq(new).is_after(Seq(old)))
        {
            side.timestamp = Some(new);
        }
    }

    /// A segment of the receiver may have opened its window to inserted bytes that did not fit into it when they were made. Their
    /// sender knows nothing of them: they are sent from here. (What of them is lost comes again when their sender repeats
    /// the byte they stand for.)
    fn push(&mut self, run: &mut Run<'_>, i: usize, place: u32, span: &Span) {
        let other = span.side.other();
        let Some(edge) = self.edited_side(place, other).edge else {
            return;
        };
        let limit = self.payload_max(place, other, run.packet(i), 0);
        for _ in 0..PUSHED_MAX {
            let sides = &self.edited.list[place as usize].sides;
            let (own, theirs) = (&sides[span.side as usize], &sides[other as usize]);
            let from = theirs.reached;
            let room = usize::try_from(edge - from).unwrap_or(0).min(limit);
            let (first, second) = theirs.inserted_from(from);
            let left = first.len() + second.len();
            let first = &first[..first.len().min(room)];
            let second = &second[..second.len().min(room - first.len())];
            let (len, Some(ack)) = (first.len() + second.len(), theirs.ack) else {
                return;
            };
            // Not in crumbs (RFC 9293, section 3.8.6.2.1).
            let worthwhile = limit.min(own.window_max as usize / 2).min(left).max(1);
            let bytes = run.changes.bytes(run.bytes, i);
            if len < worthwhile || !frames::is_resizable(run.packet(i), bytes) {
                return;
            }
            let stamped = frames::option(run.packet(i), bytes, 8).is_some();
            let options = timestamps(stamped, theirs.timestamp, own.timestamp);
            let header = frames::Header {
                seq: theirs.onward.at(from),
                ack,
                flags: TcpFlags::ACK | TcpFlags::PSH,
                window: theirs.window,
            };
            let head = run.packet(i).transport_at as usize + frames::TCP_HEADER + options.len();
            let route = behind(run, i, true);
            let sent = run.changes.send_made(
                (run.packets, run.bytes),
                (i, route),
                head + len,
                |packet, from, into| {
                    frames::answer(packet, from, into, &header, &options, [first, second])
                },
            );
            if !sent {
                return;
            }
            self.counters.edits_pushed += 1;
            self.edited_side(place, other).reached = from + i64::try_from(len).unwrap_or(0);
        }
    }

    /// Sends what is more than the packet itself: one that has waited, and pieces of one that is too long.
    fn send(&mut self, run: &mut Run<'_>, i: usize, place: u32, span: &Span, passing: Passing) {
        let packet = *run.packet(i);
        let limit = self.payload_max(place, span.side, &packet, span.len as usize);
        let len = packet.payload_len as usize;
        let whole = run.changes.mark(i);
        if len > limit && !self.send_piece(run, i, whole, (0, limit)) {
            return self.drop_for_room(run, i);
        }
        let first = run.changes.mark(i);
        if passing == Passing::Released && !run.changes.send_copy(i, behind(run, i, false)) {
            self.counters.edits_no_room += 1;
        }
        let start = match packet.transport {
            Transport::Tcp { seq, .. } => self
                .edited_side(place, span.side)
                .onward
                .edited_position(Seq(seq)),
            Transport::Other => 0,
        };
        let edge = self.edited_side(place, span.side).edge;
        let mut at = limit;
        // What lies beyond the window would only be thrown away: it is sent when that opens, or repeated.
        while at < len && edge.is_none_or(|edge| start.saturating_add_unsigned(at as u64) < edge) {
            let end = len.min(at + limit);
            run.changes.restore(i, whole);
            let sent = self.send_piece(run, i, whole, (at, end))
                && run.changes.send_copy(i, behind(run, i, false));
            if !sent {
                // Its sender sends it again.
                self.counters.edits_no_room += 1;
            }
            at = end;
        }
        run.changes.restore(i, first);
    }

    /// Makes packet `i` the piece of its version `whole` from payload byte `from` up to `to`.
    fn send_piece(
        &mut self,
        run: &mut Run<'_>,
        i: usize,
        whole: u16,
        (from, to): (usize, usize),
    ) -> bool {
        run.changes.restore(i, whole);
        let packet = *run.packet(i);
        let (head, len) = (packet.payload_at as usize, packet.payload_len as usize);
        run.changes.compose(
            (run.packets, run.bytes),
            i,
            head + to - from,
            |packet, bytes, into| {
                let mut piece = frames::resize(packet, bytes, into, |body| {
                    body.copy_from_slice(&bytes[head + from..head + to]);
                });
                let skip = u32::try_from(from).unwrap_or(0);
                frames::cut_piece(&mut piece, into, skip, to == len);
                piece
            },
        )
    }

    /// The most payload that the receiver of `side`, and the way to it, take in one segment with headers like these; at least
    /// `least`, which came all the way here.
    fn payload_max(&self, place: u32, side: Side, packet: &Packet, least: usize) -> usize {
        let sides = &self.edited.list[place as usize].sides;
        let headers = packet.payload_at.saturating_sub(packet.ip_at) as usize;
        let options = (packet.payload_at - packet.transport_at) as usize - frames::TCP_HEADER;
        // RFC 6691: the announced size counts options.
        let taken = match sides[side.other() as usize].mss {
            Some(mss) => usize::from(mss).saturating_sub(options),
            None => USUAL_MTU.saturating_sub(headers),
        };
        taken.max(least).max(1)
    }

    /// Tells the sender of a segment of which nothing goes on that it has arrived, where the receiver has nothing left to say:
    /// it has acknowledged all that came before.
    fn answer_cut(
        &mut self,
        run: &mut Run<'_>,
        i: usize,
        (number, place): (u32, u32),
        span: &Span,
    ) {
        let stream = &self.edited_side(place, span.side).onward;
        if stream.acked() == stream.at(stream.sent_edited()) {
            self.tell_sender(run, i, (number, place), span);
        }
    }

    /// Answers the sender of packet `i` in the name of its receiver: what that has acknowledged, and, as selective
    /// acknowledgments, what waits here. A sender does not count duplicates without them where they were agreed upon, and would
    /// wait for its timer.
    pub(super) fn tell_sender(
        &mut self,
        run: &mut Run<'_>,
        i: usize,
        (number, place): (u32, u32),
        span: &Span,
    ) {
        let (hot, other) = (self.table.hot(number), span.side.other());
        if !run.changes.notes.inline || !hot.has(Flags::ACKED, other) || !span.is(TcpFlags::ACK) {
            return;
        }
        let raw = run.packet(i);
        if !frames::is_resizable(raw, run.changes.bytes(run.bytes, i)) {
            // Nobody knows the way back through a tunnel.
            return;
        }
        let acked =
            self.edited.list[place as usize].sides[span.side as usize].acked(hot.half(other).acked);
        let window = self.window_to_tell(number, place, span, acked);
        let sides = &self.edited.list[place as usize].sides;
        let (own, theirs) = (&sides[span.side as usize], &sides[other as usize]);
        let header = frames::Header {
            // What the sender expects next, in its own words.
            seq: span.heard,
            ack: own.stream.ack(acked),
            flags: TcpFlags::ACK,
            window,
        };
        let stamped = frames::option(raw, run.changes.bytes(run.bytes, i), 8).is_some();
        let mut options = timestamps(stamped, theirs.timestamp, own.timestamp);
        if own.sack && theirs.sack {
            push_sacks(&mut options, own, span);
        }
        let room = raw.transport_at as usize + frames::TCP_HEADER + options.len();
        let route = behind(run, i, true);
        let sent = run.changes.send_made(
            (run.packets, run.bytes),
            (i, route),
            room,
            |packet, from, into| frames::answer(packet, from, into, &header, &options, [&[]; 2]),
        );
        self.counters.edits_answered += u64::from(sent);
    }
}

impl Shard {
    /// The window field beside an acknowledgment of `acked` for the sender of `span`: what its receiver has last said.
    fn window_to_tell(&mut self, number: u32, place: u32, span: &Span, acked: Seq) -> u16 {
        let other = span.side.other();
        let field = self.edited_side(place, other).window;
        let of_other = Span {
            side: other,
            ..*span
        };
        let Some(scale) = self.scale(number, place, &of_other) else {
            return field;
        };
        let limit = self.window_limit(number, place, span.side, scale);
        let side = self.edited_side(place, span.side);
        let stream = &side.stream;
        let ack = stream.rewrite().invert(stream.edited_position(acked));
        side.offer.make(Announced { ack, field, scale }, limit)
    }
}

/// The option with these timestamps, value and echo, where there is one to be.
fn timestamps(stamped: bool, value: Option<u32>, echo: Option<u32>) -> ArrayVec<u8, OPTIONS_MAX> {
    let mut options = ArrayVec::new();
    if let (true, Some(value), Some(echo)) = (stamped, value, echo) {
        options.extend([1, 1, 8, 10]);
        options.extend(value.to_be_bytes());
        options.extend(echo.to_be_bytes());
    }
    options
}

/// Adds what waits of a side as selective acknowledgments (RFC 2018), that with `span` first, as many as there is room for.
fn push_sacks(options: &mut ArrayVec<u8, OPTIONS_MAX>, side: &super::EditedSide, span: &Span) {
    let blocks_max = (OPTIONS_MAX - options.len() - 4) / 8;
    let has_latest = |(from, to): &(i64, i64)| *from <= span.start && span.start < *to;
    let runs = side.held.runs();
    let latest = runs.filter(has_latest);
    let blocks: ArrayVec<(i64, i64), 4> = latest
        .chain(side.held.runs().filter(|run| !has_latest(run)))
        .take(blocks_max.min(4))
        .collect();
    if blocks.is_empty() {
        return;
    }
    let len = u8::try_from(2 + 8 * blocks.len()).unwrap_or(2);
    options.extend([1, 1, 5, len]);
    for (from, to) in blocks {
        options.extend(side.stream.at(from).0.to_be_bytes());
        options.extend(side.stream.at(to).0.to_be_bytes());
    }
}

/// The window field for the sender of a stream, from that of its receiver.
pub(super) fn translate_window(stream: &RewrittenStream, ack: Seq, field: u16, scale: u8) -> u16 {
    let window = stream.window(ack, u32::from(field) << scale);
    let scaled = window >> scale;
    // A window that is open is not shut by rounding.
    let scaled = scaled.max(u32::from(window > 0));
    u16::try_from(scaled).unwrap_or(u16::MAX)
}

/// Translates the blocks of a selective acknowledgment, whose option has its value at `at`. Those of which nothing is left go.
pub(super) fn translate_sacks(
    stream: &RewrittenStream,
    bytes: &mut [u8],
    sums: &Sums,
    at: core::ops::Range<usize>,
) {
    let mut new = ArrayVec::<u8, OPTIONS_MAX>::new();
    for block in at.clone().step_by(8).filter(|block| block + 8 <= at.end) {
        let [left, right] = [block, block + 4].map(|at| Seq(frames::word(bytes, at)));
        if let Some((left, right)) = stream.sack(left, right) {
            new.extend(left.0.to_be_bytes());
            new.extend(right.0.to_be_bytes());
        }
    }
    let mut option = ArrayVec::<u8, { OPTIONS_MAX + 2 }>::new();
    if !new.is_empty() {
        option.extend([5, u8::try_from(2 + new.len()).unwrap_or(2)]);
        option.extend(new);
    }
    // What is left over does nothing.
    while option.len() < at.len() + 2 && !option.is_full() {
        option.push(1);
    }
    sums.write(bytes, at.start - 2, &option);
}
