//! Doubly linked lists over a table of links: membership changes in constant time, nothing is allocated.

use alloc::vec::Vec;
use mosaic_port::prefetch;

use super::entry::NONE;

/// Neighbours of one member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    prev: u32,
    next: u32,
}

impl Link {
    const LOOSE: Self = Self {
        prev: NONE,
        next: NONE,
    };
}

/// Ends of one list.
#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
}

/// Several lists over the same members; a member is in at most one of them.
#[derive(Debug)]
pub(crate) struct Lists {
    links: Vec<Link>,
    ends: Vec<Ends>,
}

impl Lists {
    /// `lists` empty lists for up to `members` members; links are touched only as members come.
    pub(crate) fn new(lists: usize, members: usize) -> Self {
        let mut ends = Vec::new();
        ends.resize(
            lists,
            Ends {
                first: NONE,
                last: NONE,
            },
        );
        Self {
            links: Vec::with_capacity(members),
            ends,
        }
    }

    /// Writes to all memory that was reserved; the lists must be empty.
    pub(crate) fn prefault(&mut self) {
        self.links.resize(self.links.capacity(), Link::LOOSE);
    }

    /// Appends `member` to `list`. It must be in none.
    pub(crate) fn push_back(&mut self, list: usize, member: u32) {
        if self.links.len() <= member as usize {
            self.links.resize(member as usize + 1, Link::LOOSE);
        }
        let last = self.ends[list].last;
        self.links[member as usize] = Link {
            prev: last,
            next: NONE,
        };
        match last {
            NONE => self.ends[list].first = member,
            last => self.links[last as usize].next = member,
        }
        self.ends[list].last = member;
    }

    /// Takes `member` out of `list`, which it must be in.
    pub(crate) fn remove(&mut self, list: usize, member: u32) {
        let Link { prev, next } = core::mem::replace(&mut self.links[member as usize], Link::LOOSE);
        match prev {
            NONE => self.ends[list].first = next,
            prev => self.links[prev as usize].next = next,
        }
        match next {
            NONE => self.ends[list].last = prev,
            next => self.links[next as usize].prev = prev,
        }
    }

    /// Fetches the links of `member`.
    #[inline]
    pub(crate) fn prefetch(&self, member: u32) {
        prefetch(self.links.as_ptr().wrapping_add(member as usize));
    }

    /// First member of `list`.
    pub(crate) fn first(&self, list: usize) -> Option<u32> {
        Some(self.ends[list].first).filter(|member| *member != NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn behaves_like_queues(moves in proptest::collection::vec((0..20_u32, 0..3_usize), 0..200)) {
            let mut lists = Lists::new(3, 4);
            let mut model = [VecDeque::new(), VecDeque::new(), VecDeque::new()];
            for (member, to) in moves {
                if let Some(from) = model.iter().position(|queue| queue.contains(&member)) {
                    lists.remove(from, member);
                    model[from].retain(|m| *m != member);
                }
                lists.push_back(to, member);
                model[to].push_back(member);
                for (list, queue) in model.iter().enumerate() {
                    prop_assert_eq!(lists.first(list), queue.front().copied());
                }
            }
            for (list, queue) in model.iter_mut().enumerate() {
                while let Some(member) = lists.first(list) {
                    lists.remove(list, member);
                    prop_assert_eq!(queue.pop_front(), Some(member));
                }
                prop_assert!(queue.is_empty());
            }
        }
    }
}
