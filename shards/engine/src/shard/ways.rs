//! How the ends of a flow are reached when none of its packets is at hand: what stood around the last ones of each side, for
//! flows of which a monitor [asked](crate::actor::MonitorBuilder::injects) for it. Flows share what is equal, as most of those
//! between two routers are.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use arrayvec::ArrayVec;

use super::inject::link_header;
use super::{Run, Shard};
use crate::event::Side;
use crate::flow::per_flow::PerFlow;
use crate::limits;
use crate::wire::LINK_MAX;
use mosaic_port::LinkType;

/// What stands around packets of a side.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Way {
    /// The link layer.
    pub(super) link: ArrayVec<u8, LINK_MAX>,
    pub(super) is_ethernet: bool,
    /// Where they came in.
    pub(super) interface: u32,
}

/// In the place of the number of a way: nobody asked.
const UNASKED: u16 = u16::MAX;
/// The same: not known yet.
const UNKNOWN: u16 = u16::MAX - 1;

const _: () = assert!(
    limits::WAYS <= UNKNOWN as usize,
    "ways are numbered by a u16"
);

/// The ways to the ends of flows, by flow number.
#[derive(Debug)]
pub(crate) struct Ways {
    /// Each with the number of sides of flows that have it; 0 for places that are free.
    known: Vec<(Way, u32)>,
    free: Vec<u16>,
    numbers: BTreeMap<Way, u16>,
    /// Those of the packets of each side.
    of_flow: PerFlow<[u16; 2]>,
}

impl Ways {
    /// Takes no memory before the first flow.
    pub(super) fn new(flows_max: usize) -> Self {
        Self {
            known: Vec::new(),
            free: Vec::new(),
            numbers: BTreeMap::new(),
            of_flow: PerFlow::new(flows_max, [UNASKED; 2]),
        }
    }

    /// Whether no flow has ever been asked about.
    #[inline]
    pub(super) fn are_unused(&self) -> bool {
        self.of_flow.is_unused()
    }

    /// Ways of flow `flow` are to be remembered from now on.
    pub(super) fn begin(&mut self, flow: u32) {
        *self.of_flow.at(flow) = [UNKNOWN; 2];
    }

    /// The flow is gone.
    pub(super) fn forget(&mut self, flow: u32) {
        if let Some(ways) = self.of_flow.of_mut(flow) {
            for number in core::mem::replace(ways, [UNASKED; 2]) {
                self.give(number);
            }
        }
    }

    /// What was the client's is the server's, and the other way round.
    pub(super) fn swap_sides(&mut self, flow: u32) {
        if let Some(ways) = self.of_flow.of_mut(flow) {
            ways.swap(0, 1);
        }
    }

    /// What stood around the last packets of `side`.
    pub(super) fn of(&self, flow: u32, side: Side) -> Option<&Way> {
        let number = self.of_flow.of(flow)?[side as usize];
        self.known.get(usize::from(number)).map(|(way, _)| way)
    }

    fn is_asked(&self, flow: u32) -> bool {
        let ways = self.of_flow.of(flow);
        ways.is_some_and(|ways| ways[0] != UNASKED)
    }

    /// Notes what stands around a packet of `side`. False where too many ways are in use for that: then nothing is known.
    fn note(&mut self, flow: u32, side: Side, way: Way) -> bool {
        if self.of(flow, side) == Some(&way) {
            return true;
        }
        let number = self.take(way);
        let place = &mut self.of_flow.at(flow)[side as usize];
        let old = core::mem::replace(place, number.unwrap_or(UNKNOWN));
        self.give(old);
        number.is_some()
    }

    fn take(&mut self, way: Way) -> Option<u16> {
        if let Some(number) = self.numbers.get(&way) {
            self.known[usize::from(*number)].1 += 1;
            return Some(*number);
        }
        let number = match self.free.pop() {
            Some(number) => {
                self.known[usize::from(number)] = (way.clone(), 1);
                number
            }
            None if self.known.len() < limits::WAYS => {
                self.known.push((way.clone(), 1));
                u16::try_from(self.known.len() - 1).ok()?
            }
            None => return None,
        };
        self.numbers.insert(way, number);
        Some(number)
    }

    fn give(&mut self, number: u16) {
        let Some((way, users)) = self.known.get_mut(usize::from(number)) else {
            return;
        };
        *users -= 1;
        if *users == 0 {
            self.numbers.remove(way);
            self.free.push(number);
        }
    }
}

impl Shard {
    /// Remembers how the sender of packet `i` is reached, where that was asked for.
    #[cold]
    pub(super) fn note_way(&mut self, run: &Run<'_>, i: usize, flow: u32) {
        if !run.changes.notes.inline || !self.ways.is_asked(flow) {
            return;
        }
        // As it came: a segment of an edited flow that has waited stands in the place of another packet.
        let Some((packet, bytes)) = run.packets.get(i).zip(run.bytes.get(i)) else {
            return;
        };
        let Some(frame) = run.frames.frame(packet.buffer.frame()) else {
            return;
        };
        let Some(link) = link_header(packet, bytes) else {
            return;
        };
        let way = Way {
            link,
            is_ethernet: packet.link == LinkType::ETHERNET,
            interface: frame.interface,
        };
        let hot = self.table.hot(flow);
        let side = if packet.key == hot.key {
            hot.side_of(packet.direction)
        } else {
            // Of a translated flow, found under its other key.
            let alias = self.aliases.find(&packet.key, self.table.hash(&packet.key));
            match alias {
                Some((_, client)) if client == packet.direction => Side::Client,
                Some(_) => Side::Server,
                None => return,
            }
        };
        if !self.ways.note(flow, side, way) {
            self.counters.ways_refused += 1;
            self.counters.bounds_hit += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap as Model;

    proptest! {
        /// Against a plain map, in which nothing is shared.
        #[test]
        fn flows_have_the_way_that_was_noted_last(
            moves in proptest::collection::vec((0..4_u8, 0..6_u32, 0..5_u8), 0..300),
        ) {
            let mut ways = Ways::new(6);
            let mut model = Model::new();
            let way = |n: u8| Way {
                link: core::iter::repeat_n(n, 14).collect(),
                is_ethernet: true,
                interface: u32::from(n % 2),
            };
            for (what, flow, n) in moves {
                let side = if n % 2 == 0 { Side::Client } else { Side::Server };
                match what {
                    0 if !ways.is_asked(flow) => {
                        ways.begin(flow);
                        model.insert(flow, [None, None]);
                    }
                    1 => {
                        ways.forget(flow);
                        model.remove(&flow);
                    }
                    2 => {
                        ways.swap_sides(flow);
                        model.entry(flow).and_modify(|sides| sides.swap(0, 1));
                    }
                    _ if ways.is_asked(flow) => {
                        prop_assert!(ways.note(flow, side, way(n)));
                        model.get_mut(&flow).unwrap()[side as usize] = Some(n);
                    }
                    _ => {}
                }
                for flow in 0..6 {
                    prop_assert_eq!(ways.is_asked(flow), model.contains_key(&flow));
                    for side in Side::BOTH {
                        let expected = model.get(&flow).and_then(|sides| sides[side as usize]);
                        prop_assert_eq!(ways.of(flow, side).cloned(), expected.map(way));
                    }
                }
                let used: std::collections::BTreeSet<u8> = model.values().flatten().flatten().copied().collect();
                prop_assert_eq!(ways.numbers.len(), used.len());
            }
        }
    }

    #[test]
    fn where_too_many_are_in_use_none_is_known() {
        let mut ways = Ways::new(1 << 17);
        let way = |n: usize| Way {
            link: u32::try_from(n)
                .unwrap()
                .to_be_bytes()
                .into_iter()
                .collect(),
            is_ethernet: true,
            interface: 0,
        };
        for n in 0..limits::WAYS {
            let flow = u32::try_from(n).unwrap();
            ways.begin(flow);
            assert!(ways.note(flow, Side::Client, way(n)));
        }
        assert!(!ways.note(0, Side::Client, way(limits::WAYS)));
        assert_eq!(ways.of(0, Side::Client), None);
        // There is room again.
        assert!(ways.note(0, Side::Client, way(limits::WAYS)));
        assert!(ways.note(0, Side::Server, way(1)));
    }
}
