//! The user-defined events that a set asks for, laid out to be walked: each behind its base.

use alloc::vec::Vec;

use crate::event::user::{Base, Node};
use crate::event::{EVENTS, EventSet, Hook};

/// One user-defined event, asked for by one monitor at one hook; ordered by hook, event, monitor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Wish(pub(crate) u32);

impl Wish {
    pub(crate) fn new(monitor: u8, hook: Hook, event: u16) -> Self {
        Self((hook as u32) << 24 | u32::from(event) << 4 | u32::from(monitor & 0xf))
    }

    pub(crate) fn monitor(self) -> u8 {
        (self.0 & 0xf) as u8
    }

    fn event(self) -> u16 {
        (self.0 >> 4 & 0xffff) as u16
    }

    fn hook(self) -> usize {
        (self.0 >> 24) as usize
    }
}

/// An event on the way of a walk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    pub(crate) event: u16,
    /// Monitors that asked for it, a bit each.
    pub(crate) listeners: u16,
    /// Monitors that asked for it or for what is built on it.
    pub(crate) below: u16,
    /// Steps to what comes after it and all that is built on it; at least 1.
    pub(crate) skip: u16,
}

/// Where the steps of what is built on one event begin and end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Part {
    hook: Hook,
    /// Index of the built-in event.
    kind: usize,
    from: usize,
    to: usize,
    /// Monitors that asked for any of them.
    below: u16,
}

/// What is asked for, event by event: bases before what is built on them, brothers in the order of their definition.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Plan {
    steps: Vec<Step>,
    parts: Vec<Part>,
    bases: [EventSet; 3],
}

/// A number of events of a shard.
fn small(number: usize) -> u16 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "there are at most USER_EVENTS"
    )]
    let small = number as u16;
    small
}

/// "None" among indices.
const NONE: u16 = u16::MAX;

impl Plan {
    /// The plan for what is asked for, which ascends.
    pub(crate) fn of(wishes: &[Wish], nodes: &[Node]) -> Self {
        let mut plan = Self::default();
        for hook in [Hook::Send, Hook::Receive, Hook::End] {
            let asked = wishes.iter().filter(|wish| wish.hook() == hook as usize);
            plan.lay_out(hook, asked, nodes);
        }
        plan
    }

    fn lay_out<'a>(
        &mut self,
        hook: Hook,
        asked: impl Iterator<Item = &'a Wish> + Clone,
        nodes: &[Node],
    ) {
        let mut events: Vec<u16> = Vec::new();
        for wish in asked.clone() {
            let mut event = wish.event();
            // Its bases have lower numbers; one that is there has its own there.
            while let Err(at) = events.binary_search(&event) {
                events.insert(at, event);
                match nodes[usize::from(event)].base {
                    Base::User(base) => event = base,
                    Base::BuiltIn(_) => break,
                }
            }
        }
        if events.is_empty() {
            return;
        }
        let mut listeners = alloc::vec![0_u16; events.len()];
        for wish in asked {
            if let Ok(at) = events.binary_search(&wish.event()) {
                listeners[at] |= 1 << wish.monitor();
            }
        }
        let tree = Tree::of(&events, nodes);
        for kind in (0..EVENTS).filter(|kind| tree.roots[*kind] != NONE) {
            let from = self.steps.len();
            self.walk(&tree, tree.roots[kind], &events, &listeners);
            self.bases[hook as usize] |= EventSet::from_bits_truncate(1 << kind);
            self.parts.push(Part {
                hook,
                kind,
                from,
                to: self.steps.len(),
                below: self.steps[from..]
                    .iter()
                    .fold(0, |mask, step| mask | step.listeners),
            });
        }
    }

    /// Adds the steps for `first`, its brothers, and all that is built on them.
    fn walk(&mut self, tree: &Tree, first: u16, events: &[u16], listeners: &[u16]) {
        // Those that are open: where their steps are, and their places in the tree.
        let mut open: Vec<(usize, u16)> = Vec::new();
        let mut next = first;
        loop {
            if next == NONE {
                let Some((step, at)) = open.pop() else {
                    return;
                };
                self.steps[step].skip = small(self.steps.len() - step);
                let below = self.steps[step].below;
                if let Some((parent, _)) = open.last() {
                    self.steps[*parent].below |= below;
                }
                next = tree.brothers[usize::from(at)];
                continue;
            }
            let at = usize::from(next);
            self.steps.push(Step {
                event: events[at],
                listeners: listeners[at],
                below: listeners[at],
                skip: 1,
            });
            open.push((self.steps.len() - 1, next));
            next = tree.children[at];
        }
    }

    /// Steps in all.
    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    #[inline]
    pub(crate) fn step(&self, at: usize) -> Option<Step> {
        self.steps.get(at).copied()
    }

    /// Events that something asked for is built on, by hook.
    pub(crate) fn bases(&self) -> [EventSet; 3] {
        self.bases
    }

    /// The steps of what is built on the built-in event of index `kind`.
    pub(crate) fn built_on(&self, kind: usize, hook: Hook) -> Option<(usize, usize)> {
        if self.bases[hook as usize].bits() >> kind & 1 == 0 {
            return None;
        }
        let part = |part: &&Part| part.hook == hook && part.kind == kind;
        self.parts
            .iter()
            .find(part)
            .map(|part| (part.from, part.to))
    }

    /// The steps of a user-defined event and of what is built on it.
    pub(crate) fn of_event(&self, event: u16, kind: usize, hook: Hook) -> Option<(usize, usize)> {
        let (from, to) = self.built_on(kind, hook)?;
        let at = (from..to).find(|at| self.steps[*at].event == event)?;
        Some((at, at + usize::from(self.steps[at].skip)))
    }

    /// Monitors that asked for anything built on one of `bases`, at any hook.
    pub(crate) fn asking(&self, bases: EventSet) -> u16 {
        let parts = self.parts.iter();
        parts
            .filter(|part| bases.bits() >> part.kind & 1 != 0)
            .fold(0, |mask, part| mask | part.below)
    }

    /// Monitors that asked for anything built on the built-in event of index `kind` at `hook`.
    pub(crate) fn asking_at(&self, kind: usize, hook: Hook) -> u16 {
        let parts = self.parts.iter();
        parts
            .filter(|part| part.kind == kind && part.hook == hook)
            .fold(0, |mask, part| mask | part.below)
    }

    /// A monitor asks for nothing more. Steps stay where they are: a walk may be on its way.
    pub(crate) fn forget(&mut self, monitor: u8) {
        for step in &mut self.steps {
            step.listeners &= !(1 << monitor);
            step.below &= !(1 << monitor);
        }
        for part in &mut self.parts {
            part.below &= !(1 << monitor);
        }
    }
}

/// Who is built on whom, by places in a list of events that ascends.
struct Tree {
    /// The first that is built on each built-in event.
    roots: [u16; EVENTS],
    /// The first that is built on each.
    children: Vec<u16>,
    /// The next on the same base.
    brothers: Vec<u16>,
}

impl Tree {
    fn of(events: &[u16], nodes: &[Node]) -> Self {
        let mut tree = Self {
            roots: [NONE; EVENTS],
            children: alloc::vec![NONE; events.len()],
            brothers: alloc::vec![NONE; events.len()],
        };
        // From the last to the first, each is put before those that come after it.
        for at in (0..events.len()).rev() {
            let first = match nodes[usize::from(events[at])].base {
                Base::BuiltIn(kind) => &mut tree.roots[usize::from(kind)],
                Base::User(base) => {
                    let Ok(base) = events.binary_search(&base) else {
                        continue;
                    };
                    &mut tree.children[base]
                }
            };
            tree.brothers[at] = core::mem::replace(first, small(at));
        }
        tree
    }
}
