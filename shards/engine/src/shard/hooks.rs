//! A packet at its hooks: who asked for it is shown it, and then what it raised.
//!
//! The way of a packet to the only one who asked for it has one call besides the actor's; what is done for each packet besides
//! is inlined, since a call would take as long.

use super::context::{Hand, PacketView};
use super::monitors::only;
use super::sets::Wanted;
use super::{Run, Shard};
use crate::event::{Event, Hook, Side, Verdict};

impl Shard {
    /// Packet `i` of `side` is shown to hooks from now on.
    #[inline(always)]
    pub(super) fn take_in_hand(
        &mut self,
        run: &mut Run<'_>,
        (i, side): (usize, Side),
        number: u32,
    ) {
        run.hold(i, side);
        if let Some(slot) = self.table.hot(number).active.slot() {
            self.burst.actives[usize::from(slot)].now = run.packets[i].timestamp;
            self.burst.note_packet(slot, i, side);
        }
    }

    /// What is asked for of the packets of a flow.
    #[inline(always)]
    pub(super) fn wanted(&self, flow: u32) -> Wanted {
        self.monitors.set(self.table.hot(flow).set).wanted
    }

    /// Shows the packet at hand to those who asked for it at `hook`, and then the events that it raised.
    #[inline]
    pub(super) fn hook(&mut self, run: &mut Run<'_>, flow: u32, hook: Hook) {
        if self.wanted(flow).contains(Wanted::at(hook)) {
            self.show_packet(run, flow, hook);
        }
        if self.burst.has_pending() {
            self.show_pending(run, flow, hook);
        }
    }

    /// Shows the packet at hand to those who asked for it at `hook`, at least one.
    #[inline(never)]
    pub(super) fn show_packet(&mut self, run: &mut Run<'_>, flow: u32, hook: Hook) {
        let Some((i, sender)) = run.at_hand else {
            return;
        };
        let id = self.table.hot(flow).set;
        let listeners = self.monitors.set(id).packets[hook as usize];
        let hand = (i, sender, hook);
        if let Some(monitor) = only(listeners) {
            self.show_packet_to(run, flow, monitor, hand);
        } else {
            self.show_packet_along(run, flow, listeners, hand);
        }
        if self.monitors.set(id).built || self.monitors.users.has_raised() {
            let slot = self.slot_at_hand(run, flow);
            self.show_user(run, slot, (id, Event::PacketIn), hook, u16::MAX);
        }
    }

    /// Shows it to several, in the order of their chain.
    #[inline(never)]
    fn show_packet_along(&mut self, run: &mut Run<'_>, flow: u32, listeners: u16, hand: Hand) {
        for monitor in self.monitors.chain(listeners, Some(hand.1)) {
            self.show_packet_to(run, flow, monitor, hand);
        }
    }

    /// Shows it to one, and takes the verdict.
    #[inline(always)]
    fn show_packet_to(&mut self, run: &mut Run<'_>, flow: u32, monitor: u8, hand: Hand) {
        // One that was called before may have closed it.
        let Some(own) = self.monitors.get(monitor) else {
            return;
        };
        if own.ask.unless_dropped && run.is_dropped() {
            return;
        }
        let actor = own.actor;
        let (index, sender, hook) = hand;
        let i = usize::from(index);
        let changed;
        let (packet, place) = match run.changes.version(i) {
            None => (&run.packets[i], None),
            Some(version) => {
                changed = version.packet;
                (&changed, version.place)
            }
        };
        let (host, mut context) = self.lend(run, flow, monitor, Some(hand));
        let bytes = match place {
            None => context.bytes[i],
            Some(place) => place.of(context.desk.kept),
        };
        let view = PacketView {
            packet,
            bytes,
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
