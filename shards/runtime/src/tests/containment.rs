//! Panics of actors.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mosaic_engine::actor::{
    Actor, ActorId, FlowContext, Host, PacketView, ShardContext, StartError,
};
use mosaic_engine::event::{Event, EventSet, Hook, Verdict};
use mosaic_engine::shard::{Shard, ShardConfig};
use mosaic_engine::wire::{Ingress, Parsed};
use mosaic_port::{Batch, Port, PortFactory, Received};

use super::support::*;
use crate::host::{ActorHost, Place};
use crate::{ActorSpec, LocalShard, OnPanic, Report, RuntimeError, start};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Callback {
    Start,
    Packet,
    Event,
    Removed,
    Finish,
    /// Dropping a state, while the state of a panic is thrown away.
    DropState,
}

/// Panics in one callback, the first times only, whichever shard it is.
struct Fragile {
    panics_in: Callback,
    left: Arc<AtomicU64>,
    seen: Arc<Mutex<Vec<(u32, u32)>>>,
}

/// Packets of the flow that this instance saw.
#[derive(Default)]
struct Tally {
    packets: u32,
    bomb: bool,
}

impl Drop for Tally {
    fn drop(&mut self) {
        assert!(!self.bomb, "the state panics when it is dropped");
    }
}

impl Fragile {
    fn spec(panics_in: Callback, times: u64, seen: &Arc<Mutex<Vec<(u32, u32)>>>) -> ActorSpec {
        let (seen, left) = (Arc::clone(seen), Arc::new(AtomicU64::new(times)));
        ActorSpec::new("fragile", move |_| Fragile {
            panics_in,
            left: Arc::clone(&left),
            seen: Arc::clone(&seen),
        })
    }

    /// Whether a panic is left; takes it. Shards share them.
    fn take_one(&self) -> bool {
        let one_less = |left: u64| left.checked_sub(1);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .is_ok()
    }

    fn reach(&self, callback: Callback) {
        if callback == self.panics_in && self.take_one() {
            panic!("in {callback:?}");
        }
    }
}

impl Actor for Fragile {
    type Flow = Tally;

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        self.reach(Callback::Start);
        monitor_all(shard)
    }

    fn on_packet(
        &mut self,
        tally: &mut Tally,
        flow: &mut FlowContext<'_>,
        _: &PacketView<'_>,
        _: Hook,
    ) -> Verdict {
        tally.packets += 1;
        self.seen
            .lock()
            .unwrap()
            .push((flow.id().index, tally.packets));
        // Half way, so that there is state to lose.
        if tally.packets == 5 {
            if self.panics_in == Callback::DropState && self.take_one() {
                tally.bomb = true;
                panic!("with a bomb");
            }
            self.reach(Callback::Packet);
        }
        Verdict::Forward
    }

    fn on_event(&mut self, _: &mut Tally, _: &mut FlowContext<'_>, _: Event) {
        self.reach(Callback::Event);
    }

    fn on_removed(&mut self, _: &mut Tally, _: &mut FlowContext<'_>) {
        self.reach(Callback::Removed);
    }

    fn finish(&mut self) {
        self.reach(Callback::Finish);
    }
}

/// Ten packets of each of four flows, past an actor that panics once and one that does not.
fn run(panics_in: Callback, shards: u16) -> (Report, Log, Vec<(u32, u32)>) {
    let (log, seen) = (Log::default(), Arc::default());
    let actors = vec![
        Fragile::spec(panics_in, 1, &seen),
        log.actor(Duration::ZERO),
    ];
    let report = wait(start(plan(shards, vec![Script::new(&in_turn(4, 10), 8)], actors)).unwrap());
    let seen = seen.lock().unwrap().clone();
    (report, log, seen)
}

#[test]
fn a_panic_in_any_callback_is_counted_and_harms_nobody_else() {
    for callback in [
        Callback::Packet,
        Callback::Event,
        Callback::Removed,
        Callback::Finish,
    ] {
        for shards in [1, 2] {
            let (report, log, seen) = run(callback, shards);
            let panics: Vec<_> = report
                .actor_panics
                .iter()
                .map(|p| (&*p.name, p.panics))
                .collect();
            assert_eq!(panics, [("fragile", 1), ("recorder", 0)], "{callback:?}");
            assert!(report.lost_shards.is_empty());
            assert_eq!(
                log.seen().len(),
                40,
                "{callback:?}: the other actor saw everything"
            );
            assert_eq!(log.finished(), usize::from(shards));
            assert_eq!(seen.len(), 40, "{callback:?}: its successor saw the rest");
        }
    }
}

#[test]
fn the_successor_has_default_state_for_every_flow() {
    let (_, _, seen) = run(Callback::Packet, 1);
    let (panicked, after) =
        seen.split_at(seen.iter().position(|(_, packets)| *packets == 5).unwrap() + 1);
    assert_eq!(
        panicked.len(),
        17,
        "flow by flow in turn: the first one's fifth packet"
    );
    assert_eq!(
        after[..4]
            .iter()
            .map(|(_, packets)| *packets)
            .collect::<Vec<_>>(),
        [1, 1, 1, 1]
    );
}

#[test]
fn a_state_that_panics_when_it_is_dropped_is_contained_too() {
    let (report, log, seen) = run(Callback::DropState, 1);
    assert_eq!(
        report.actor_panics[0].panics, 2,
        "the callback, and what it left behind"
    );
    assert_eq!((log.seen().len(), seen.len()), (40, 40));
}

#[test]
fn an_actor_that_panics_at_its_start_keeps_the_plan_from_starting() {
    let actors = vec![Fragile::spec(Callback::Start, 1, &Arc::default())];
    let error = start(plan(1, vec![Script::new(&[], 1)], actors))
        .map(drop)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "actor fragile cannot start on shard 0: panicked: in Start"
    );
}

#[test]
fn an_actor_of_which_no_fresh_instance_can_be_made_falls_silent() {
    let (log, seen, made) = (Log::default(), Arc::default(), AtomicU64::new(0));
    let state = Arc::clone(&seen);
    let once = ActorSpec::new("once", move |_| {
        assert_eq!(made.fetch_add(1, Ordering::Relaxed), 0, "only one");
        Fragile {
            panics_in: Callback::Packet,
            left: Arc::new(AtomicU64::new(1)),
            seen: Arc::clone(&state),
        }
    });
    let actors = vec![once, log.actor(Duration::ZERO)];
    let report = wait(start(plan(1, vec![Script::new(&in_turn(4, 10), 8)], actors)).unwrap());
    assert_eq!(report.actor_panics[0].panics, 2);
    assert_eq!(log.seen().len(), 40);
    assert_eq!(seen.lock().unwrap().len(), 17);
}

#[test]
fn an_actor_that_cannot_be_made_at_all_keeps_a_shard_from_starting() {
    let never = ActorSpec::new("never", |_| -> Fragile { panic!("none") });
    let error = LocalShard::new(wire(), shard_config(), &[never], OnPanic::Forward)
        .map(drop)
        .unwrap_err();
    assert!(
        matches!(error, RuntimeError::Actor { shard: 0, .. }),
        "{error}"
    );
}

#[test]
fn a_flow_that_takes_the_place_of_another_begins_with_default_state() {
    let log = Log::default();
    let config = ShardConfig {
        flows_max: 1,
        ..shard_config()
    };
    let actors = [log.actor(Duration::ZERO)];
    let mut shard = LocalShard::new(wire(), config, &actors, OnPanic::Forward).unwrap();
    let packets =
        [(7, 0), (7, 1), (7, 2), (8, 0), (8, 1)].map(|(flow, number)| Sent { flow, number });
    let mut port = Box::new(Script::new(&packets, 1)).open().unwrap();
    let mut batch = TestBatch::default();
    while port.rx_burst(&mut batch).unwrap() == Received::Frames {
        shard.run_burst(&mut batch);
    }
    shard.finish();
    let ends: Vec<_> = log.ends().into_iter().map(|(_, end)| end).collect();
    assert_eq!(ends, [End::Removed(3), End::Removed(2), End::Finished]);
}

/// Notes the verdicts that the real host gives.
struct Spy {
    host: ActorHost,
    verdicts: Vec<Verdict>,
}

impl Host for Spy {
    fn on_packet(
        &mut self,
        id: ActorId,
        flow: &mut FlowContext<'_>,
        packet: &PacketView<'_>,
        hook: Hook,
    ) -> Verdict {
        let verdict = self.host.on_packet(id, flow, packet, hook);
        self.verdicts.push(verdict);
        verdict
    }

    fn on_event(&mut self, id: ActorId, flow: &mut FlowContext<'_>, event: Event) {
        self.host.on_event(id, flow, event);
    }

    fn on_removed(&mut self, id: ActorId, flow: &mut FlowContext<'_>) {
        self.host.on_removed(id, flow);
    }
}

#[test]
fn the_packet_in_flight_takes_the_verdict_of_the_plan() {
    for (on_panic, verdict) in [
        (OnPanic::Forward, Verdict::Forward),
        (OnPanic::Drop, Verdict::Drop),
    ] {
        let spec = Fragile::spec(Callback::Packet, 1, &Arc::default());
        let mut spy = Spy {
            host: ActorHost::new(
                &[spec],
                Place {
                    shard: 0,
                    flows_max: 16,
                    on_panic,
                },
            ),
            verdicts: Vec::new(),
        };
        let mut shard = Shard::new(shard_config());
        for (id, actor) in spy.host.iter_mut() {
            actor.start(&mut shard.start_actor(id)).unwrap();
        }
        let mut port = Box::new(Script::new(&in_turn(1, 10), 64)).open().unwrap();
        let mut batch = TestBatch::default();
        port.rx_burst(&mut batch).unwrap();
        let mut parsed = Parsed::default();
        Ingress::new(wire()).parse(&batch, &mut parsed);
        let bytes: Vec<_> = (0..batch.len())
            .map(|index| batch.frame(index).bytes)
            .collect();
        shard.handle_burst(&parsed.packets, &bytes, &parsed.encapsulations, &mut spy);

        let mut expected = [Verdict::Forward; 10];
        expected[4] = verdict;
        assert_eq!(spy.verdicts, expected, "{on_panic:?}");
    }
}

/// Its predicate panics at each second packet.
struct Doubtful(Arc<AtomicU64>);

impl Actor for Doubtful {
    type Flow = u64;

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        let mut packets = 0;
        let event = shard.define_event("doubtful", EventSet::PACKET_IN, move |_, _| {
            packets += 1;
            assert!(packets % 2 == 1, "in a predicate");
            true
        })?;
        shard.monitor_stream(None).on(Hook::Send, event).open()?;
        Ok(())
    }

    fn on_event(&mut self, told: &mut u64, _: &mut FlowContext<'_>, _: Event) {
        *told += 1;
        self.0.fetch_add(*told, Ordering::Relaxed);
    }
}

#[test]
fn a_panic_in_a_predicate_counts_as_one_of_its_actor_and_as_no() {
    let (log, told) = (Log::default(), Arc::new(AtomicU64::new(0)));
    let sum = Arc::clone(&told);
    let doubtful = ActorSpec::new("doubtful", move |_| Doubtful(Arc::clone(&sum)));
    let actors = vec![doubtful, log.actor(Duration::ZERO)];
    let report = wait(start(plan(1, vec![Script::new(&in_turn(1, 10), 8)], actors)).unwrap());
    let panics: Vec<_> = report.actor_panics.iter().map(|of| of.panics).collect();
    assert_eq!(panics, [5, 0]);
    // Every panic took the state of the flow with it.
    assert_eq!(told.load(Ordering::Relaxed), 5);
}
