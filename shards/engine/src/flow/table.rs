//! The flow table: bounded, never rehashed, looked up a burst at a time.
//!
//! Two parallel parts: an open-addressing index of one `u64` a place (at most half full, so that a look-up touches one
//! cache line in the common case), and the flows, each with its hot and its cold part on the same page of memory. Memory is
//! reserved when the table is made and touched as flows come, in large pages where the kernel has them.

use alloc::vec::Vec;
use mosaic_port::{advise_large_pages, prefetch};

use super::FlowKey;
use super::entry::{Cold, Hot};
use crate::event::Side;

/// Flows of one shard, by key.
#[derive(Debug)]
pub(crate) struct FlowTable {
    index: Vec<u64>,
    /// How far the upper 32 bits of a hash are shifted to give a place in the index.
    shift: u32,
    seeds: [u64; 4],
    flows: Vec<Flow>,
    /// Places that were given out so far; those behind them were only put in place.
    used: usize,
    free: Vec<u32>,
    flows_max: usize,
}

/// All that is kept of a flow here.
#[derive(Debug)]
#[repr(C)]
struct Flow {
    hot: Hot,
    cold: Cold,
}

const _: () = assert!(size_of::<Flow>() == size_of::<Hot>() + size_of::<Cold>());

/// A flow's place in the index: the upper half tags it (and tells its home place), the lower half is its number plus 1.
const EMPTY: u64 = 0;

impl FlowTable {
    /// An empty table for up to `flows_max` flows; `seed` makes the hash unpredictable to senders.
    pub(crate) fn new(flows_max: usize, seed: u64) -> Self {
        let flows_max = flows_max.clamp(1, 1 << 30);
        let places = (2 * flows_max).next_power_of_two().max(64);
        let table = Self {
            index: alloc::vec![EMPTY; places],
            shift: 32 - places.trailing_zeros(),
            seeds: [0, 1, 2, 3].map(|i| splitmix(seed.wrapping_add(i))),
            flows: Vec::with_capacity(flows_max),
            used: 0,
            free: Vec::new(),
            flows_max,
        };
        advise_large_pages(&table.index);
        advise_large_pages(&table.flows);
        table
    }

    /// Writes to all memory that was reserved; the table must be empty.
    pub(crate) fn prefault(&mut self) {
        self.index.fill(EMPTY);
        self.flows.resize_with(self.flows_max, || Flow {
            hot: Hot::fresh(FlowKey::default()),
            cold: Cold::fresh(),
        });
    }

    /// Flows in the table.
    pub(crate) fn len(&self) -> usize {
        self.used - self.free.len()
    }

    /// Numbers below which every flow is.
    pub(crate) fn places(&self) -> u32 {
        u32::try_from(self.used).unwrap_or(u32::MAX)
    }

    /// Whether there is a flow of this number.
    pub(crate) fn holds(&self, number: u32) -> bool {
        self.flows
            .get(number as usize)
            .is_some_and(|flow| flow.hot.key != FlowKey::default())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() == self.flows_max
    }

    /// Hash of a key: two folded multiplications for IPv4, three for IPv6.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "halves of 128-bit values")]
    pub(crate) fn hash(&self, key: &FlowKey) -> u64 {
        let (lower, upper, domain, rest) = key.parts();
        let rest = rest ^ domain.rotate_left(17);
        let mut hash = fold(lower as u64 ^ self.seeds[0], upper as u64 ^ self.seeds[1]);
        if key.is_v6() {
            hash ^= fold(
                (lower >> 64) as u64 ^ self.seeds[2],
                (upper >> 64) as u64 ^ self.seeds[3],
            );
        }
        fold(hash ^ self.seeds[3], rest ^ self.seeds[2])
    }

    /// First stage of a look-up: fetch the place in the index.
    #[inline]
    pub(crate) fn prefetch_index(&self, hash: u64) {
        prefetch(&self.index[self.home(tag(hash))]);
    }

    /// Second stage: the number of the flow that probably has this hash; its hot part is fetched.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Option<u32> {
        let mut place = self.home(tag(hash));
        while self.index[place] != EMPTY {
            if self.index[place] >> 32 == tag(hash) {
                let number = number(self.index[place]);
                // Two lines: the neighbour is not fetched by itself everywhere.
                let hot: *const Hot = &self.flows[number as usize].hot;
                prefetch(hot);
                prefetch(hot.cast::<u8>().wrapping_add(64));
                return Some(number);
            }
            place = self.after(place);
        }
        None
    }

    /// Third stage: whether the candidate is the flow; a full look-up where it is not.
    #[inline]
    pub(crate) fn find(&self, key: &FlowKey, hash: u64, candidate: Option<u32>) -> Option<u32> {
        match candidate {
            Some(number) if self.flows[number as usize].hot.key == *key => Some(number),
            _ => self.search(key, hash),
        }
    }

    fn search(&self, key: &FlowKey, hash: u64) -> Option<u32> {
        let mut place = self.home(tag(hash));
        while self.index[place] != EMPTY {
            if self.index[place] >> 32 == tag(hash) {
                let number = number(self.index[place]);
                if self.flows[number as usize].hot.key == *key {
                    return Some(number);
                }
            }
            place = self.after(place);
        }
        None
    }

    /// Adds a flow whose key is not in the table, and returns its number. The generation of its place counts on.
    ///
    /// # Panics
    /// Where the table is full.
    pub(crate) fn insert(&mut self, hash: u64, hot: Hot, mut cold: Cold) -> u32 {
        let number = self.take_place();
        let place = &mut self.flows[number as usize];
        cold.generation = place.cold.generation.wrapping_add(1);
        *place = Flow { hot, cold };
        self.enter(hash, number);
        number
    }

    /// As [`insert`](Self::insert), for a flow whose cold part nobody will look at: that is left as it is.
    ///
    /// # Panics
    /// Where the table is full.
    pub(crate) fn insert_hot(&mut self, hash: u64, hot: Hot) -> u32 {
        let number = self.take_place();
        self.flows[number as usize].hot = hot;
        self.enter(hash, number);
        number
    }

    /// A place for a new flow.
    fn take_place(&mut self) -> u32 {
        assert!(!self.is_full(), "the caller makes room");
        self.free.pop().unwrap_or_else(|| {
            if self.used == self.flows.len() {
                self.flows.push(Flow {
                    hot: Hot::fresh(FlowKey::default()),
                    cold: Cold::fresh(),
                });
            }
            self.used += 1;
            u32::try_from(self.used - 1).unwrap_or(u32::MAX)
        })
    }

    /// Writes a flow into the index.
    fn enter(&mut self, hash: u64, number: u32) {
        let mut place = self.home(tag(hash));
        while self.index[place] != EMPTY {
            place = self.after(place);
        }
        self.index[place] = tag(hash) << 32 | u64::from(number + 1);
    }

    /// Takes flow `number` out.
    pub(crate) fn remove(&mut self, number: u32) {
        let hash = self.hash(&self.flows[number as usize].hot.key);
        let mut place = self.home(tag(hash));
        while self::number(self.index[place]) != number || self.index[place] == EMPTY {
            place = self.after(place);
        }
        self.close_up(place);
        // An impossible key (no family), so that a stale candidate never matches.
        self.flows[number as usize].hot.key = FlowKey::default();
        self.free.push(number);
    }

    /// Empties `hole` by moving up those behind it that may stand there (no tombstones, so look-ups stay short).
    fn close_up(&mut self, mut hole: usize) {
        let mask = self.index.len() - 1;
        let mut place = self.after(hole);
        while self.index[place] != EMPTY {
            let home = self.home(self.index[place] >> 32);
            if place.wrapping_sub(home) & mask >= place.wrapping_sub(hole) & mask {
                self.index[hole] = self.index[place];
                hole = place;
            }
            place = self.after(place);
        }
        self.index[hole] = EMPTY;
    }

    #[inline]
    pub(crate) fn hot(&self, number: u32) -> &Hot {
        &self.flows[number as usize].hot
    }

    #[inline]
    pub(crate) fn hot_mut(&mut self, number: u32) -> &mut Hot {
        &mut self.flows[number as usize].hot
    }

    #[inline]
    pub(crate) fn cold(&self, number: u32) -> &Cold {
        &self.flows[number as usize].cold
    }

    #[inline]
    pub(crate) fn cold_mut(&mut self, number: u32) -> &mut Cold {
        &mut self.flows[number as usize].cold
    }

    /// Both parts of a flow.
    #[inline]
    pub(crate) fn both_mut(&mut self, number: u32) -> (&mut Hot, &mut Cold) {
        let Flow { hot, cold } = &mut self.flows[number as usize];
        (hot, cold)
    }

    /// Fetches the cold part of a flow.
    #[inline]
    pub(crate) fn prefetch_cold(&self, number: u32) {
        let cold: *const Cold = &self.flows[number as usize].cold;
        prefetch(cold);
        prefetch(cold.cast::<u8>().wrapping_add(64));
    }

    /// Fetches what is kept about troubles, where timestamps are.
    #[inline]
    pub(crate) fn prefetch_troubles(&self, number: u32) {
        for side in Side::BOTH {
            prefetch(self.flows[number as usize].cold.trouble(side));
        }
    }

    /// Fetches the memory that the next new flow but `nth` will be written to; returns its number.
    #[inline]
    pub(crate) fn prefetch_new(&self, nth: u64) -> u32 {
        let nth = usize::try_from(nth).unwrap_or(0);
        let number = match self.free.len().checked_sub(nth + 1) {
            Some(at) => self.free[at] as usize,
            None => self.used + nth - self.free.len(),
        };
        let flow = self.flows.as_ptr().wrapping_add(number).cast::<u8>();
        for line in 0..size_of::<Flow>() / 64 {
            prefetch(flow.wrapping_add(64 * line));
        }
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// The flow with the smallest number from `from` on.
    pub(crate) fn first_from(&self, from: u32) -> Option<u32> {
        (from..)
            .zip(self.flows.get(from as usize..self.used)?)
            .find(|(_, flow)| flow.hot.key != FlowKey::default())
            .map(|(number, _)| number)
    }

    fn home(&self, tag: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "at most 32 bits")]
        let place = (tag >> self.shift) as usize;
        place
    }

    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.index.len() - 1)
    }
}

fn tag(hash: u64) -> u64 {
    hash >> 32
}

fn number(entry: u64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the number stands in the lower half"
    )]
    let number = entry as u32;
    number.wrapping_sub(1)
}

/// Both halves of the 128-bit product, mixed.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "halves of the product")]
    let folded = product as u64 ^ (product >> 64) as u64;
    folded
}

/// Spreads a seed over 64 bits (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Proto;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn key(n: u16) -> FlowKey {
        FlowKey::v4(
            0x0a00_0000 + u32::from(n),
            0xc0a8_0001,
            1000,
            80,
            Proto::TCP,
            0,
        )
        .0
    }

    fn entry(key: FlowKey) -> (Hot, Cold) {
        (Hot::fresh(key), Cold::fresh())
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(moves in proptest::collection::vec((any::<bool>(), 0..300_u16), 0..2000)) {
            let mut table = FlowTable::new(200, 7);
            let mut model = BTreeMap::new();
            for (add, n) in moves {
                let key = key(n);
                let hash = table.hash(&key);
                let found = table.find(&key, hash, table.candidate(hash));
                prop_assert_eq!(found, model.get(&n).copied());
                match found {
                    None if add && !table.is_full() => {
                        let (hot, cold) = entry(key);
                        model.insert(n, table.insert(hash, hot, cold));
                    }
                    Some(number) if !add => {
                        table.remove(number);
                        model.remove(&n);
                    }
                    _ => {}
                }
                prop_assert_eq!(table.len(), model.len());
            }
            let next = |number: Option<u32>| table.first_from(number.map_or(0, |number| number + 1));
            let numbers: Vec<_> = core::iter::successors(next(None), |number| next(Some(*number))).collect();
            let mut expected: Vec<_> = model.into_values().collect();
            expected.sort_unstable();
            prop_assert_eq!(numbers, expected);
        }
    }

    #[test]
    fn a_place_that_is_used_again_has_another_generation() {
        let mut table = FlowTable::new(1, 0);
        let (hot, cold) = entry(key(1));
        let number = table.insert(table.hash(&key(1)), hot, cold);
        let before = table.cold(number).generation;
        table.remove(number);
        let (hot, cold) = entry(key(2));
        assert_eq!(table.insert(table.hash(&key(2)), hot, cold), number);
        assert_ne!(table.cold(number).generation, before);
    }
}
