//! Flows that no monitor watches: known by key, so that their packets are neither orphans nor the beginning of another flow,
//! and aged; not emulated. Of such a flow only the hot part is kept.

use super::Shard;
use super::lifecycle::{Class, is_opening};
use super::monitors::UNWATCHED;
use crate::event::{EndReason, Event, Side};
use crate::flow::entry::{Flags, Hot};
use crate::tcp::{Seq, State};
use crate::wire::{Packet, TcpFlags, Transport};

/// Where these flows are listed, behind the classes of the others.
pub(super) const UNWATCHED_CLASS: usize = Class::COUNT;

impl Shard {
    /// Whether no monitor's filter let the first packet of the flow pass.
    #[inline]
    pub(super) fn is_unwatched(&self, number: u32) -> bool {
        self.table.hot(number).set == UNWATCHED
    }

    /// Begins the flow of `packet`, whose state is `hot`, for nobody.
    pub(super) fn begin_unwatched(&mut self, packet: &Packet, hash: u64, mut hot: Hot) -> u32 {
        hot.set = UNWATCHED;
        if let (true, Transport::Tcp { seq, .. }) = (is_opening(packet), packet.transport) {
            let side = hot.side_of(packet.direction);
            hot.half_mut(side).base = Seq(seq);
            hot.flags.insert(Flags::of(Flags::BASE, side));
        }
        let timeout = self.timeout_ns(Class::of(&hot));
        let number = self.table.insert_hot(hash, hot);
        self.classes.insert(UNWATCHED_CLASS, number);
        self.watch(number, packet.clock, timeout);
        self.counters.flows_started += 1;
        self.count_event(Event::ConnStart);
        number
    }

    /// Follows the beginning and the end of a connection as far as its timeout goes by them.
    #[inline]
    pub(super) fn handle_unwatched(&mut self, number: u32, side: Side, packet: &Packet) {
        let Transport::Tcp { flags, .. } = packet.transport else {
            return;
        };
        self.counters.payload_bytes += u64::from(packet.payload_len);
        let hot = self.table.hot_mut(number);
        if flags.contains(TcpFlags::RST) {
            hot.flags.insert(Flags::CLOSED);
        } else if flags.contains(TcpFlags::FIN) {
            hot.states[side as usize] = State::FinWait1;
            if hot.states == [State::FinWait1; 2] {
                hot.flags.insert(Flags::CLOSED);
            }
        } else if !flags.contains(TcpFlags::SYN) && !hot.flags.contains(Flags::ESTABLISHED) {
            hot.states = [State::Established; 2];
            hot.flags.insert(Flags::ESTABLISHED);
        }
    }

    /// Whether a SYN begins another connection than the one that nobody watches.
    pub(super) fn reopens_unwatched(&self, number: u32, packet: &Packet, seq: u32) -> bool {
        let hot = self.table.hot(number);
        let side = hot.side_of(packet.direction);
        !hot.has(Flags::BASE, side) || hot.half(side).base != Seq(seq)
    }

    /// Takes a flow that nobody watches out of the table.
    pub(super) fn remove_unwatched(&mut self, number: u32, reason: EndReason) {
        let was_open = !self.table.hot(number).flags.contains(Flags::CLOSED);
        if reason == EndReason::Timeout && was_open {
            self.count_event(Event::Timeout);
        }
        self.count_event(Event::ConnEnd(reason));
        self.wheel.cancel(number);
        self.classes.remove(UNWATCHED_CLASS, number);
        self.table.remove(number);
        self.counters.flows_removed += 1;
    }
}
