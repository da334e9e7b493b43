//! Edited streams on their way from [`Hook::Receive`] to the receiver, whose own numbers they have from there on.

use super::api::Editing;
use super::leave::{translate_sacks, translate_window};
use super::{EditedFlows, EditedSide, Span, fill, frames, stay_in_place, stream_urgent};
use super::{write_header, write_seq};
use crate::event::{Hook, Side};
use crate::shard::{Run, Shard};
use crate::tcp::Seq;
use crate::tcp::rewrite::{Parts, RewrittenStream};
use crate::wire::{Packet, Sums, TcpFlags, Transport};

impl EditedSide {
    /// First original position that is not decided at both hooks.
    pub(super) fn turn(&self) -> i64 {
        let (sent, onward) = (self.stream.sent(), self.onward.sent());
        if onward < self.stream.sent_edited() {
            sent.min(self.stream.rewrite().invert(onward))
        } else {
            sent
        }
    }

    /// What stands below the original position `to` is not waited for.
    pub(super) fn skip(&mut self, to: i64) {
        self.stream.send(to);
        self.onward.send(self.stream.sent_edited());
    }

    /// What its receiver has acknowledged, in edited numbers; `emulated` where both are the same.
    pub(super) fn acked(&self, emulated: Seq) -> Seq {
        if self.onward.rewrite().is_identity() {
            emulated
        } else {
            self.onward.ack(self.onward.acked())
        }
    }

    /// Bytes from the forwarded position `at` on that its sender does not know, up to the next ones that it does.
    pub(super) fn inserted_from(&self, at: i64) -> (&[u8], &[u8]) {
        let onward = self.onward.rewrite();
        let Some((edited, len)) = onward.original_at(at) else {
            return onward.inserted_from(at);
        };
        let (first, second) = self.stream.rewrite().inserted_from(edited);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let first = &first[..first.len().min(len)];
        let second = &second[..second.len().min(len - first.len())];
        (first, second)
    }
}

impl EditedFlows {
    /// A number of the stream of `side`, as the hooks show it, in those of its receiver.
    pub(in crate::shard) fn forwarded_number(&self, place: u32, side: Side, seq: Seq) -> Seq {
        let onward = &self.list[place as usize].sides[side as usize].onward;
        if onward.rewrite().is_identity() {
            seq
        } else {
            onward.seq_of_reset(seq)
        }
    }

    /// By how many bytes `packet` of `side` has grown at [`Hook::Receive`], where `seq` stands behind it; 0 before.
    pub(in crate::shard) fn growth(
        &self,
        (place, side): (u32, Side),
        seq: Seq,
        packet: &Packet,
        editing: &Editing,
    ) -> i64 {
        let onward = &self.list[place as usize].sides[side as usize].onward;
        if editing.hook != Hook::Receive || onward.position(seq) < editing.end {
            return 0;
        }
        let (flags, start) = head(onward, packet.transport);
        let fin = i64::from(flags.contains(TcpFlags::FIN));
        start + i64::from(packet.payload_len) + fin - editing.end
    }
}

impl Shard {
    /// Puts the acknowledgment of a segment, with all that belongs to it, into edited numbers. False where there is no room.
    pub(super) fn hear(
        &mut self,
        run: &mut Run<'_>,
        i: usize,
        (number, place): (u32, u32),
        span: &Span,
    ) -> bool {
        let scale = self.scale(number, place, span);
        let other = &self.edited.list[place as usize].sides[span.side.other() as usize];
        let stream = &other.onward;
        if !span.is(TcpFlags::ACK) || stream.rewrite().is_identity() {
            return true;
        }
        write_header(run, i, |packet, bytes, sums| {
            let transport = packet.transport_at as usize;
            sums.write(bytes, transport + 8, &span.ack.0.to_be_bytes());
            if span.is(TcpFlags::SYN) {
                return;
            }
            if let (Some(scale), Transport::Tcp { window, .. }) = (scale, packet.transport) {
                let window = translate_window(stream, span.heard, window, scale);
                sums.write(bytes, transport + 14, &window.to_be_bytes());
            }
            if let Some(blocks) = frames::option(packet, bytes, 5) {
                translate_sacks(stream, bytes, sums, blocks);
            }
        })
    }

    /// Takes what a segment says about what was forwarded to its sender.
    pub(super) fn acknowledge(&mut self, number: u32, place: u32, span: &Span, inline: bool) {
        if !span.is(TcpFlags::ACK) {
            return;
        }
        let scale = self.scale(number, place, span);
        let other = span.side.other();
        let heard = if inline { span.heard } else { span.ack };
        let side = self.edited_side(place, other);
        if let Some(scale) = scale.filter(|_| !span.is(TcpFlags::RST)) {
            let scale = if span.is(TcpFlags::SYN) { 0 } else { scale };
            let edge = side.onward.edited_position(heard) + (i64::from(span.window) << scale);
            side.edge = Some(side.edge.map_or(edge, |before| before.max(edge)));
        }
        if !span.is(TcpFlags::SYN) {
            self.edited.change(place, (other, Hook::Send), |stream| {
                stream.acknowledge(span.ack);
            });
            self.edited.change(place, (other, Hook::Receive), |stream| {
                stream.acknowledge(heard);
            });
        }
    }

    /// What may be edited at [`Hook::Receive`] of a segment that could be at [`Hook::Send`], as that left it.
    pub(super) fn editing_onward(
        &self,
        run: &Run<'_>,
        i: usize,
        (place, side): (u32, Side),
        before: &Editing,
    ) -> Editing {
        let side = &self.edited.list[place as usize].sides[side as usize];
        let (stream, packet) = (&side.onward, run.packet(i));
        let (flags, start) = head(stream, packet.transport);
        let (end, sent) = (side.stream.rewrite().translate(before.end), stream.sent());
        let old = usize::try_from(sent - start).unwrap_or(0);
        let is_whole = packet.payload_captured == packet.payload_len;
        Editing {
            hook: Hook::Receive,
            mark: run.changes.mark(i),
            end,
            sent,
            offset: stream.sent_edited(),
            fresh_from: old.min(packet.payload_captured as usize),
            is_fresh: is_whole && end > sent && start <= sent,
            is_ahead: start > sent,
            with_fin: flags.contains(TcpFlags::FIN),
            resizable: is_whole
                && !flags.contains(TcpFlags::SYN)
                && frames::is_resizable(packet, run.changes.bytes(run.bytes, i)),
            room: self.edited.room(stream),
        }
    }

    /// Puts a segment as [`Hook::Receive`] has left it into the numbers of its receiver, with the bytes that were forwarded before
    /// in the place of those that it has of them. False where that could not be done.
    pub(super) fn go_onward(
        &self,
        run: &mut Run<'_>,
        i: usize,
        (place, span): (u32, &Span),
        editing: Option<&Editing>,
    ) -> bool {
        let stream = &self.edited.list[place as usize].sides[span.side as usize].onward;
        let rewrite = stream.rewrite();
        let packet = *run.packet(i);
        let (Transport::Tcp { seq, .. }, false) = (packet.transport, rewrite.is_identity()) else {
            return true;
        };
        let (flags, start) = head(stream, packet.transport);
        let (packet_seq, seq) = (Seq(seq), Seq(seq));
        let urgent = stream_urgent(run, i, stream, flags, seq);
        let Some(editing) = editing else {
            let seq = if flags.contains(TcpFlags::RST) {
                stream.seq_of_reset(seq)
            } else {
                stream.seq_of_empty(seq)
            };
            return write_seq(run, i, seq, urgent);
        };
        // The data of a SYN has no place any more once the stream has moved.
        let stray = flags.contains(TcpFlags::SYN) && rewrite.translate(0) != 0;
        let (decided, fresh_from) = (editing.sent.min(editing.end), editing.fresh_from);
        let old = start..decided.max(start);
        let is_plain = rewrite.is_plain(old.start, old.end);
        let payload = packet.payload_len as usize;
        let is_fin = flags.contains(TcpFlags::FIN);
        if payload == 0 && !is_fin && !flags.contains(TcpFlags::SYN) && !old.is_empty() {
            return write_seq(run, i, stream.seq_of_empty(seq), urgent);
        }
        // What both ends have long forgotten may stand before the first byte, and moves all the same.
        let seq = if flags.contains(TcpFlags::SYN) {
            stream.seq(seq)
        } else {
            stream.at(rewrite.translate(start))
        };
        if payload == 0 && !is_fin || is_plain && !stray {
            return write_seq(run, i, seq, urgent);
        }
        let fin = i64::from(is_fin && decided == editing.end);
        let bytes = |range: i64| usize::try_from(range - fin).unwrap_or(0);
        if bytes(old.end - old.start) != fresh_from {
            // It does not stand where it says.
            return false;
        }
        let mapped = bytes(rewrite.translate(old.end) - rewrite.translate(old.start));
        let fresh = payload.saturating_sub(fresh_from);
        let len = if stray { 0 } else { mapped + fresh };
        let seq = match len {
            0 if !is_fin && !flags.contains(TcpFlags::SYN) => stream.seq_of_empty(packet_seq),
            _ => seq,
        };
        let parts = rewrite.parts(old.start, old.end);
        let made = if !stray && mapped == fresh_from && stay_in_place(parts.clone(), start) {
            overwrite_copy(run, i, parts)
        } else {
            recompose(run, i, (parts, start), (mapped.min(len), fresh_from), len)
        };
        made && write_seq(run, i, seq, urgent)
    }
}

/// Gives packet `i` a payload of `len` bytes: first `mapped` ones of `parts`, whose original ones are its payload, from position
/// `start` on, then what its payload has from number `fresh_from` on. False where that could not be done.
pub(super) fn recompose(
    run: &mut Run<'_>,
    i: usize,
    (parts, start): (Parts<'_>, i64),
    (mapped, fresh_from): (usize, usize),
    len: usize,
) -> bool {
    let packet = run.packet(i);
    let head = packet.payload_at as usize;
    if !frames::is_resizable(packet, run.changes.bytes(run.bytes, i)) {
        return false;
    }
    let versions = (run.packets, run.bytes);
    run.changes
        .compose(versions, i, head + len, |packet, from, into| {
            frames::resize(packet, from, into, |body| {
                let (old, fresh) = body.split_at_mut(mapped);
                let payload = &from[head..];
                fill(old, payload, parts, start);
                let fresh_to = fresh_from + fresh.len();
                fresh.copy_from_slice(&payload[fresh_from..fresh_to]);
            })
        })
}

/// Flags of a segment, and the position of its first byte in a stream.
fn head(stream: &RewrittenStream, transport: Transport) -> (TcpFlags, i64) {
    let Transport::Tcp { seq, flags, .. } = transport else {
        return (TcpFlags::empty(), 0);
    };
    let syn = u32::from(flags.contains(TcpFlags::SYN));
    (flags, stream.position(Seq(seq).plus(syn)))
}

/// Puts inserted bytes in the place of payload of packet `i`, as many as there are, in a copy: the emulated stream may hold the
/// present one.
fn overwrite_copy(run: &mut Run<'_>, i: usize, parts: Parts<'_>) -> bool {
    let bytes = run.changes.bytes(run.bytes, i);
    let len = bytes.len();
    if Sums::of(run.packet(i), bytes).is_none() {
        return false;
    }
    let copied = run
        .changes
        .compose((run.packets, run.bytes), i, len, |packet, from, into| {
            into.copy_from_slice(from);
            *packet
        });
    copied && super::overwrite(run, i, parts)
}
