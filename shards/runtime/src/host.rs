//! Calls actors, contains their panics, and keeps their state of each flow.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mosaic_engine::actor::{
    Actor, ActorId, FlowContext, Host, PacketView, RawPacket, ShardContext, StartError, TimerId,
};
use mosaic_engine::event::{Event, Hook, Verdict};

use crate::panics::{location, message};
use crate::snapshot::ActorPanics;
use crate::{ActorSpec, OnPanic};

/// Where an actor runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) shard: u16,
    /// Bound on flow indices of that shard.
    pub(crate) flows_max: usize,
    pub(crate) on_panic: OnPanic,
}

/// The actors of one shard.
#[derive(Debug)]
pub(crate) struct ActorHost {
    actors: Vec<Box<dyn ErasedActor>>,
}

impl ActorHost {
    /// Makes an instance of every actor.
    pub(crate) fn new(specs: &[ActorSpec], place: Place) -> Self {
        Self {
            actors: specs.iter().map(|spec| spec.build(place)).collect(),
        }
    }

    /// Every actor with its number, in order.
    pub(crate) fn iter_mut(
        &mut self,
    ) -> impl Iterator<Item = (ActorId, &mut Box<dyn ErasedActor>)> {
        (0..=u8::MAX).map(ActorId).zip(&mut self.actors)
    }

    /// Tells every actor that the shard has ended.
    pub(crate) fn finish(&mut self) {
        for actor in &mut self.actors {
            actor.finish();
        }
    }

    /// Panics so far, by actor.
    pub(crate) fn panics(&self) -> impl Iterator<Item = ActorPanics> {
        self.actors.iter().map(|actor| ActorPanics {
            name: Arc::clone(actor.name()),
            panics: actor.panics(),
        })
    }
}

impl Host for ActorHost {
    fn on_packet(
        &mut self,
        actor: ActorId,
        flow: &mut FlowContext<'_>,
        packet: &PacketView<'_>,
        hook: Hook,
    ) -> Verdict {
        self.actors[usize::from(actor.0)].on_packet(flow, packet, hook)
    }

    fn on_raw(
        &mut self,
        actor: ActorId,
        shard: &mut ShardContext<'_>,
        packet: &RawPacket<'_>,
    ) -> Verdict {
        self.actors[usize::from(actor.0)].on_raw(shard, packet)
    }

    fn on_orphan(
        &mut self,
        actor: ActorId,
        shard: &mut ShardContext<'_>,
        packet: &RawPacket<'_>,
    ) -> Verdict {
        self.actors[usize::from(actor.0)].on_orphan(shard, packet)
    }

    fn on_event(&mut self, actor: ActorId, flow: &mut FlowContext<'_>, event: Event) {
        self.actors[usize::from(actor.0)].on_event(flow, event);
    }

    fn on_removed(&mut self, actor: ActorId, flow: &mut FlowContext<'_>) {
        self.actors[usize::from(actor.0)].on_removed(flow);
    }

    fn on_timer(&mut self, actor: ActorId, flow: &mut FlowContext<'_>, timer: TimerId) {
        self.actors[usize::from(actor.0)].on_timer(flow, timer);
    }

    fn on_shard_timer(&mut self, actor: ActorId, shard: &mut ShardContext<'_>, timer: TimerId) {
        self.actors[usize::from(actor.0)].on_shard_timer(shard, timer);
    }

    fn on_predicate(&mut self, actor: ActorId, ask: &mut dyn FnMut() -> bool) -> bool {
        self.actors[usize::from(actor.0)].on_predicate(ask)
    }

    fn forget(&mut self, actor: ActorId, index: u32) {
        self.actors[usize::from(actor.0)].forget(index);
    }
}

/// An actor of any type, with its flow states. No call panics.
pub(crate) trait ErasedActor {
    fn name(&self) -> &Arc<str>;
    fn panics(&self) -> u64;
    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError>;
    fn on_packet(
        &mut self,
        flow: &mut FlowContext<'_>,
        packet: &PacketView<'_>,
        hook: Hook,
    ) -> Verdict;
    fn on_raw(&mut self, shard: &mut ShardContext<'_>, packet: &RawPacket<'_>) -> Verdict;
    fn on_orphan(&mut self, shard: &mut ShardContext<'_>, packet: &RawPacket<'_>) -> Verdict;
    fn on_event(&mut self, flow: &mut FlowContext<'_>, event: Event);
    fn on_removed(&mut self, flow: &mut FlowContext<'_>);
    fn on_timer(&mut self, flow: &mut FlowContext<'_>, timer: TimerId);
    fn on_shard_timer(&mut self, shard: &mut ShardContext<'_>, timer: TimerId);
    fn on_predicate(&mut self, ask: &mut dyn FnMut() -> bool) -> bool;
    fn forget(&mut self, index: u32);
    fn finish(&mut self);
}

impl fmt::Debug for dyn ErasedActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErasedActor")
            .field("name", self.name())
            .field("panics", &self.panics())
            .finish()
    }
}

/// One instance of an actor and what it keeps for each flow.
pub(crate) struct HostedActor<A: Actor> {
    name: Arc<str>,
    make: Arc<dyn Fn(u16) -> A + Send + Sync>,
    place: Place,
    /// `None` where not even a fresh instance could be made: the actor is silent from then on.
    actor: Option<A>,
    states: FlowStates<A::Flow>,
    panics: u64,
}

impl<A: Actor> HostedActor<A> {
    pub(crate) fn new(
        name: Arc<str>,
        make: Arc<dyn Fn(u16) -> A + Send + Sync>,
        place: Place,
    ) -> Self {
        let states = FlowStates::new(place.flows_max);
        let mut hosted = Self {
            name,
            make,
            place,
            actor: None,
            states,
            panics: 0,
        };
        hosted.actor = hosted.fresh("make");
        hosted
    }

    /// Calls the actor about no flow. `None` where it panicked, or is silent.
    fn call_apart<T>(
        &mut self,
        callback: &'static str,
        run: impl FnOnce(&mut A) -> T,
    ) -> Option<T> {
        let actor = self.actor.as_mut()?;
        match catch_unwind(AssertUnwindSafe(|| run(actor))) {
            Ok(value) => Some(value),
            Err(panic) => {
                self.replace(callback, panic);
                None
            }
        }
    }

    /// Calls the actor with its state of the flow. `None` where it panicked, or is silent.
    #[inline]
    fn call<T>(
        &mut self,
        callback: &'static str,
        index: u32,
        run: impl FnOnce(&mut A, &mut A::Flow) -> T,
    ) -> Option<T> {
        let (actor, states) = (self.actor.as_mut()?, &mut self.states);
        match catch_unwind(AssertUnwindSafe(|| run(actor, states.of(index)))) {
            Ok(value) => Some(value),
            Err(panic) => {
                self.replace(callback, panic);
                None
            }
        }
    }

    /// Puts a fresh instance in place of the one that panicked in `callback`. Nothing of the old one is trusted:
    /// its flow states go as well.
    #[cold]
    fn replace(&mut self, callback: &'static str, panic: Box<dyn Any + Send>) {
        self.count(callback, panic);
        let old = self.actor.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(old))) {
            self.count("drop", panic);
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.states.clear())) {
            self.count("drop of a flow state", panic);
        }
        self.actor = self.fresh("make");
    }

    fn fresh(&mut self, callback: &'static str) -> Option<A> {
        match catch_unwind(AssertUnwindSafe(|| (self.make)(self.place.shard))) {
            Ok(actor) => Some(actor),
            Err(panic) => {
                self.count(callback, panic);
                None
            }
        }
    }

    /// Counts a panic; logs the first one only, since an actor may panic at every packet.
    fn count(&mut self, callback: &'static str, panic: Box<dyn Any + Send>) {
        self.panics += 1;
        if self.panics == 1 {
            tracing::error!(
                actor = &*self.name,
                shard = self.place.shard,
                callback,
                reason = message(&*panic),
                at = location(),
                "an actor panicked and is replaced by a fresh instance; its further panics are only counted"
            );
        }
        // What was thrown may throw again when it is dropped; what comes then is let go.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(again);
        }
    }
}

impl<A: Actor> ErasedActor for HostedActor<A> {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn panics(&self) -> u64 {
        self.panics
    }

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        let Some(actor) = self.actor.as_mut() else {
            return Err("panicked while it was made".into());
        };
        match catch_unwind(AssertUnwindSafe(|| actor.start(shard))) {
            Ok(started) => started,
            Err(panic) => {
                let error = format!("panicked: {}", message(&*panic)).into();
                self.count("start", panic);
                Err(error)
            }
        }
    }

    fn on_packet(
        &mut self,
        flow: &mut FlowContext<'_>,
        packet: &PacketView<'_>,
        hook: Hook,
    ) -> Verdict {
        let verdict = self.call("on_packet", flow.index(), |actor, state| {
            actor.on_packet(state, flow, packet, hook)
        });
        verdict.unwrap_or(self.place.on_panic.verdict())
    }

    fn on_raw(&mut self, shard: &mut ShardContext<'_>, packet: &RawPacket<'_>) -> Verdict {
        let verdict = self.call_apart("on_raw", |actor| actor.on_raw(shard, packet));
        verdict.unwrap_or(self.place.on_panic.verdict())
    }

    fn on_orphan(&mut self, shard: &mut ShardContext<'_>, packet: &RawPacket<'_>) -> Verdict {
        let verdict = self.call_apart("on_orphan", |actor| actor.on_orphan(shard, packet));
        verdict.unwrap_or(self.place.on_panic.verdict())
    }

    fn on_event(&mut self, flow: &mut FlowContext<'_>, event: Event) {
        self.call("on_event", flow.index(), |actor, state| {
            actor.on_event(state, flow, event)
        });
    }

    fn on_removed(&mut self, flow: &mut FlowContext<'_>) {
        self.call("on_removed", flow.index(), |actor, state| {
            actor.on_removed(state, flow);
            *state = A::Flow::default();
        });
    }

    fn on_timer(&mut self, flow: &mut FlowContext<'_>, timer: TimerId) {
        self.call("on_timer", flow.index(), |actor, state| {
            actor.on_timer(state, flow, timer)
        });
    }

    fn on_shard_timer(&mut self, shard: &mut ShardContext<'_>, timer: TimerId) {
        self.call_apart("on_shard_timer", |actor| actor.on_shard_timer(shard, timer));
    }

    fn on_predicate(&mut self, ask: &mut dyn FnMut() -> bool) -> bool {
        catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|panic| {
            self.replace("predicate", panic);
            false
        })
    }

    fn forget(&mut self, index: u32) {
        self.call("drop of a flow state", index, |_, state| {
            *state = A::Flow::default();
        });
    }

    fn finish(&mut self) {
        let Some(actor) = self.actor.as_mut() else {
            return;
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| actor.finish())) {
            self.count("finish", panic);
        }
    }
}

/// What an actor keeps for each flow, by flow index. Address space for every flow is reserved at once, memory is
/// touched only as far as indices have been used; states of no size take none.
struct FlowStates<T> {
    states: Vec<T>,
}

impl<T: Default> FlowStates<T> {
    fn new(flows_max: usize) -> Self {
        let mut states = Vec::new();
        // Where even the address space is refused, the vector grows as it must.
        let _ = states.try_reserve_exact(flows_max);
        Self { states }
    }

    #[inline]
    fn of(&mut self, index: u32) -> &mut T {
        let index = index as usize;
        if index >= self.states.len() {
            self.grow(index);
        }
        &mut self.states[index]
    }

    #[cold]
    fn grow(&mut self, index: usize) {
        self.states.resize_with(index + 1, T::default);
    }

    fn clear(&mut self) {
        self.states.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn states_take_memory_only_as_far_as_they_are_used() {
        let mut states = FlowStates::<u64>::new(1 << 20);
        assert!(
            states.states.capacity() >= 1 << 20,
            "reserved at once, so that nothing moves later"
        );
        *states.of(41) = 7;
        assert_eq!(
            (states.states.len(), *states.of(41), *states.of(0)),
            (42, 7, 0)
        );
        let place = states.states.as_ptr();
        states.of((1 << 20) - 1);
        assert_eq!(states.states.as_ptr(), place);
    }

    #[test]
    fn more_states_than_there_is_address_space_for_are_made_as_needed() {
        let mut states = FlowStates::<[u64; 32]>::new(usize::MAX / 4);
        assert_eq!(states.of(3)[0], 0);
    }

    #[test]
    fn states_of_no_size_take_none() {
        thread_local! { static DROPPED: Cell<u32> = const { Cell::new(0) } }
        #[derive(Default)]
        struct Nothing;
        impl Drop for Nothing {
            fn drop(&mut self) {
                DROPPED.set(DROPPED.get() + 1);
            }
        }
        let mut states = FlowStates::<Nothing>::new(1 << 20);
        states.of(9);
        assert_eq!(DROPPED.get(), 0);
        states.clear();
        assert_eq!(DROPPED.get(), 10);
    }
}
