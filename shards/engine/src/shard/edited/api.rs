//! What actors change of streams, and how it is noted.

use super::{EditedFlows, frames};
use crate::event::{Hook, Side};
use crate::shard::context::FlowContext;
use crate::shard::edit::EditError;
use crate::shard::{Run, Shard};

/// What may be edited of the segment at hand.
#[derive(Clone, Copy, Debug)]
pub(in crate::shard) struct Editing {
    /// Where.
    pub(in crate::shard) hook: Hook,
    /// The version that the hook got.
    pub(super) mark: u16,
    /// Position behind its last one, the FIN included, in the stream as it comes to the hook.
    pub(super) end: i64,
    /// First such position that is not decided.
    pub(super) sent: i64,
    /// The same in the stream that the hook makes of it.
    pub(super) offset: i64,
    /// First payload byte that is not decided.
    pub(super) fresh_from: usize,
    /// There is something that is not decided, the FIN at least.
    pub(super) is_fresh: bool,
    /// Something before it is not decided.
    pub(super) is_ahead: bool,
    pub(super) with_fin: bool,
    /// Lengths may change.
    pub(super) resizable: bool,
    /// How many bytes of edits it may bring.
    pub(super) room: usize,
}

impl FlowContext<'_> {
    /// First byte of the payload at hand that may still be changed: those before it, as many as there are, were sent before,
    /// and what became of them then is what they are. `None` where no monitor of the flow
    /// [edits](crate::actor::MonitorBuilder::edits), or at [`Hook::End`].
    ///
    /// So an actor that reads the stream here reads on from this byte: segments of edited flows come in order. At
    /// [`Hook::Receive`] bytes that were sent before are shown as [`Hook::Send`] left them, and leave as they were sent.
    pub fn fresh_from(&self) -> Option<usize> {
        self.editing().map(|editing| editing.fresh_from)
    }

    /// Where that byte stands in the stream as its receiver gets it, counted from the first byte behind the SYN.
    pub fn fresh_offset(&self) -> Option<u64> {
        let offset = self.editing()?.offset;
        Some(u64::try_from(offset).unwrap_or(0))
    }

    /// Puts `bytes` into the payload at hand, before its byte number `at`. See [`replace_payload`](Self::replace_payload).
    ///
    /// # Errors
    /// As there.
    pub fn insert_payload(&mut self, at: usize, bytes: &[u8]) -> Result<(), EditError> {
        self.replace_payload(at, 0, bytes)
    }

    /// Takes `len` bytes out of the payload at hand, from number `at` on. See [`replace_payload`](Self::replace_payload).
    ///
    /// # Errors
    /// As there.
    pub fn cut_payload(&mut self, at: usize, len: usize) -> Result<(), EditError> {
        self.replace_payload(at, len, &[])
    }

    /// Puts `bytes` in the place of `len` bytes of the payload at hand from number `at` on, as it is now. There may be more of
    /// them or fewer: both ends of the connection are translated to from now on.
    ///
    /// At [`Hook::Send`] and [`Hook::Receive`], in flows one of whose monitors [edits](crate::actor::MonitorBuilder::edits), in a
    /// segment that has payload of its own or a FIN. The emulated receiver, and who reads the stream, get what `Send` left; the
    /// real one gets what `Receive` made of that (of a capture, nobody does). What it makes of a byte is final: when the sender
    /// repeats it, the receiver gets the same. A packet that becomes larger than the receiver or the way takes is split.
    ///
    /// # Errors
    /// [`EditError::NoPacket`]; [`EditError::NotEdited`] where no monitor of the flow edits, or the packet has nothing
    /// to edit (an empty segment, a RST);
    /// [`EditError::Decided`] where `at` stands before [`fresh_from`](Self::fresh_from), or nothing of the segment is new;
    /// [`EditError::NotThere`] where the bytes would stand beyond the payload's end; [`EditError::Layout`] where the length
    /// of the packet cannot change: in fragments and tunnels, on a SYN; [`EditError::TooLong`];
    /// [`EditError::TooManyEdits`], [`EditError::NoRoom`].
    pub fn replace_payload(
        &mut self,
        at: usize,
        len: usize,
        bytes: &[u8],
    ) -> Result<(), EditError> {
        let (index, ..) = self.hand.ok_or(EditError::NoPacket)?;
        let editing = self.editing().ok_or(EditError::NotEdited)?;
        let packet = *self.packet().ok_or(EditError::NoPacket)?.packet;
        let payload = packet.payload_captured as usize;
        if packet.buffer.datagram().is_some() && len != bytes.len() {
            return Err(EditError::Layout);
        }
        if at < editing.fresh_from || !editing.is_fresh {
            return Err(EditError::Decided);
        }
        if at > payload || len > payload - at {
            return Err(EditError::NotThere);
        }
        if !editing.resizable && len != bytes.len() {
            return Err(EditError::Layout);
        }
        if len == bytes.len() {
            if len > editing.room {
                return Err(EditError::TooManyEdits);
            }
            return self.edit()?.overwrite_payload(at, bytes);
        }
        let new = payload - len + bytes.len();
        if packet.ip_len as usize - payload + new > frames::PACKET_MAX {
            return Err(EditError::TooLong);
        }
        if new - editing.fresh_from > editing.room {
            return Err(EditError::TooManyEdits);
        }
        let body = packet.payload_at as usize;
        let start = self.desk.take(body + new).ok_or(EditError::NoRoom)?;
        let came = self.desk.bytes(self.bytes, usize::from(index));
        let draft = self.desk.draft_range();
        let (made, room) = self.desk.room.split_at_mut(start);
        let from = draft.map_or(came, |range| &made[range]);
        let packet = frames::resize(&packet, from, &mut room[..body + new], |into| {
            let old = &from[body..body + payload];
            into[..at].copy_from_slice(&old[..at]);
            into[at..at + bytes.len()].copy_from_slice(bytes);
            into[at + bytes.len()..].copy_from_slice(&old[at + len..]);
        });
        self.desk.set_draft(packet, start, body + new);
        Ok(())
    }

    /// Says whether segments of `side` that come before their turn wait for it, from the next packet on; they do where a
    /// monitor of the flow [edits](crate::actor::MonitorBuilder::edits), until this says otherwise. A side whose segments
    /// do not wait can be edited as long as they come in order.
    ///
    /// What was edited stays so, and translated.
    pub fn edit_stream(&mut self, side: Side, on: bool) {
        self.shard.commands.edits[side as usize] = Some(on);
        self.shard.commands.any = true;
    }
}

/// The range of `old` and that of `new` in which they differ; `None` where they do not.
fn difference(
    old: &[u8],
    new: &[u8],
) -> Option<(core::ops::Range<usize>, core::ops::Range<usize>)> {
    let head = old
        .iter()
        .zip(new)
        .take_while(|(old, new)| old == new)
        .count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let pairs = old_rest.iter().rev().zip(new_rest.iter().rev());
    let tail = pairs.take_while(|(old, new)| old == new).count();
    let (old, new) = (head..old.len() - tail, head..new.len() - tail);
    (!old.is_empty() || !new.is_empty()).then_some((old, new))
}

impl Shard {
    /// Notes what became of a segment at [`Hook::Send`]: it is decided now. So is one that its receiver is thought to refuse:
    /// should it not, it has what was sent on.
    #[cold]
    pub(in crate::shard) fn decide(&mut self, run: &mut Run<'_>, i: usize, number: u32) {
        let Some((editing, place)) = run.editing.take().zip(self.specials.edited(number)) else {
            return;
        };
        let direction = run.packet(i).direction;
        let side = self.table.hot(number).side_of(direction);
        let is_changed = run.changes.mark(i) != editing.mark;
        let done = !is_changed || note(&mut self.edited, run, i, (place, side), &editing);
        if done {
            let stream = &mut self.edited_side(place, side).stream;
            stream.send(editing.end);
            run.editing = Some(self.editing_onward(run, i, (place, side), &editing));
        } else {
            // Nothing is decided; its sender sends it again.
            self.counters.edits_refused += 1;
            run.dropped |= 1 << i;
            run.unseen |= 1 << i;
        }
    }

    /// The same of a segment at [`Hook::Receive`]. In a capture nothing is sent on, so nothing comes of it.
    pub(super) fn decide_onward(
        &mut self,
        run: &mut Run<'_>,
        i: usize,
        (place, side): (u32, Side),
        editing: &Editing,
    ) {
        let is_changed = run.changes.mark(i) != editing.mark && run.changes.notes.inline;
        if !is_changed || note(&mut self.edited, run, i, (place, side), editing) {
            self.edited_side(place, side).onward.send(editing.end);
        } else {
            // As long as it is not decided, what comes behind it waits.
            self.counters.edits_refused += 1;
            run.dropped |= 1 << i;
        }
    }
}

/// Notes the difference between what the hook got and what it left. False where that is not possible.
fn note(
    edited: &mut EditedFlows,
    run: &mut Run<'_>,
    i: usize,
    (place, side): (u32, Side),
    editing: &Editing,
) -> bool {
    if editing.is_ahead {
        // Nobody knows where it will stand: what is changed of it is not remembered.
        return true;
    }
    let versions = (run.packets, run.bytes);
    let Some((old_packet, old, new_packet, new)) = run.changes.pair(versions, i, editing.mark)
    else {
        return true;
    };
    let payload = |packet: &crate::wire::Packet| {
        let start = packet.payload_at as usize;
        start..start + packet.payload_captured as usize
    };
    let (old, within) = (&old[payload(old_packet)], payload(new_packet));
    let fresh_from = editing.fresh_from.min(old.len()).min(within.len());
    let decided = &old[..fresh_from];
    if new[within.clone()][..fresh_from] != *decided {
        // What was sent is sent: it stays what it was.
        let Some(sums) = crate::wire::Sums::of(new_packet, new) else {
            return false;
        };
        sums.write(new, within.start, decided);
    }
    let (old, new) = (&old[fresh_from..], &new[within][fresh_from..]);
    let Some((old_range, new_range)) = difference(old, new) else {
        return true;
    };
    let Some(edit) = Edit::of(&old_range, &new_range, old.len(), editing) else {
        return false;
    };
    let at = editing.sent + i64::try_from(edit.at).unwrap_or(0);
    let inserted = &new[edit.inserted];
    edited
        .change(place, (side, editing.hook), |stream| {
            stream.edit(at, edit.removed, inserted, edit.with_fin)
        })
        .is_ok()
}

/// An edit of the new part of a segment.
struct Edit {
    at: usize,
    removed: u32,
    inserted: core::ops::Range<usize>,
    with_fin: bool,
}

impl Edit {
    /// Something must be replaced: where nothing was, a byte beside it is replaced by itself and what was added, or the FIN,
    /// which stays behind that.
    fn of(
        old: &core::ops::Range<usize>,
        new: &core::ops::Range<usize>,
        old_len: usize,
        editing: &Editing,
    ) -> Option<Self> {
        let (mut old, mut new, mut with_fin) = (old.clone(), new.clone(), false);
        if old.is_empty() {
            if old.end < old_len {
                (old.end, new.end) = (old.end + 1, new.end + 1);
            } else if old.start > 0 {
                (old.start, new.start) = (old.start - 1, new.start - 1);
            } else if editing.with_fin {
                with_fin = true;
            } else {
                return None;
            }
        }
        Some(Self {
            at: old.start,
            removed: u32::try_from(old.len()).ok()? + u32::from(with_fin),
            inserted: new,
            with_fin,
        })
    }
}
