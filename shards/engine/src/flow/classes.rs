//! Which flows are of which class, for the day one of them has to go: sets of bits with summaries above them.
//!
//! A change of class touches two words of a dense table, not the neighbours that a linked list would: flows change class
//! several times in a short life, and are chosen for eviction rarely.

use alloc::vec::Vec;
use mosaic_port::prefetch;

const WORD_BITS: usize = u64::BITS as usize;

/// Members of several classes; a member is in at most one of them.
#[derive(Debug)]
pub(crate) struct Classes {
    classes: Vec<Class>,
}

/// One class, and where the search for a victim goes on.
#[derive(Debug)]
struct Class {
    members: BitTree,
    hand: u32,
}

impl Classes {
    /// `classes` empty classes for the numbers below `members`.
    pub(crate) fn new(classes: usize, members: usize) -> Self {
        let class = || Class {
            members: BitTree::new(members),
            hand: 0,
        };
        Self {
            classes: core::iter::repeat_with(class).take(classes).collect(),
        }
    }

    /// Adds `member` to `class`. It must be in none.
    #[inline]
    pub(crate) fn insert(&mut self, class: usize, member: u32) {
        self.classes[class].members.insert(member as usize);
    }

    /// Takes `member` out of `class`, which it must be in.
    #[inline]
    pub(crate) fn remove(&mut self, class: usize, member: u32) {
        self.classes[class].members.remove(member as usize);
    }

    /// A member of `class` to be removed next. Victims are taken in turn by number, as the hand of a clock goes round (F. J.
    /// Corbató, "A paging experiment with the Multics system", 1968): a number that was freed and given to a new flow
    /// comes last again, so that old flows go before new ones.
    pub(crate) fn victim(&mut self, class: usize) -> Option<u32> {
        let class = &mut self.classes[class];
        let from_hand = class.members.first_from(class.hand as usize);
        let member = from_hand.or_else(|| class.members.first_from(0))?;
        let member = u32::try_from(member).ok()?;
        class.hand = member + 1;
        Some(member)
    }

    /// Fetches what changing `member` from `class` to another touches there.
    #[inline]
    pub(crate) fn prefetch(&self, class: usize, member: u32) {
        let words = &self.classes[class].members.levels[0];
        prefetch(words.as_ptr().wrapping_add(member as usize / WORD_BITS));
    }
}

/// A set of numbers; bit `i` of each level says whether word `i` of the level below is not zero. The last is one word.
#[derive(Debug)]
struct BitTree {
    levels: Vec<Vec<u64>>,
}

impl BitTree {
    fn new(members: usize) -> Self {
        let mut levels = Vec::new();
        let mut words = members.max(1);
        while words > 1 || levels.is_empty() {
            words = words.div_ceil(WORD_BITS);
            levels.push(alloc::vec![0; words]);
        }
        Self { levels }
    }

    #[inline]
    fn insert(&mut self, mut number: usize) {
        for level in &mut self.levels {
            let word = &mut level[number / WORD_BITS];
            let was_empty = *word == 0;
            *word |= 1 << (number % WORD_BITS);
            if !was_empty {
                return;
            }
            number /= WORD_BITS;
        }
    }

    #[inline]
    fn remove(&mut self, mut number: usize) {
        for level in &mut self.levels {
            let word = &mut level[number / WORD_BITS];
            *word &= !(1 << (number % WORD_BITS));
            if *word != 0 {
                return;
            }
            number /= WORD_BITS;
        }
    }

    /// The smallest number in the set that is at least `from`.
    fn first_from(&self, from: usize) -> Option<usize> {
        // Up, until a word has a bit at or above where we stand ...
        let mut at = from;
        for (height, level) in self.levels.iter().enumerate() {
            let rest = level.get(at / WORD_BITS)? & (u64::MAX << (at % WORD_BITS));
            if rest != 0 {
                // ... and down along the lowest bits.
                let top = at / WORD_BITS * WORD_BITS + rest.trailing_zeros() as usize;
                let down = self.levels[..height].iter().rev();
                return Some(down.fold(top, |word, level| {
                    word * WORD_BITS + level[word].trailing_zeros() as usize
                }));
            }
            at = at / WORD_BITS + 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_like_ordered_sets(
            members in prop::sample::select(std::vec![1_usize, 64, 65, 5_000, 300_000]),
            moves in prop::collection::vec((any::<prop::sample::Index>(), 0..3_usize, any::<bool>()), 0..200),
        ) {
            let mut classes = Classes::new(3, members);
            let mut model: [BTreeSet<u32>; 3] = Default::default();
            let mut hands = [0; 3];
            for (member, class, take) in moves {
                if take {
                    let next = model[class].range(hands[class]..).next().or(model[class].first()).copied();
                    prop_assert_eq!(classes.victim(class), next);
                    let Some(victim) = next else { continue };
                    hands[class] = victim + 1;
                    classes.remove(class, victim);
                    model[class].remove(&victim);
                    continue;
                }
                let member = member.index(members) as u32;
                if let Some(from) = model.iter().position(|set| set.contains(&member)) {
                    classes.remove(from, member);
                    model[from].remove(&member);
                }
                classes.insert(class, member);
                model[class].insert(member);
            }
        }
    }
}
