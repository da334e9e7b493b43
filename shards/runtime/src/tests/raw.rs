//! Raw monitors over threads: each packet once, at its owner; verdicts on frames that hold no packet; panics.

use std::sync::{Arc, Mutex};

use mosaic_engine::actor::{Actor, RawPacket, ShardContext, StartError};
use mosaic_engine::event::Verdict;

use super::inline::{run, wire_counters};
use super::support::*;
use crate::{ActorSpec, OnPanic};

/// Shard and packet, or `None` for a frame without one.
type Seen = Arc<Mutex<Vec<(u16, Option<Sent>)>>>;

struct Tap {
    shard: u16,
    seen: Seen,
    verdict: fn(Option<Sent>) -> Verdict,
}

impl Actor for Tap {
    type Flow = ();

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        shard.monitor_raw(None).every_frame().open()?;
        Ok(())
    }

    fn on_raw(&mut self, shard: &mut ShardContext<'_>, packet: &RawPacket<'_>) -> Verdict {
        assert_eq!(
            (shard.shard(), packet.why.is_none()),
            (self.shard, packet.packet.is_some())
        );
        let packet = packet.packet.map(|_| sent(packet.payload()));
        self.seen.lock().unwrap().push((self.shard, packet));
        (self.verdict)(packet)
    }
}

fn tap(seen: &Seen, verdict: fn(Option<Sent>) -> Verdict) -> ActorSpec {
    let seen = Arc::clone(seen);
    ActorSpec::new("tap", move |shard| Tap {
        shard,
        seen: Arc::clone(&seen),
        verdict,
    })
}

/// Packets of five flows, and two frames of ARP among them.
fn mixed() -> Vec<Sent> {
    let mut all = in_turn(5, 6);
    for number in 0..2 {
        all.insert(7, Sent { flow: ARP, number });
    }
    all
}

#[test]
fn each_packet_comes_once_to_the_shard_that_owns_it() {
    for shards in [1, 2, 3] {
        let (wire, seen) = (Wire::default(), Seen::default());
        let all = mixed();
        let drop_some = |packet: Option<Sent>| match packet {
            None => Verdict::Drop,
            Some(packet) if packet.flow == 3 => Verdict::Drop,
            Some(_) => Verdict::Forward,
        };
        let log = Log::default();
        let actors = vec![tap(&seen, drop_some), log.actor(Default::default())];
        let mut plan = plan(shards, vec![Script::new(&all, 16).inline(&wire)], actors);
        plan.ring_depth = all.len();
        let counters = wire_counters(&run(plan, all.len()));

        let mut packets: Vec<Sent> = Vec::new();
        for (shard, packet) in &*seen.lock().unwrap() {
            if let Some(packet) = packet {
                assert_eq!(*shard, owner(packet.flow, shards));
                packets.push(*packet);
            }
        }
        assert_eq!(seen.lock().unwrap().len(), all.len());
        packets.sort_unstable();
        let mut expected = in_turn(5, 6);
        expected.sort_unstable();
        assert_eq!(packets, expected, "{shards} shards");
        assert_eq!(log.seen().len(), 30, "flows see what was dropped");

        let passed = wire.packets();
        assert_eq!((passed.len(), wire.frames().len()), (24, 24));
        assert!(passed.iter().all(|packet| packet.flow != 3));
        assert_eq!((counters.dropped_verdict, counters.bypassed), (8, 0));
    }
}

#[test]
fn a_panic_on_a_raw_packet_takes_the_verdict_of_the_plan() {
    for (on_panic, passes) in [(OnPanic::Forward, 32), (OnPanic::Drop, 30)] {
        let (wire, seen) = (Wire::default(), Seen::default());
        let all = mixed();
        let panics = |packet: Option<Sent>| {
            assert!(packet.is_some(), "on purpose");
            Verdict::Forward
        };
        let script = Script::new(&all, 16).inline(&wire);
        let mut plan = plan(1, vec![script], vec![tap(&seen, panics)]);
        plan.on_panic = on_panic;
        let report = run(plan, all.len());
        assert_eq!(wire.frames().len(), passes);
        assert_eq!(report.shards[0].snapshot.actor_panics[0].panics, 2);
    }
}
