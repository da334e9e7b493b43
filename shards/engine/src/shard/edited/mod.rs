//! Flows whose streams are edited on their way: every packet of them is translated, in order.
//!
//! What a sender sends counts *original* bytes, what its receiver gets counts *edited* ones. A segment that comes is first
//! put into edited numbers, with the bytes that were decided for what was sent before; then the hooks and the emulation see
//! it, which live in edited numbers; what an actor has changed at `Send` is noted as an edit; last, its acknowledgment goes
//! back into the numbers of the one it is for. What is changed at `Receive` is noted as an edit of the edited stream: so
//! there is a third kind of numbers, those of what is *forwarded*, which only the receiver knows. Segments that come before
//! their turn wait, since a change before them would move them.

mod api;
mod frames;
mod held;
mod leave;
mod onward;
mod window;

use alloc::vec::Vec;

use super::changes::Route;
use super::learn::options_of;
use super::segment::Segment;
use super::{Run, Shard};
use crate::event::{Hook, Side};
use crate::flow::entry::Flags;
use crate::limits;
use crate::stream::Blocks;
use crate::tcp::Seq;
use crate::tcp::rewrite::{Part, RewrittenStream};
use crate::wire::{Sums, TcpFlags, Transport, finish_copy};
pub(super) use api::Editing;
use held::{Held, Keeping, Waiting};

/// What is kept of one direction, by the side that sends.
#[derive(Debug, Default)]
pub(super) struct EditedSide {
    stream: RewrittenStream,
    /// The edited stream, on its way from there to the receiver.
    onward: RewrittenStream,
    /// Whether the stream's numbers are known.
    started: bool,
    /// Segments that came before their turn do not wait.
    unordered: bool,
    held: Held,
    /// From its SYN: maximum segment size, window scale, whether it takes selective acknowledgments.
    mss: Option<u16>,
    scale: Option<u8>,
    sack: bool,
    /// Timestamp and window of the last segment it sent that went on.
    timestamp: Option<u32>,
    window: u16,
    /// What that acknowledged.
    ack: Option<Seq>,
    /// The largest window it has announced, in bytes.
    window_max: u32,
    /// Forwarded positions below this one were sent into an open window.
    reached: i64,
    /// First forwarded position that its receiver's window does not admit, where its windows are understood.
    edge: Option<i64>,
    /// Windows that were offered to it.
    offer: window::Offer,
}

/// What is kept of an edited flow.
#[derive(Debug, Default)]
pub(super) struct EditedFlow {
    sides: [EditedSide; 2],
}

/// The edited flows of a shard.
#[derive(Debug)]
pub(super) struct EditedFlows {
    list: Vec<EditedFlow>,
    free: Vec<u32>,
    /// Memory of segments that wait.
    blocks: Blocks,
    /// Bytes of edits that wait for their acknowledgment.
    bytes: usize,
}

impl Default for EditedFlows {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            free: Vec::new(),
            blocks: Blocks::new(limits::SHARD_HELD_BYTES),
            bytes: 0,
        }
    }
}

impl EditedFlows {
    /// A place for a flow, of at most so many.
    pub(super) fn take(&mut self, flows_max: usize) -> u32 {
        if self.list.capacity() == 0 {
            // Reserved, not touched: no flow waits while all of them are moved.
            self.list.reserve_exact(flows_max);
        }
        self.free.pop().unwrap_or_else(|| {
            self.list.push(EditedFlow::default());
            u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// The flow is gone.
    pub(super) fn give(&mut self, place: u32) {
        for side in &mut self.list[place as usize].sides {
            side.held.clear(&mut self.blocks);
            let mut streams = [&mut side.stream, &mut side.onward].map(core::mem::take);
            for stream in &mut streams {
                self.bytes -= stream.rewrite().held_bytes();
                stream.begin(Seq(0), 0);
            }
            let [stream, onward] = streams;
            *side = EditedSide {
                stream,
                onward,
                held: core::mem::take(&mut side.held),
                ..EditedSide::default()
            };
        }
        self.free.push(place);
    }

    /// What was the client's is the server's.
    pub(super) fn swap_sides(&mut self, place: u32) {
        self.list[place as usize].sides.swap(0, 1);
    }

    /// An acknowledgment of the stream of `side`, as the hooks show it, in the numbers of its sender. Of all that was sent on,
    /// it acknowledges all, whatever was cut from the end.
    pub(super) fn ack_for(&self, place: u32, side: Side, ack: Seq) -> Seq {
        let stream = &self.list[place as usize].sides[side as usize].stream;
        if stream.rewrite().is_identity() {
            ack
        } else if ack == stream.at(stream.sent_edited()) {
            stream.at(stream.sent())
        } else {
            stream.ack(ack)
        }
    }

    /// A number of the stream of `side`, as its receiver knows it, in those of its sender.
    pub(super) fn sent_number(&self, place: u32, side: Side, seq: Seq) -> Seq {
        let side = &self.list[place as usize].sides[side as usize];
        side.stream.ack(side.onward.ack(seq))
    }

    /// Does something with a stream that may change how many bytes are kept for its edits.
    fn change<R>(
        &mut self,
        place: u32,
        (side, hook): (Side, Hook),
        change: impl FnOnce(&mut RewrittenStream) -> R,
    ) -> R {
        let side = &mut self.list[place as usize].sides[side as usize];
        let stream = match hook {
            Hook::Receive => &mut side.onward,
            _ => &mut side.stream,
        };
        let before = stream.rewrite().held_bytes();
        let result = change(stream);
        self.bytes = self.bytes + stream.rewrite().held_bytes() - before;
        result
    }

    /// A window field for who gets segments of `side`, no larger than the last one that it was told.
    pub(super) fn window_for(&self, place: u32, side: Side, field: u16) -> u16 {
        let side = &self.list[place as usize].sides[side as usize];
        side.ack.map_or(field, |_| field.min(side.window))
    }

    /// How many bytes of edits the next segment of a stream may bring.
    fn room(&self, stream: &RewrittenStream) -> usize {
        let rewrite = stream.rewrite();
        if rewrite.edits() >= limits::EDITS {
            return 0;
        }
        let of_side = limits::EDIT_BYTES.saturating_sub(rewrite.held_bytes());
        of_side.min(limits::SHARD_EDIT_BYTES.saturating_sub(self.bytes))
    }
}

/// A segment in original positions.
#[derive(Clone, Copy, Debug)]
struct Span {
    side: Side,
    flags: TcpFlags,
    seq: Seq,
    /// In edited numbers.
    ack: Seq,
    /// The same as it came.
    heard: Seq,
    /// Window field, as it came.
    window: u16,
    /// Position of its first byte, and the one behind its last; the FIN is one.
    start: i64,
    end: i64,
    /// Payload bytes.
    len: u32,
    /// All of them are there, in a frame of their own.
    whole: bool,
}

impl Span {
    fn is(&self, flags: TcpFlags) -> bool {
        self.flags.contains(flags)
    }

    /// Whether it takes no room in the stream.
    fn is_empty(&self) -> bool {
        self.start == self.end && !self.is(TcpFlags::SYN)
    }
}

/// Why a segment is on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Passing {
    /// It has come.
    Arrived,
    /// It has waited, and goes on now.
    Released,
    /// It has waited in vain: the flow ends. It does not go on.
    Left,
}

/// A segment that lies further ahead than any window is none that waits.
const AHEAD_MAX: i64 = 1 << 30;
/// In the place of a packet's index, for segments that are looked at when a flow ends.
const SPARE: usize = limits::BURST - 1;

impl Shard {
    /// Whether segments of `side` wait for their turn.
    fn holds(&self, number: u32, place: u32, side: Side) -> bool {
        let set = self.monitors.set(self.table.hot(number).set);
        self.monitors.edits(set.mask)
            && !self.edited.list[place as usize].sides[side as usize].unordered
    }

    /// Says whether segments of `side` wait from now on.
    pub(super) fn set_ordered(&mut self, slot: u8, side: Side, on: bool) {
        let flow = self.burst.actives[usize::from(slot)].flow;
        if let Some(place) = self.specials.edited(flow) {
            self.edited_side(place, side).unordered = !on;
        }
    }

    fn edited_side(&mut self, place: u32, side: Side) -> &mut EditedSide {
        &mut self.edited.list[place as usize].sides[side as usize]
    }

    /// Bytes of memory in use for segments that wait.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.edited.blocks.used_bytes()
    }

    /// A segment of an edited flow.
    #[cold]
    pub(super) fn handle_edited(&mut self, run: &mut Run<'_>, i: usize, number: u32, place: u32) {
        let Some(span) = self.span(run, i, number, place) else {
            return;
        };
        if !run.changes.notes.inline {
            self.skip_uncaptured(number, place, &span);
        }
        let takes_room = !span.is_empty() && !span.flags.intersects(TcpFlags::SYN | TcpFlags::RST);
        let ahead = span.start - self.edited_side(place, span.side).turn();
        if takes_room
            && span.whole
            && (1..AHEAD_MAX).contains(&ahead)
            && self.holds(number, place, span.side)
        {
            self.hold(run, i, (number, place), &span);
        } else {
            self.pass(run, i, (number, place), &span, Passing::Arrived);
        }
        self.release(run, i, (number, place), span.side);
    }

    /// Where packet `i` stands in its stream.
    fn span(&mut self, run: &Run<'_>, i: usize, number: u32, place: u32) -> Option<Span> {
        let packet = run.packet(i);
        let Transport::Tcp {
            seq,
            ack,
            window,
            flags,
            ..
        } = packet.transport
        else {
            return None;
        };
        let hot = self.table.hot(number);
        let side = hot.side_of(packet.direction);
        let syn = flags.contains(TcpFlags::SYN);
        let data_seq = Seq(seq).plus(u32::from(syn));
        let (half, known) = (hot.half(side), hot.has(Flags::BASE, side));
        let (base, next) = (half.base, half.next);
        let edited = self.edited_side(place, side);
        let is_identity =
            [&edited.stream, &edited.onward].map(|stream| stream.rewrite().is_identity());
        if is_identity == [true; 2] && edited.held.is_empty() {
            let base = if known && !(syn && next == 0) {
                base
            } else {
                data_seq
            };
            if !edited.started || edited.stream.at(0) != base {
                edited.stream.begin(base, next);
                edited.onward.begin(base, next);
                edited.offer = window::Offer::default();
                edited.started = true;
            }
        }
        if syn {
            let options = options_of(packet, run.changes.bytes(run.bytes, i));
            edited.mss = options.mss;
            edited.scale = options.window_scale;
            edited.sack = options.sack_permitted;
        }
        let start = edited.stream.position(data_seq);
        let fin = i64::from(flags.contains(TcpFlags::FIN));
        // Who sent what was captured got original numbers, since nothing was edited on its way.
        let other = &self.edited.list[place as usize].sides[side.other() as usize];
        let heard = Seq(ack);
        let ack = if !other.started {
            heard
        } else if run.changes.notes.inline {
            other.onward.ack(heard)
        } else {
            other.stream.seq(heard)
        };
        let is_frame = matches!(packet.buffer, crate::wire::Buffer::Frame(_));
        Some(Span {
            side,
            flags,
            seq: Seq(seq),
            ack,
            heard,
            window,
            start,
            end: start + i64::from(packet.payload_len) + fin,
            len: packet.payload_len,
            whole: is_frame && packet.payload_captured == packet.payload_len,
        })
    }

    /// A capture has lost what an acknowledgment covers: what comes behind it waits no longer.
    fn skip_uncaptured(&mut self, number: u32, place: u32, span: &Span) {
        let other = self.edited_side(place, span.side.other());
        if !span.is(TcpFlags::ACK) || span.is(TcpFlags::RST) || !other.started {
            return;
        }
        let acked = other.stream.edited_position(span.ack);
        let ahead = acked - other.stream.sent_edited();
        // The acknowledgment of a FIN that waits is no loss.
        if (1..AHEAD_MAX).contains(&ahead)
            && self.table.hot(number).has(Flags::BASE, span.side.other())
        {
            let other = self.edited_side(place, span.side.other());
            let to = other.stream.rewrite().invert(acked);
            let to = other.held.first().map_or(to, |first| to.min(first));
            other.skip(to);
        }
    }

    /// Keeps a segment that came before its turn, and tells its sender what is missing.
    fn hold(&mut self, run: &mut Run<'_>, i: usize, (number, place): (u32, u32), span: &Span) {
        run.dropped |= 1 << i;
        let packet = *run.packet(i);
        let frame = run.changes.bytes(run.bytes, i);
        let end = (packet.payload_at + packet.payload_len) as usize;
        let (blocks, list) = (&mut self.edited.blocks, &mut self.edited.list);
        let side = &mut list[place as usize].sides[span.side as usize];
        let kept = side.held.keep(
            blocks,
            &packet,
            (span.start, span.end),
            &frame[..end.min(frame.len())],
        );
        match kept {
            Keeping::Kept => self.counters.held += 1,
            Keeping::Known => self.counters.held_again += 1,
            Keeping::NoRoom => {
                self.counters.held_refused += 1;
                self.counters.bounds_hit += 1;
                if !run.changes.notes.inline
                    && let Some(first) = side.held.first()
                {
                    // Nobody will send it again: better a hole than nothing.
                    side.skip(first);
                    run.dropped &= !(1 << i);
                    self.release(run, i, (number, place), span.side);
                    return self.handle_edited(run, i, number, place);
                }
            }
        }
        self.tell_sender(run, i, (number, place), span);
    }

    /// Lets segments go on whose turn has come, with packet `i` of `sender`. What a burst has no room for goes on with the next
    /// packet of either end: there is one, since what has gone on is acknowledged.
    fn release(&mut self, run: &mut Run<'_>, i: usize, (number, place): (u32, u32), sender: Side) {
        for side in Side::BOTH {
            while !run.changes.notes.inline || run.changes.notes.has_room_to_spare() {
                let Some(waiting) = self.next_waiting(place, side) else {
                    break;
                };
                let packet = run.packet(i);
                let (timestamp, clock) = (packet.timestamp, packet.clock);
                let mut waiting = waiting;
                (waiting.packet.timestamp, waiting.packet.clock) = (timestamp, clock);
                run.changes.notes.crossed = side != sender;
                self.let_go(run, i, (number, place), waiting, Passing::Released);
                run.changes.notes.crossed = false;
            }
        }
    }

    /// The next segment whose turn has come, if there is one that says anything new.
    fn next_waiting(&mut self, place: u32, side: Side) -> Option<Waiting> {
        loop {
            let side = &mut self.edited.list[place as usize].sides[side as usize];
            let turn = side.turn();
            let waiting = side.held.take_reached(turn)?;
            if waiting.end > turn {
                return Some(waiting);
            }
            waiting.give_back(&mut self.edited.blocks);
        }
    }

    /// Takes one segment that has waited through its hooks, in the place of packet `i`, which then is what it was.
    fn let_go(
        &mut self,
        run: &mut Run<'_>,
        i: usize,
        (number, place): (u32, u32),
        waiting: Waiting,
        passing: Passing,
    ) {
        let bit = 1 << i;
        let (mark, dropped, unseen) = (run.changes.mark(i), run.dropped & bit, run.unseen & bit);
        let blocks = &self.edited.blocks;
        let mut finished = waiting.packet;
        finished.unfinished = false;
        let put = run.changes.put(i, finished, waiting.len, |into| {
            waiting.copy_to(blocks, into);
            finish_copy(&mut { waiting.packet }, into);
        });
        waiting.give_back(&mut self.edited.blocks);
        if put {
            run.dropped &= !bit;
            run.unseen &= !bit;
            self.counters.held_released += 1;
            if let Some(span) = self.span(run, i, number, place) {
                self.renew_timestamp(run, i, place, span.side);
                self.pass(run, i, (number, place), &span, passing);
            }
        } else {
            self.counters.edits_no_room += 1;
        }
        run.changes.restore(i, mark);
        run.dropped = run.dropped & !bit | dropped;
        run.unseen = run.unseen & !bit | unseen;
    }

    /// A receiver judges what comes in order by its timestamp (PAWS, RFC 7323, section 5): one that has waited must not be
    /// older than what went before it.
    fn renew_timestamp(&mut self, run: &mut Run<'_>, i: usize, place: u32, side: Side) {
        let Some(latest) = self.edited_side(place, side).timestamp else {
            return;
        };
        write_header(run, i, |packet, bytes, sums| {
            if let Some(at) = frames::option(packet, bytes, 8)
                && Seq(latest).is_after(Seq(frames::word(bytes, at.start)))
            {
                sums.write(bytes, at.start, &latest.to_be_bytes());
            }
        });
    }

    /// The flow ends: what still waits is shown, in order, over the holes. None of it goes on.
    pub(super) fn release_all(&mut self, run: &mut Run<'_>, number: u32) {
        let Some(place) = self.specials.edited(number) else {
            return;
        };
        if run.changes.notes.inline {
            return;
        }
        for side in Side::BOTH {
            while let Some(first) = self.edited_side(place, side).held.first() {
                self.edited_side(place, side).skip(first);
                if let Some(waiting) = self.next_waiting(place, side) {
                    self.let_go(run, SPARE, (number, place), waiting, Passing::Left);
                }
            }
        }
    }

    /// Takes a segment whose turn it is all the way.
    fn pass(
        &mut self,
        run: &mut Run<'_>,
        i: usize,
        (number, place): (u32, u32),
        span: &Span,
        passing: Passing,
    ) {
        if !self.enter(run, i, place, span) {
            return self.drop_for_room(run, i);
        }
        if !run.changes.notes.inline {
            write_ack(run, i, span);
        } else if !self.hear(run, i, (number, place), span) {
            return self.drop_for_room(run, i);
        }
        run.editing = self.editing(run, i, place, span);
        if let Some(segment) = Segment::of(run, i) {
            self.handle_careful(run, i, number, &segment);
        }
        let editing = run.editing.take();
        let onward = editing.filter(|editing| editing.hook == Hook::Receive);
        if let Some(editing) = &onward {
            self.decide_onward(run, i, (place, span.side), editing);
        }
        self.leave(run, i, (number, place), (span, onward.as_ref()), passing);
    }

    /// Puts a segment into edited numbers, with the bytes that were decided for what was sent before. False where that
    /// could not be done.
    fn enter(&mut self, run: &mut Run<'_>, i: usize, place: u32, span: &Span) -> bool {
        let stream = &self.edited.list[place as usize].sides[span.side as usize].stream;
        let rewrite = stream.rewrite();
        if rewrite.is_identity() {
            return true;
        }
        let urgent = stream_urgent(run, i, stream, span.flags, span.seq);
        let edited_end = rewrite.translate(span.start + i64::from(span.len));
        let mut len = usize::try_from(edited_end - rewrite.translate(span.start)).unwrap_or(0);
        let with_fin = rewrite.translate(span.end) - rewrite.translate(span.start);
        if span.is(TcpFlags::FIN) {
            len = usize::try_from(with_fin - 1).unwrap_or(0);
        }
        // Nothing of it was edited.
        let is_plain = rewrite.is_plain(span.start, span.end);
        // The data of a SYN has no place any more once the stream has moved.
        let stray = span.is(TcpFlags::SYN) && rewrite.translate(0) != 0;
        if span.is(TcpFlags::RST) || span.len == 0 && is_plain || stray && span.len == 0 {
            let seq = if span.is(TcpFlags::RST) {
                stream.seq_of_reset(span.seq)
            } else if span.is_empty() {
                stream.seq_of_empty(span.seq)
            } else {
                stream.seq(span.seq)
            };
            return write_seq(run, i, seq, urgent);
        }
        let seq = match len {
            _ if span.is(TcpFlags::SYN) => span.seq,
            0 if !span.is(TcpFlags::FIN) => stream.seq_of_empty(span.seq),
            _ => stream.seq(span.seq),
        };
        if is_plain && !stray {
            return write_seq(run, i, seq, urgent);
        }
        if !span.whole {
            return false;
        }
        let parts = rewrite.parts(span.start, span.end);
        if !stray && len == span.len as usize && stay_in_place(parts.clone(), span.start) {
            // As long as before: whatever is around it stays right.
            return write_seq(run, i, seq, urgent) && overwrite(run, i, parts);
        }
        let len = if stray { 0 } else { len };
        onward::recompose(run, i, (parts, span.start), (len, 0), len)
            && write_seq(run, i, seq, urgent)
    }

    /// What may be edited of a segment in edited numbers.
    fn editing(&self, run: &Run<'_>, i: usize, place: u32, span: &Span) -> Option<Editing> {
        if span.is_empty() || span.is(TcpFlags::RST) {
            return None;
        }
        let stream = &self.edited.list[place as usize].sides[span.side as usize].stream;
        let (packet, sent) = (run.packet(i), stream.sent());
        let payload = packet.payload_captured as usize;
        let fresh_from = if span.start >= sent {
            0
        } else {
            let before = stream.sent_edited() - stream.rewrite().translate(span.start);
            usize::try_from(before).unwrap_or(0).min(payload)
        };
        let resizable = span.whole
            && !span.is(TcpFlags::SYN)
            && frames::is_resizable(packet, run.changes.bytes(run.bytes, i));
        Some(Editing {
            hook: Hook::Send,
            mark: run.changes.mark(i),
            end: span.end,
            sent,
            offset: stream.sent_edited(),
            fresh_from,
            is_fresh: span.whole && span.end > sent && span.start <= sent,
            is_ahead: span.start > sent,
            with_fin: span.is(TcpFlags::FIN),
            resizable,
            room: self.edited.room(stream),
        })
    }
}

/// The urgent pointer in edited numbers, where there is one.
fn stream_urgent(
    run: &Run<'_>,
    i: usize,
    stream: &RewrittenStream,
    flags: TcpFlags,
    seq: Seq,
) -> Option<u16> {
    if !flags.contains(TcpFlags::URG) {
        return None;
    }
    let at = run.packet(i).transport_at as usize + 18;
    let field = run.changes.bytes(run.bytes, i).get(at..)?.first_chunk()?;
    Some(stream.urgent(seq, u16::from_be_bytes(*field)))
}

/// Lets packet `i` have another number.
fn write_seq(run: &mut Run<'_>, i: usize, seq: Seq, urgent: Option<u16>) -> bool {
    let Transport::Tcp { seq: old, .. } = run.packet(i).transport else {
        return false;
    };
    if old == seq.0 && urgent.is_none() {
        return true;
    }
    write_header(run, i, |packet, bytes, sums| {
        let transport = packet.transport_at as usize;
        sums.write(bytes, transport + 4, &seq.0.to_be_bytes());
        if let Some(urgent) = urgent {
            sums.write(bytes, transport + 18, &urgent.to_be_bytes());
        }
    })
}

/// Lets packet `i` have its acknowledgment in edited numbers.
fn write_ack(run: &mut Run<'_>, i: usize, span: &Span) {
    let is_other =
        matches!(run.packet(i).transport, Transport::Tcp { ack, .. } if ack != span.ack.0);
    if span.is(TcpFlags::ACK) && is_other {
        write_header(run, i, |packet, bytes, sums| {
            let at = packet.transport_at as usize + 8;
            sums.write(bytes, at, &span.ack.0.to_be_bytes());
        });
    }
}

/// Writes to the headers of a copy of packet `i`. False where there is no room for one, or its checksums cannot be told.
fn write_header(
    run: &mut Run<'_>,
    i: usize,
    write: impl FnOnce(&crate::wire::Packet, &mut [u8], &Sums),
) -> bool {
    if run.packet(i).buffer.datagram().is_some() {
        return false;
    }
    let Some((bytes, packet)) = run.changes.make_copy(run.packets, run.bytes, i) else {
        return false;
    };
    let Some(sums) = Sums::of(packet, bytes) else {
        return false;
    };
    write(packet, bytes, &sums);
    super::edit::refresh(packet, bytes);
    true
}

/// Puts inserted bytes in the place of the payload of packet `i`, as many as there are.
fn overwrite(run: &mut Run<'_>, i: usize, parts: crate::tcp::rewrite::Parts<'_>) -> bool {
    write_header(run, i, |packet, bytes, sums| {
        let mut at = packet.payload_at as usize;
        for part in parts {
            match part {
                Part::Inserted(inserted) => {
                    sums.write(bytes, at, inserted);
                    at += inserted.len();
                }
                Part::Original(from, to) => at += usize::try_from(to - from).unwrap_or(0),
            }
        }
    })
}

/// Whether what is original stands where it stood in a segment that begins at position `start`.
fn stay_in_place(parts: crate::tcp::rewrite::Parts<'_>, start: i64) -> bool {
    let mut at = start;
    for part in parts {
        match part {
            Part::Inserted(bytes) => at += i64::try_from(bytes.len()).unwrap_or(0),
            Part::Original(from, to) if from == at => at = to,
            Part::Original(..) => return false,
        }
    }
    true
}

/// Writes the edited bytes of a segment whose original ones begin at position `start`.
fn fill(into: &mut [u8], original: &[u8], parts: crate::tcp::rewrite::Parts<'_>, start: i64) {
    let mut at = 0;
    for part in parts {
        let bytes = match part {
            Part::Inserted(bytes) => bytes,
            Part::Original(from, to) => {
                let within = |position: i64| {
                    usize::try_from(position - start)
                        .unwrap_or(0)
                        .min(original.len())
                };
                &original[within(from)..within(to)]
            }
        };
        let end = (at + bytes.len()).min(into.len());
        into[at..end].copy_from_slice(&bytes[..end - at]);
        at = end;
    }
}

/// With packet `i`, behind it: where what stands in its place goes, or `back`.
fn behind(run: &Run<'_>, i: usize, back: bool) -> Route {
    Route::With {
        packet: u8::try_from(i).unwrap_or(0),
        before: false,
        back: back != run.changes.notes.crossed,
    }
}
