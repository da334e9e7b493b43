//! User-defined events: walked where their base happens, or raised by hand.

use super::{Run, Shard};
use crate::event::user::Question;
use crate::event::{Event, Hook};

impl Shard {
    /// Shows what is built on `event` to those who asked for it in set `id`, as far as they are among `asked`, then what was
    /// raised in answer to all of it.
    #[inline]
    pub(super) fn show_user(
        &mut self,
        run: &mut Run<'_>,
        slot: u8,
        (id, event): (u16, Event),
        hook: Hook,
        asked: u16,
    ) {
        if self.monitors.set(id).built {
            self.walk_built(run, slot, (id, event), hook, asked);
        }
        self.answer(run, slot, hook);
    }

    #[inline(never)]
    fn walk_built(
        &mut self,
        run: &mut Run<'_>,
        slot: u8,
        (id, event): (u16, Event),
        hook: Hook,
        asked: u16,
    ) {
        if let Some(steps) = self.monitors.planned(id, event.kind(), None, hook) {
            self.monitors.users.begin_walk(None);
            self.walk(run, slot, (id, steps), (event, hook), asked);
        }
    }

    /// Shows what was raised by hand while an event was told, and what is raised in answer to that.
    #[inline]
    pub(super) fn answer(&mut self, run: &mut Run<'_>, slot: u8, hook: Hook) {
        if self.monitors.users.has_raised() {
            self.answer_some(run, slot, hook);
        }
    }

    #[cold]
    fn answer_some(&mut self, run: &mut Run<'_>, slot: u8, hook: Hook) {
        while let Some((index, payload)) = self.monitors.users.next_raised() {
            self.show_raised(run, slot, (index, payload), hook, u16::MAX);
            if hook == Hook::End {
                continue;
            }
            let set = self
                .table
                .hot(self.burst.actives[usize::from(slot)].flow)
                .set;
            let kind = usize::from(self.monitors.users.nodes[usize::from(index)].root);
            let awaited = self.monitors.planned(set, kind, Some(index), Hook::End);
            let step = awaited.and_then(|(at, _)| self.monitors.step(set, at));
            if let (Some(step), Event::User { event, .. }) =
                (step, self.monitors.users.event(index))
            {
                let event = Event::User { event, payload };
                self.burst.queue(slot, event, step.below);
            }
        }
    }

    /// Shows an event that was raised by hand, and what is built on it.
    pub(super) fn show_raised(
        &mut self,
        run: &mut Run<'_>,
        slot: u8,
        (index, payload): (u16, u64),
        hook: Hook,
        asked: u16,
    ) {
        let id = self
            .table
            .hot(self.burst.actives[usize::from(slot)].flow)
            .set;
        let kind = usize::from(self.monitors.users.nodes[usize::from(index)].root);
        if let Some(steps) = self.monitors.planned(id, kind, Some(index), hook) {
            self.monitors.users.begin_walk(Some((index, payload)));
            let event = self.monitors.users.event(index);
            self.walk(run, slot, (id, steps), (event, hook), asked);
        }
    }

    /// Takes the steps of a walk through set `id`: asks each predicate once, and tells those who asked for what happens.
    #[inline(never)]
    fn walk(
        &mut self,
        run: &mut Run<'_>,
        slot: u8,
        (id, (from, to)): (u16, (usize, usize)),
        (event, hook): (Event, Hook),
        asked: u16,
    ) {
        // What a callback changes counts from the next event on; until then this set must stay.
        self.monitors.take(id);
        let hearing = self.monitors.set(id).hearing(event) & asked;
        let sender = run.sender(hook).or_else(|| event.sender());
        let mut at = from;
        while at < to
            && let Some(step) = self.monitors.step(id, at)
        {
            let below = step.below & hearing;
            if below == 0 || !self.happens(run, slot, below, (step.event, event), hook) {
                at += usize::from(step.skip);
                continue;
            }
            let happened = self.monitors.users.event(step.event);
            self.count_event(happened);
            for monitor in self.monitors.chain(step.listeners & hearing, sender) {
                self.call(run, slot, monitor, happened, hook);
            }
            at += 1;
        }
        self.monitors.give(id);
    }

    /// Whether a user-defined event happens where `event` has happened, for the monitors in `below`.
    fn happens(
        &mut self,
        run: &mut Run<'_>,
        slot: u8,
        below: u16,
        (index, event): (u16, Event),
        hook: Hook,
    ) -> bool {
        let users = &mut self.monitors.users;
        if !users.must_ask(index) {
            return users.was_raised(index);
        }
        let question = Question { index, event, hook };
        let Some(mut asked) = users.take(question) else {
            return false;
        };
        let monitor = u8::try_from(below.trailing_zeros()).unwrap_or(0);
        let flow = self.burst.actives[usize::from(slot)].flow;
        let (host, context) = self.context(run, flow, monitor, hook);
        let actor = asked.actor;
        let happens = host.on_predicate(actor, &mut || asked.ask(&context));
        self.monitors.users.put_back(asked);
        happens
    }
}
