//! What is kept of the few flows with which something special is done: those that are blocked or translated. Their packets
//! are told by a flag of the flow; the others pay for nothing here.

use alloc::vec::Vec;

use super::inject::Answered;
use super::translate::Translated;
use super::{Run, Shard};
use crate::event::Side;
use crate::flow::entry::Flags;
use crate::flow::per_flow::PerFlow;

/// What is special about a flow.
#[derive(Clone, Debug, Default)]
pub(super) struct Special {
    /// Its packets are dropped unseen.
    pub(super) blocked: bool,
    /// Its streams are edited: where what is kept for that stands.
    pub(super) edited: Option<u32>,
    /// The client got its answer from here.
    pub(super) answered: Option<Answered>,
    /// Its addresses are translated.
    pub(super) translated: Option<Translated>,
}

impl Special {
    /// Whether nothing is.
    fn is_plain(&self) -> bool {
        !self.blocked
            && self.edited.is_none()
            && self.answered.is_none()
            && self.translated.is_none()
    }
}

/// The special flows of a shard: at most as many as it has flows.
#[derive(Debug)]
pub(super) struct Specials {
    /// Place in `list`, plus 1; 0 for flows that have none.
    index: PerFlow<u32>,
    list: Vec<Special>,
    free: Vec<u32>,
}

impl Specials {
    /// For the flows of a table of this size.
    pub(super) fn new(flows_max: usize) -> Self {
        // Reserved, not touched.
        Self {
            index: PerFlow::new(flows_max, 0),
            list: Vec::with_capacity(flows_max),
            free: Vec::new(),
        }
    }

    /// Whether there are none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.list.len() == self.free.len()
    }

    fn place(&self, flow: u32) -> Option<usize> {
        let place = self.index.of(flow)?.checked_sub(1)?;
        usize::try_from(place).ok()
    }

    /// What is special about a flow, if anything is.
    pub(super) fn get(&self, flow: u32) -> Option<&Special> {
        self.list.get(self.place(flow)?)
    }

    /// Where what is kept for a flow stands, if its streams are edited.
    pub(super) fn edited(&self, flow: u32) -> Option<u32> {
        self.get(flow)?.edited
    }

    /// What is special about a flow; made if need be.
    pub(super) fn make(&mut self, flow: u32) -> &mut Special {
        let place = match self.place(flow) {
            Some(place) => place,
            None => {
                let place = self.free.pop().unwrap_or_else(|| {
                    self.list.push(Special::default());
                    u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX)
                });
                *self.index.at(flow) = place + 1;
                place as usize
            }
        };
        &mut self.list[place]
    }

    /// The flow is like any other now.
    fn drop_of(&mut self, flow: u32) {
        let Some(place) = self.index.of_mut(flow) else {
            return;
        };
        if let Some(place) = core::mem::take(place).checked_sub(1) {
            self.list[place as usize] = Special::default();
            self.free.push(place);
        }
    }
}

impl Shard {
    /// Whether something special is done with a flow.
    #[inline]
    pub(super) fn is_special(&self, number: u32) -> bool {
        self.table.hot(number).flags.contains(Flags::SPECIAL)
    }

    /// Changes what is special about a flow.
    pub(super) fn make_special(&mut self, flow: u32, change: impl FnOnce(&mut Special)) {
        let special = self.specials.make(flow);
        change(special);
        if special.is_plain() {
            self.specials.drop_of(flow);
        }
        let is_special = self.specials.get(flow).is_some();
        self.table
            .hot_mut(flow)
            .flags
            .set(Flags::SPECIAL, is_special);
    }

    /// The flow is about to be removed.
    pub(super) fn forget_special(&mut self, flow: u32) {
        if self.is_special(flow)
            && let Some(special) = self.specials.get(flow).cloned()
        {
            if let Some(place) = special.edited {
                self.edited.give(place);
            }
            self.forget_translation(&special);
            self.specials.drop_of(flow);
        }
    }

    /// What comes before all else with a packet of a special flow; whether that was all.
    #[cold]
    pub(super) fn enter_special(
        &mut self,
        run: &mut Run<'_>,
        i: usize,
        number: u32,
        side: Side,
    ) -> bool {
        let Some(special) = self.specials.get(number) else {
            return false;
        };
        let (blocked, edited) = (special.blocked, special.edited);
        if blocked {
            run.dropped |= 1 << i;
            let len = u64::from(run.packets[i].payload_len);
            let rare = self.table.cold_mut(number).half_mut(side);
            rare.payload_adjust = rare.payload_adjust.wrapping_add(len);
            self.answer_on(run, i, number, side);
        } else if let Some(place) = edited {
            let first = run.changes.injected_frames();
            self.handle_edited(run, i, number, place);
            self.translate_made(run, (i, first), number, side);
            self.leave_special(run, i, number);
        }
        blocked || edited.is_some()
    }
}
