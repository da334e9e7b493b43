//! Further keys under which flows are found: those of translated packets.

use alloc::vec::Vec;

use super::{Direction, FlowKey};

/// A further key of a flow.
#[derive(Clone, Copy, Debug)]
struct Alias {
    key: FlowKey,
    hash: u32,
    flow: u32,
    /// Which way packets of the client run through the key.
    client: Direction,
}

/// Keys of translated flows, at most as many as there are flows.
#[derive(Debug)]
pub(crate) struct Aliases {
    /// Place in `list`, plus 1; at most half full.
    index: Vec<u32>,
    list: Vec<Alias>,
    free: Vec<u32>,
    max: usize,
}

impl Aliases {
    /// Room for the flows of a table of this size.
    pub(crate) fn new(flows_max: usize) -> Self {
        let max = flows_max.clamp(1, 1 << 30);
        // Reserved, not touched.
        Self {
            index: alloc::vec![0; (2 * max).next_power_of_two()],
            list: Vec::with_capacity(max),
            free: Vec::new(),
            max,
        }
    }

    /// Whether there is none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.list.len() == self.free.len()
    }

    /// Whether no other has room.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() - self.free.len() == self.max
    }

    /// The flow that is found under `key`, whose hash in the flow table is `hash`, and which way its client's packets run.
    pub(crate) fn find(&self, key: &FlowKey, hash: u64) -> Option<(u32, Direction)> {
        let place = self.place(key, tag(hash))?;
        let alias = &self.list[self.index[place] as usize - 1];
        Some((alias.flow, alias.client))
    }

    fn place(&self, key: &FlowKey, hash: u32) -> Option<usize> {
        let mut place = self.home(hash);
        while let Some(number) = self.index[place].checked_sub(1) {
            let alias = &self.list[number as usize];
            if alias.hash == hash && alias.key == *key {
                return Some(place);
            }
            place = self.after(place);
        }
        None
    }

    /// Adds a key that is not there; the caller has seen that there is room.
    pub(crate) fn insert(&mut self, key: FlowKey, hash: u64, flow: u32, client: Direction) {
        let hash = tag(hash);
        let alias = Alias {
            key,
            hash,
            flow,
            client,
        };
        let number = match self.free.pop() {
            Some(number) => {
                self.list[number as usize] = alias;
                number
            }
            None => {
                self.list.push(alias);
                u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let mut place = self.home(hash);
        while self.index[place] != 0 {
            place = self.after(place);
        }
        self.index[place] = number + 1;
    }

    /// Takes a key out, if it is there.
    pub(crate) fn remove(&mut self, key: &FlowKey, hash: u64) {
        let Some(mut hole) = self.place(key, tag(hash)) else {
            return;
        };
        self.free.push(self.index[hole] - 1);
        // Those behind move up, as in the flow table.
        let mask = self.index.len() - 1;
        let mut place = self.after(hole);
        while let Some(number) = self.index[place].checked_sub(1) {
            let home = self.home(self.list[number as usize].hash);
            if place.wrapping_sub(home) & mask >= place.wrapping_sub(hole) & mask {
                self.index[hole] = self.index[place];
                hole = place;
            }
            place = self.after(place);
        }
        self.index[hole] = 0;
    }

    fn home(&self, hash: u32) -> usize {
        hash as usize & (self.index.len() - 1)
    }

    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.index.len() - 1)
    }
}

/// The half of a hash that is well mixed.
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Proto;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn behaves_like_a_map(moves in proptest::collection::vec((any::<bool>(), 0..60_u16), 0..400)) {
            let mut aliases = Aliases::new(40);
            let mut model = BTreeMap::new();
            for (add, n) in moves {
                let (key, direction) = FlowKey::v4(n.into(), 7, 1, 2, Proto::TCP, 0);
                // Many meet at one place.
                let hash = u64::from(n % 8) << 32;
                prop_assert_eq!(aliases.find(&key, hash), model.get(&n).copied());
                if add && !model.contains_key(&n) && !aliases.is_full() {
                    aliases.insert(key, hash, n.into(), direction);
                    model.insert(n, (u32::from(n), direction));
                } else if !add {
                    aliases.remove(&key, hash);
                    model.remove(&n);
                }
                prop_assert_eq!(aliases.is_empty(), model.is_empty());
                prop_assert_eq!(aliases.is_full(), model.len() == 40);
            }
        }
    }
}
