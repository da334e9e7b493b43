//! A packet at its hooks: who asked for it is shown it, and then what it raised.

use super::context::PacketView;
use super::monitors::only;
use super::{Run, Shard};
use crate::event::{Event, EventSet, Hook, Side, Verdict};

impl Shard {
    /// Packet `i` of `side` is shown to hooks from now on.
    #[inline]
    pub(super) fn take_in_hand(
        &mut self,
        run: &mut Run<'_>,
        (i, side): (usize, Side),
        number: u32,
    ) {
        run.at_hand = Some((i, side));
        if let Some(slot) = self.table.hot(number).active.slot() {
            self.burst.actives[usize::from(slot)].now = run.packets[i].timestamp;
            self.burst.note_packet(slot, i, side);
        }
    }

    /// Shows the packet at hand to those who asked for it at `hook`.
    #[inline]
    pub(super) fn hook_packet(&mut self, run: &mut Run<'_>, flow: u32, hook: Hook) {
        let id = self.table.hot(flow).set;
        if self.monitors.set(id).events[hook as usize].contains(EventSet::PACKET_IN) {
            self.show_packet(run, flow, id, hook);
        }
    }

    /// The same, and then the events that it raised.
    #[inline]
    pub(super) fn hook(&mut self, run: &mut Run<'_>, flow: u32, hook: Hook) {
        self.hook_packet(run, flow, hook);
        if self.burst.has_pending() {
            self.show_pending(run, flow, hook);
        }
    }

    #[inline(never)]
    fn show_packet(&mut self, run: &mut Run<'_>, flow: u32, id: u16, hook: Hook) {
        let Some((i, sender)) = run.at_hand else {
            return;
        };
        let listeners = self.monitors.set(id).packets[hook as usize];
        if let Some(monitor) = only(listeners) {
            self.show_packet_to(run, flow, (i, sender), monitor, hook);
        } else {
            for monitor in self.monitors.chain(listeners, Some(sender)) {
                self.show_packet_to(run, flow, (i, sender), monitor, hook);
            }
        }
        if self.monitors.set(id).built || self.monitors.users.has_raised() {
            let slot = self.slot_at_hand(run, flow);
            self.show_user(run, slot, (id, Event::PacketIn), hook, u16::MAX);
        }
    }

    #[inline(never)]
    fn show_packet_to(
        &mut self,
        run: &mut Run<'_>,
        flow: u32,
        (i, sender): (usize, Side),
        monitor: u8,
        hook: Hook,
    ) {
        // One that was called before may have closed it.
        let Some(own) = self.monitors.get(monitor) else {
            return;
        };
        if own.ask.unless_dropped && run.is_dropped() {
            return;
        }
        let actor = own.actor;
        let changed;
        let packet = match run.changes.headers(i) {
            None => &run.packets[i],
            Some(headers) => {
                changed = *headers;
                &changed
            }
        };
        let (host, mut context) = self.context(run, flow, monitor, hook);
        let view = PacketView {
            packet,
            bytes: context.desk.bytes(context.bytes, i),
            sender,
        };
        let verdict = host.on_packet(actor, &mut context, &view, hook);
        self.give_back(run, flow, actor);
        if verdict != Verdict::Forward {
            run.drop_packet();
            let unseen = verdict == Verdict::DropUnseen && hook == Hook::Send;
            run.unseen |= u64::from(unseen) << i;
        }
    }

    /// Shows the events of the packet at hand that wait for `hook`.
    #[inline(never)]
    fn show_pending(&mut self, run: &mut Run<'_>, flow: u32, hook: Hook) {
        let slot = self.slot_at_hand(run, flow);
        for event in self.burst.take_pending(hook) {
            self.show(run, slot, event, hook);
        }
    }
}
