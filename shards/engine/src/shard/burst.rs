//! What lives for one burst: which flows it touched, and where their new bytes lie.

use alloc::vec::Vec;
use arrayvec::ArrayVec;
use mosaic_port::Timestamp;

use crate::event::{Event, Hook, Side};
use crate::flow::entry::NONE;
use crate::limits::MONITORS;
use crate::stream::{BurstSegment, SideStore};

/// End of a list of segments or events.
pub(super) const END: u16 = u16::MAX;

/// One side of an active flow.
#[derive(Clone, Debug)]
pub(super) struct ActiveSide {
    /// Next expected byte at the last delivery: readers that keep up stand here.
    pub(super) fresh: u64,
    pub(super) first_segment: u16,
    last_segment: u16,
    /// Whether there are bytes to deliver.
    pub(super) grew: bool,
    /// Readers that have peeked since the last delivery, a bit each.
    peeked: u16,
}

impl ActiveSide {
    /// Everything up to `next` is delivered: what comes now is fresh.
    pub(super) fn settle(&mut self, next: u64) {
        self.fresh = next;
        self.first_segment = END;
        self.last_segment = END;
        self.grew = false;
        self.peeked = 0;
    }
}

/// A flow that a burst, or its removal, touches: one cache line, and one for each side that has readers.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Active {
    /// Number of the flow; [`NONE`] once it was removed.
    pub(super) flow: u32,
    /// Time of its last packet.
    pub(super) now: Timestamp,
    /// Who is to be shown `ConnStart` and `ConnEstablished`, before any data; a bit each.
    pub(super) beginning: [u16; 2],
    first_event: u16,
    last_event: u16,
    /// Its last packet in the burst, and who sent that.
    pub(super) packet: Option<(u8, Side)>,
    pub(super) sides: [ActiveSide; 2],
    /// Where the readers stand that have peeked, by side and reader.
    positions: [[u64; MONITORS]; 2],
}

const _: () = assert!(core::mem::offset_of!(Active, positions) <= 64);

impl Active {
    /// Where a reader stands on `side`.
    #[inline]
    pub(super) fn position(&self, side: Side, reader: u8, store: Option<&SideStore>) -> u64 {
        let (half, bit) = (&self.sides[side as usize], 1 << reader);
        if half.peeked & bit != 0 {
            return self.positions[side as usize][usize::from(reader)];
        }
        Self::stored_position(reader, store, half.fresh)
    }

    /// The same at the last delivery, where one that keeps up stood at `fresh`.
    #[inline]
    pub(super) fn stored_position(reader: u8, store: Option<&SideStore>, fresh: u64) -> u64 {
        match store {
            Some(store) if store.laggards & 1 << reader != 0 => {
                store.positions[usize::from(reader)]
            }
            _ => fresh,
        }
    }

    #[inline]
    pub(super) fn set_position(&mut self, side: Side, reader: u8, position: u64) {
        self.sides[side as usize].peeked |= 1 << reader;
        self.positions[side as usize][usize::from(reader)] = position;
    }

    /// Bytes of `side` below `floor` that a reader has yet to read. There may be holes only below `fresh`, and all that is
    /// unread there is held.
    pub(super) fn unread_below(
        &self,
        side: Side,
        floor: u64,
        reader: u8,
        store: Option<&SideStore>,
    ) -> u64 {
        let position = self.position(side, reader, store);
        if position >= floor {
            return 0;
        }
        let fresh = self.sides[side as usize].fresh;
        let held = store.map_or(0, |store| store.held_between(position, floor.min(fresh)));
        held + floor.saturating_sub(fresh.max(position))
    }

    /// What was the client's is the server's, and the other way round.
    pub(super) fn swap_sides(&mut self) {
        self.sides.swap(0, 1);
        self.positions.swap(0, 1);
    }

    /// Whether every one of `readers` has peeked up to `next` on `side`.
    #[inline]
    pub(super) fn all_read(&self, side: Side, readers: u16, next: u64) -> bool {
        readers & !self.sides[side as usize].peeked == 0
            && super::monitors::members(readers)
                .all(|reader| self.positions[side as usize][usize::from(reader)] == next)
    }
}

/// An event for the end of the burst.
#[derive(Clone, Copy, Debug)]
struct Queued {
    event: Event,
    /// Who asked for it, a bit each.
    asked: u16,
    next: u16,
}

/// Scratch memory of a burst, used again by the next.
#[derive(Debug, Default)]
pub(super) struct Burst {
    pub(super) actives: Vec<Active>,
    pub(super) used: u8,
    pub(super) segments: Vec<BurstSegment>,
    /// Flows without a slot of which a side grew.
    pub(super) grown: ArrayVec<u32, { crate::limits::BURST }>,
    queued: Vec<Queued>,
    /// What the packet at hand has raised, for its hooks.
    pending: ArrayVec<(Hook, Event), PENDING>,
}

/// The most events that wait for the hooks of one packet: a beginning at two hooks, five changes of state, two repetitions
/// and an establishment.
const PENDING: usize = 16;

impl Burst {
    /// A slot for `flow`, whose next expected bytes are `next`.
    pub(super) fn activate(&mut self, flow: u32, next: [u64; 2], now: Timestamp) -> u8 {
        let slot = self.used;
        if self.actives.len() == usize::from(slot) {
            let side = ActiveSide {
                fresh: 0,
                first_segment: END,
                last_segment: END,
                grew: false,
                peeked: 0,
            };
            self.actives.push(Active {
                flow,
                sides: [side.clone(), side],
                now,
                beginning: [0; 2],
                first_event: END,
                last_event: END,
                packet: None,
                positions: [[0; MONITORS]; 2],
            });
        }
        let active = &mut self.actives[usize::from(slot)];
        active.flow = flow;
        active.now = now;
        active.beginning = [0; 2];
        active.packet = None;
        (active.first_event, active.last_event) = (END, END);
        for (side, next) in active.sides.iter_mut().zip(next) {
            side.settle(next);
        }
        self.used += 1;
        slot
    }

    /// Notes which packet of the burst the flow at `slot` had last.
    #[inline]
    pub(super) fn note_packet(&mut self, slot: u8, i: usize, sender: Side) {
        let i = u8::try_from(i).unwrap_or(0);
        self.actives[usize::from(slot)].packet = Some((i, sender));
    }

    /// Adds an in-order run of bytes to a side.
    #[inline]
    pub(super) fn push_segment(&mut self, slot: u8, side: usize, segment: BurstSegment) {
        let index = u16::try_from(self.segments.len()).unwrap_or(END);
        let side = &mut self.actives[usize::from(slot)].sides[side];
        match side.last_segment {
            END => side.first_segment = index,
            last => self.segments[usize::from(last)].next = index,
        }
        side.last_segment = index;
        self.segments.push(segment);
    }

    /// Keeps an event for the end of the burst, for those who have asked for it, a bit each.
    pub(super) fn queue(&mut self, slot: u8, event: Event, asked: u16) {
        match event {
            Event::ConnStart => return self.actives[usize::from(slot)].beginning[0] = asked,
            Event::ConnEstablished => return self.actives[usize::from(slot)].beginning[1] = asked,
            _ => {}
        }
        // More than fit are possible only where actors raise many events of their own for each packet.
        let Some(index) = u16::try_from(self.queued.len())
            .ok()
            .filter(|at| *at != END)
        else {
            return;
        };
        let active = &mut self.actives[usize::from(slot)];
        match active.last_event {
            END => active.first_event = index,
            last => self.queued[usize::from(last)].next = index,
        }
        active.last_event = index;
        self.queued.push(Queued {
            event,
            asked,
            next: END,
        });
    }

    /// Keeps an event for a hook of the packet at hand.
    pub(super) fn hold(&mut self, event: Event, hook: Hook) {
        let held = self.pending.try_push((hook, event));
        debug_assert!(held.is_ok(), "more events than a packet can raise");
    }

    /// Whether events wait for a hook of the packet at hand.
    #[inline]
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The packet at hand is seen by no further hook.
    pub(super) fn forget_pending(&mut self) {
        self.pending.clear();
    }

    /// Takes the events that wait for `hook`, in the order in which they are shown: what begins, what changes, what repeats.
    pub(super) fn take_pending(&mut self, hook: Hook) -> ArrayVec<Event, PENDING> {
        let mut taken: ArrayVec<_, PENDING> = ArrayVec::new();
        self.pending.retain(|(at, event)| {
            let is_due = *at == hook;
            if is_due {
                taken.push(*event);
            }
            !is_due
        });
        taken.sort_by_key(|event| match event {
            Event::ConnStart => 0,
            Event::ConnEstablished => 1,
            Event::StateChange { .. } => 2,
            _ => 3,
        });
        taken
    }

    /// Takes the first kept event of a flow, and who asked for it.
    pub(super) fn pop_event(&mut self, slot: u8) -> Option<(Event, u16)> {
        let active = &mut self.actives[usize::from(slot)];
        let queued = self.queued.get(usize::from(active.first_event))?;
        active.first_event = queued.next;
        if active.first_event == END {
            active.last_event = END;
        }
        Some((queued.event, queued.asked))
    }

    /// Whether events were kept for a slot's flow.
    #[inline]
    pub(super) fn has_events(&self, slot: u8) -> bool {
        self.actives[usize::from(slot)].first_event != END
    }

    /// Whether a slot's flow has neither events nor new bytes to tell.
    #[inline]
    pub(super) fn is_quiet(&self, slot: u8) -> bool {
        let active = &self.actives[usize::from(slot)];
        active.beginning == [0; 2]
            && active.first_event == END
            && active.sides.iter().all(|side| !side.grew)
    }

    /// Whether a slot's flow is still there.
    pub(super) fn is_live(&self, slot: u8) -> bool {
        self.actives[usize::from(slot)].flow != NONE
    }

    /// Ready for the next burst.
    pub(super) fn clear(&mut self) {
        self.used = 0;
        self.segments.clear();
        self.queued.clear();
    }
}
