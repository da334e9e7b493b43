//! What actors change in a burst, and what they send besides: copies of packets in a bounded arena, used again by the next
//! burst. Packets that nobody changes are never copied.

use alloc::vec::Vec;
use core::ops::Range;

use super::Shard;
use super::context::PacketView;
use crate::event::{Hook, Side};
use crate::limits;
use crate::wire::{Packet, finish_copy};

/// In the place of a packet's index: the bytes lie in the arena, and offsets count from its start.
pub(crate) const ARENA: u8 = u8::MAX;

/// No version: the packet is as it came.
const AS_IT_CAME: u16 = u16::MAX;

/// A packet as it is now.
#[derive(Clone, Debug)]
pub(super) struct Version {
    /// Its headers.
    pub(super) packet: Packet,
    /// Where its buffer lies in the arena; `None` where the bytes are those that came.
    pub(super) place: Option<Place>,
}

/// A run of bytes in the arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    start: u32,
    len: u32,
}

impl Place {
    pub(super) fn of(self, arena: &[u8]) -> &[u8] {
        &arena[self.start as usize..][..self.len as usize]
    }
}

/// Where a frame that a shard sends of its own accord belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// With packet `packet` of the burst.
    With {
        /// Index of the packet.
        packet: u8,
        /// Before it or after it, where both go the same way.
        before: bool,
        /// Back to where the packet came from, instead of on its way.
        back: bool,
    },
    /// After frame `frame` of the batch that raw monitors were shown.
    WithFrame {
        /// Index of the frame.
        frame: u8,
        /// Back to where it came from, instead of on its way.
        back: bool,
    },
    /// Out of the interface of this number, or the one opposite to it.
    Interface {
        /// The number, as in [`Frame::interface`](mosaic_port::Frame::interface).
        interface: u32,
        /// Out of it, instead of the opposite one.
        back: bool,
    },
}

/// A frame that a shard sends of its own accord.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Injected<'a> {
    /// From the link layer on.
    pub bytes: &'a [u8],
    /// Where it belongs.
    pub route: Route,
}

/// What an edit works on: a copy in the arena's free part.
#[derive(Clone, Debug)]
struct Draft {
    packet: Packet,
    /// Where it begins in the room of the callback.
    start: usize,
    len: usize,
}

/// Changes of one burst.
#[derive(Debug)]
pub(super) struct Changes {
    arena: Vec<u8>,
    pub(super) notes: Notes,
}

/// What is known of changes, but for the bytes.
#[derive(Debug)]
pub(super) struct Notes {
    /// Packets that are not as they came: packet `i` has bit `i`.
    pub(super) changed: u64,
    /// The burst's source forwards.
    pub(super) inline: bool,
    /// What stands in the place of the packet at hand, a segment that has waited, runs the other way than it.
    pub(super) crossed: bool,
    /// How much of the arena is in use, and how much of the rest the callback at work has taken.
    used: usize,
    taken: usize,
    versions: Vec<Version>,
    latest: [u16; limits::BURST],
    frames: Vec<(Route, Place)>,
    /// What the callback at work makes of the packet at hand.
    draft: Option<Draft>,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            // Zeroes that nobody has written to cost no memory until they are.
            arena: alloc::vec![0; limits::CHANGED_BYTES],
            notes: Notes {
                changed: 0,
                inline: false,
                crossed: false,
                used: 0,
                taken: 0,
                versions: Vec::new(),
                latest: [AS_IT_CAME; limits::BURST],
                frames: Vec::new(),
                draft: None,
            },
        }
    }
}

/// The packet at a hook, as it is now.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtHand<'a> {
    pub(super) packet: &'a Packet,
    pub(super) bytes: &'a [u8],
    pub(super) sender: Side,
    pub(super) hook: Hook,
}

impl<'a> AtHand<'a> {
    /// What actors are shown.
    #[inline]
    pub(super) fn view(&self) -> PacketView<'a> {
        PacketView {
            packet: self.packet,
            bytes: self.bytes,
            sender: self.sender,
        }
    }
}

/// Room for what a callback makes.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    /// What was copied so far: the part of the arena that is in use.
    pub(super) kept: &'a [u8],
    /// The rest.
    pub(super) room: &'a mut [u8],
    pub(super) notes: &'a mut Notes,
}

impl<'a> Desk<'a> {
    /// Takes `len` bytes of the room; where they begin in it. `None` where there is not so much, or no version is left for a
    /// packet.
    pub(super) fn take(&mut self, len: usize) -> Option<usize> {
        let start = self.notes.taken;
        if self.room.len() - start < len || !self.notes.takes_another() {
            return None;
        }
        self.notes.taken += len;
        Some(start)
    }

    /// Sends what stands in the room at `start`. False where too much is sent already.
    pub(super) fn send(&mut self, route: Route, start: usize, len: usize) -> bool {
        if self.notes.frames.len() == limits::INJECTED {
            return false;
        }
        let place = place(self.kept.len() + start, len);
        self.notes.frames.push((route, place));
        true
    }

    /// What the callback at work has made of the packet at hand so far.
    pub(super) fn draft(&self) -> Option<(&Packet, &[u8])> {
        let draft = self.notes.draft.as_ref()?;
        Some((&draft.packet, &self.room[draft.start..][..draft.len]))
    }

    /// The same, to be changed.
    pub(super) fn draft_mut(&mut self) -> Option<(&mut Packet, &mut [u8])> {
        let draft = self.notes.draft.as_mut()?;
        let bytes = &mut self.room[draft.start..][..draft.len];
        Some((&mut draft.packet, bytes))
    }

    /// Where that stands in the room.
    pub(super) fn draft_range(&self) -> Option<Range<usize>> {
        let draft = self.notes.draft.as_ref()?;
        Some(draft.start..draft.start + draft.len)
    }

    /// The buffer of packet `i` as it is now, but for what the callback at work has made of it.
    #[inline]
    pub(super) fn bytes(&self, bytes: &'a [&'a [u8]], i: usize) -> &'a [u8] {
        self.notes.bytes(self.kept, bytes, i)
    }

    /// Makes this of the packet at hand: `len` bytes from `start` on in the room.
    pub(super) fn set_draft(&mut self, packet: Packet, start: usize, len: usize) {
        self.notes.draft = Some(Draft { packet, start, len });
    }
}

fn place(start: usize, len: usize) -> Place {
    // The arena is far smaller than 4 GiB.
    let [start, len] = [start, len].map(|bytes| u32::try_from(bytes).unwrap_or(0));
    Place { start, len }
}

const _: () = assert!(limits::CHANGED_BYTES < u32::MAX as usize);

impl Notes {
    /// What is known of packet `i` where that is not what came.
    #[inline]
    fn version(&self, i: usize) -> Option<&Version> {
        if self.changed >> i & 1 == 0 {
            None
        } else {
            self.version_of_changed(i)
        }
    }

    #[cold]
    fn version_of_changed(&self, i: usize) -> Option<&Version> {
        self.versions.get(usize::from(self.latest[i]))
    }

    /// Packet `i` as it is now.
    #[inline]
    pub(super) fn packet<'a>(&'a self, packets: &'a [Packet], i: usize) -> &'a Packet {
        match self.version(i) {
            None => &packets[i],
            Some(version) => &version.packet,
        }
    }

    /// Where the copy of packet `i` lies, if it has one.
    #[inline]
    fn place(&self, i: usize) -> Option<Place> {
        self.version(i)?.place
    }

    /// The buffer of packet `i` as it is now; copies lie in `arena`.
    #[inline]
    fn bytes<'a>(&self, arena: &'a [u8], bytes: &'a [&'a [u8]], i: usize) -> &'a [u8] {
        match self.place(i) {
            Some(place) => place.of(arena),
            None => bytes[i],
        }
    }

    fn add(&mut self, i: usize, version: Version) -> bool {
        let Some(number) = u16::try_from(self.versions.len())
            .ok()
            .filter(|_| self.takes_another())
        else {
            return false;
        };
        self.versions.push(version);
        self.latest[i] = number;
        self.changed |= 1 << i;
        true
    }

    /// From which side the packet at hand came as a frame, where `sender` sent what stands in its place.
    #[inline]
    pub(super) fn came_from(&self, sender: Side) -> Side {
        if self.crossed { sender.other() } else { sender }
    }

    /// Whether half of the room is left for what the rest of the burst needs.
    pub(super) fn has_room_to_spare(&self) -> bool {
        self.frames.len() < limits::INJECTED / 2
            && self.versions.len() < limits::VERSIONS / 2
            && self.used < limits::CHANGED_BYTES / 2
    }

    /// Whether another version would be taken.
    fn takes_another(&self) -> bool {
        self.versions.len() < limits::VERSIONS
    }

    #[cold]
    fn adopt(&mut self, i: Option<usize>) {
        let base = self.used;
        self.used += core::mem::take(&mut self.taken);
        if let (Some(draft), Some(i)) = (self.draft.take(), i) {
            let place = Some(place(base + draft.start, draft.len));
            let packet = draft.packet;
            // There was room for it when it was begun.
            self.add(i, Version { packet, place });
        }
    }
}

impl Changes {
    /// Ready for a burst.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.notes.used = 0;
        self.notes.changed = 0;
        self.notes.versions.clear();
        self.notes.frames.clear();
    }

    /// Names the version that packet `i` has now.
    #[inline]
    pub(super) fn mark(&self, i: usize) -> u16 {
        if self.notes.changed >> i & 1 == 0 {
            AS_IT_CAME
        } else {
            self.notes.latest[i]
        }
    }

    /// How many versions of packets were made in this burst.
    #[inline]
    pub(super) fn versions(&self) -> usize {
        self.notes.versions.len()
    }

    /// Packet `i` as it is now.
    #[inline]
    pub(super) fn packet<'a>(&'a self, packets: &'a [Packet], i: usize) -> &'a Packet {
        self.notes.packet(packets, i)
    }

    /// Packet `i` as it is now, where that is not what came.
    #[inline]
    pub(super) fn version(&self, i: usize) -> Option<&Version> {
        self.notes.version(i)
    }

    /// The buffer of packet `i` as it is now.
    #[inline]
    pub(super) fn bytes<'a>(&'a self, bytes: &'a [&'a [u8]], i: usize) -> &'a [u8] {
        self.notes.bytes(&self.arena, bytes, i)
    }

    /// The buffer of packet `i` if it is a copy.
    pub(super) fn copy(&self, i: usize) -> Option<&[u8]> {
        let place = self.notes.place(i)?;
        Some(place.of(&self.arena))
    }

    /// Packet `i` as it is now, and where its payload lies: index of the buffer, and offset in it.
    #[inline]
    pub(super) fn find<'a>(&'a self, packets: &'a [Packet], i: usize) -> (&'a Packet, (u8, u32)) {
        let came_in = u8::try_from(i).unwrap_or(0);
        match self.version(i) {
            None => (&packets[i], (came_in, packets[i].payload_at)),
            Some(Version { packet, place }) => {
                let (buffer, start) = place.map_or((came_in, 0), |place| (ARENA, place.start));
                (packet, (buffer, start + packet.payload_at))
            }
        }
    }

    /// All that was copied in this burst.
    pub(super) fn arena(&self) -> &[u8] {
        &self.arena
    }

    /// Notes headers of packet `i` that differ from what came, while its bytes do not.
    pub(super) fn override_packet(&mut self, i: usize, packet: Packet) -> bool {
        let place = None;
        self.notes.add(i, Version { packet, place })
    }

    /// What a callback works with.
    #[inline]
    pub(super) fn desk(&mut self) -> Desk<'_> {
        let (kept, room) = self.arena.split_at_mut(self.notes.used);
        Desk {
            kept,
            room,
            notes: &mut self.notes,
        }
    }

    /// Takes in what a callback has made, of packet `i` if it had one at hand.
    #[inline]
    pub(super) fn adopt(&mut self, i: Option<usize>) {
        if self.notes.taken > 0 {
            self.notes.adopt(i);
        }
    }

    /// Packet `i` as a copy that may be changed, with its headers, one that it has already or a new one. `None` where there is
    /// no room.
    pub(super) fn make_copy(
        &mut self,
        packets: &[Packet],
        bytes: &[&[u8]],
        i: usize,
    ) -> Option<(&mut [u8], &mut Packet)> {
        if self.copy(i).is_none() {
            let (mut packet, from) = (*self.packet(packets, i), bytes[i]);
            let start = self.notes.used;
            let copy = self.arena.get_mut(start..start + from.len())?;
            copy.copy_from_slice(from);
            finish_copy(&mut packet, copy);
            let place = Some(place(start, from.len()));
            if !self.notes.add(i, Version { packet, place }) {
                return None;
            }
            self.notes.used += from.len();
        }
        let version = self
            .notes
            .versions
            .get_mut(usize::from(self.notes.latest[i]))?;
        let place = version.place?;
        let bytes = &mut self.arena[place.start as usize..][..place.len as usize];
        Some((bytes, &mut version.packet))
    }

    /// Gives packet `i` a version of `len` bytes, which `write` makes from the one it has: headers and buffer. False where there
    /// is no room; it is what it was then.
    pub(super) fn compose(
        &mut self,
        (packets, bytes): (&[Packet], &[&[u8]]),
        i: usize,
        len: usize,
        write: impl FnOnce(&Packet, &[u8], &mut [u8]) -> Packet,
    ) -> bool {
        let start = self.notes.used;
        let old = *self.packet(packets, i);
        let from = self.notes.place(i);
        if self.arena.len() - start < len || !self.notes.takes_another() {
            return false;
        }
        let (kept, room) = self.arena.split_at_mut(start);
        let from = from.map_or_else(|| bytes[i], |place| place.of(kept));
        let packet = write(&old, from, &mut room[..len]);
        self.notes.used += len;
        let place = Some(place(start, len));
        self.notes.add(i, Version { packet, place })
    }

    /// Gives packet `i` a version that has nothing to do with the one it has: `len` bytes that `write` writes.
    pub(super) fn put(
        &mut self,
        i: usize,
        packet: Packet,
        len: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> bool {
        let start = self.notes.used;
        let Some(room) = self.arena.get_mut(start..start + len) else {
            return false;
        };
        write(room);
        let place = Some(place(start, len));
        let added = self.notes.add(i, Version { packet, place });
        self.notes.used += if added { len } else { 0 };
        added
    }

    /// The version of packet `i` that `mark` names, and the present one as far as it is a copy made since.
    pub(super) fn pair<'a>(
        &'a mut self,
        (packets, bytes): (&'a [Packet], &'a [&'a [u8]]),
        i: usize,
        mark: u16,
    ) -> Option<(&'a Packet, &'a [u8], &'a Packet, &'a mut [u8])> {
        let old = self.notes.versions.get(usize::from(mark));
        let new = self.notes.versions.get(usize::from(self.notes.latest[i]))?;
        let place = new.place?;
        let (kept, rest) = self.arena.split_at_mut(place.start as usize);
        let old_place = old.and_then(|old| old.place);
        let from = match old_place {
            Some(old) if old.start >= place.start => return None,
            Some(old) => old.of(kept),
            None => bytes[i],
        };
        let old = old.map_or_else(|| &packets[i], |old| &old.packet);
        Some((old, from, &new.packet, &mut rest[..place.len as usize]))
    }

    /// Lets packet `i` have the version that `mark` names.
    pub(super) fn restore(&mut self, i: usize, mark: u16) {
        self.notes.latest[i] = mark;
        if mark == AS_IT_CAME {
            self.notes.changed &= !(1 << i);
        } else {
            self.notes.changed |= 1 << i;
        }
    }

    /// Sends packet `i` as it is now, besides. False where that is too much.
    pub(super) fn send_copy(&mut self, i: usize, route: Route) -> bool {
        let place = self.notes.place(i);
        match place {
            Some(place) if self.notes.frames.len() < limits::INJECTED => {
                self.notes.frames.push((route, place));
                true
            }
            _ => false,
        }
    }

    /// Sends a frame of at most `len` bytes, which `write` makes from packet `i` as it is now; it gives the length, 0 for none.
    /// False where there is no room or none was made.
    pub(super) fn send_made(
        &mut self,
        (packets, bytes): (&[Packet], &[&[u8]]),
        (i, route): (usize, Route),
        len: usize,
        write: impl FnOnce(&Packet, &[u8], &mut [u8]) -> usize,
    ) -> bool {
        let start = self.notes.used;
        let packet = *self.packet(packets, i);
        let from = self.notes.place(i);
        if self.arena.len() - start < len || self.notes.frames.len() == limits::INJECTED {
            return false;
        }
        let (kept, room) = self.arena.split_at_mut(start);
        let from = from.map_or_else(|| bytes[i], |place| place.of(kept));
        let made = write(&packet, from, &mut room[..len]);
        if made == 0 {
            return false;
        }
        self.notes.used += made;
        self.notes.frames.push((route, place(start, made)));
        true
    }

    /// Frames that are sent besides, in the order in which they were made.
    pub(super) fn injected(&self) -> impl Iterator<Item = Injected<'_>> {
        self.notes.frames.iter().map(|(route, place)| Injected {
            bytes: place.of(&self.arena),
            route: *route,
        })
    }

    /// One of these, by its number.
    pub(super) fn frame_mut(&mut self, number: usize) -> Option<(Route, &mut [u8])> {
        let (route, place) = *self.notes.frames.get(number)?;
        let bytes = &mut self.arena[place.start as usize..][..place.len as usize];
        Some((route, bytes))
    }

    /// Does not send one of these.
    pub(super) fn take_back(&mut self, number: usize) {
        self.notes.frames.remove(number);
    }

    /// How many.
    pub(super) fn injected_frames(&self) -> usize {
        self.notes.frames.len()
    }
}

impl Shard {
    /// Says whether what comes from now on can be sent on: whether its source stands in a wire. False at first.
    #[inline]
    pub fn set_inline(&mut self, inline: bool) {
        if let Some(changes) = &mut self.changes {
            changes.notes.inline = inline;
        }
    }

    /// Packets of the last burst that actors have changed: packet `i` has bit `i` and is to be sent as [`changed`](Self::changed)
    /// has it.
    #[inline]
    pub fn changes(&self) -> u64 {
        self.made()
            .fold(0, |all, changes| all | changes.notes.changed)
    }

    /// Whether actors have changed packets of the last burst, or made frames.
    #[inline]
    pub fn has_changes(&self) -> bool {
        self.made()
            .any(|changes| changes.notes.changed != 0 || changes.injected_frames() > 0)
    }

    /// The frame of packet `packet` of the last burst as it is to be sent, if it differs from the one that came; of any length.
    pub fn changed(&self, packet: usize) -> Option<&[u8]> {
        self.made()
            .filter_map(|changes| changes.copy(packet))
            .last()
    }

    /// Frames to be sent besides those of the last burst (or [`handle_clock`](Self::handle_clock)), in the order in which actors
    /// made them.
    pub fn injected(&self) -> impl Iterator<Item = Injected<'_>> {
        self.made().flat_map(Changes::injected)
    }

    /// What raw monitors have made in the last burst, and then what hooks have made of that.
    #[inline]
    fn made(&self) -> impl Iterator<Item = &Changes> {
        self.raw
            .changes()
            .into_iter()
            .chain(self.changes.as_deref())
    }
}
