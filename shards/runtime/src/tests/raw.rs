//! Raw monitors over threads: each packet once, at its owner; verdicts on frames that hold no packet; what they change and
//! send; panics.

use std::sync::{Arc, Mutex};

use mosaic_engine::actor::{Actor, RawPacket, ShardContext, StartError, Toward};
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

/// Adds 1000 to the number of every packet of even flows, returns a copy of each packet that had number 3, and answers ARP.
struct Relay;

impl Actor for Relay {
    type Flow = ();

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        shard.monitor_raw(None).every_frame().open()?;
        Ok(())
    }

    fn on_raw(&mut self, shard: &mut ShardContext<'_>, packet: &RawPacket<'_>) -> Verdict {
        if packet.packet.is_none() {
            let mut answer = frame(Sent {
                flow: ARP,
                number: 0,
            });
            answer[21] = 2;
            shard.inject_frame(Toward::Sender, &answer).unwrap();
            return Verdict::Drop;
        }
        let Sent { flow, number } = sent(packet.payload());
        if number == 3 {
            shard.inject_packet(Toward::Sender, packet.ip()).unwrap();
        }
        if flow.is_multiple_of(2) {
            let mut edit = shard.edit().unwrap();
            let number = number + 1000;
            edit.overwrite_payload(4, &number.to_be_bytes()).unwrap();
        }
        Verdict::Forward
    }
}

#[test]
fn changes_and_answers_leave_whoever_owns_the_flow() {
    for (shards, burst) in [(1, 16), (2, 16), (3, 64), (1, 1), (3, 1)] {
        let (wire, log, all) = (Wire::default(), Log::default(), mixed());
        let relay = ActorSpec::new("relay", |_| Relay);
        let script = Script::new(&all, burst).inline(&wire);
        let mut plan = plan(
            shards,
            vec![script],
            vec![relay, log.actor(Default::default())],
        );
        plan.ring_depth = all.len();
        let counters = wire_counters(&run(plan, all.len()));
        assert_eq!(
            (counters.injected, counters.dropped_verdict),
            (7, 2),
            "{shards} shards, {burst} frames"
        );

        let changed = |packet: &Sent| Sent {
            flow: packet.flow,
            number: packet.number
                + if packet.flow.is_multiple_of(2) {
                    1000
                } else {
                    0
                },
        };
        let mut expected: Vec<Sent> = in_turn(5, 6).iter().map(changed).collect();
        expected.sort_unstable();
        let mut passed = wire.packets();
        passed.sort_unstable();
        assert_eq!((&passed, wire.frames().len()), (&expected, 30));
        let mut seen: Vec<Sent> = log.seen().iter().map(|(_, packet)| *packet).collect();
        seen.sort_unstable();
        assert_eq!(seen, expected, "flows see what was left");

        let mut returned = wire.returned();
        returned.sort_unstable();
        let copies = (0..5).map(|flow| {
            let mut copy = frame(Sent { flow, number: 3 });
            copy.resize(60, 0);
            copy
        });
        let answers = (0..2).map(|_| {
            let mut answer = frame(Sent {
                flow: ARP,
                number: 0,
            });
            answer[21] = 2;
            answer.resize(60, 0);
            answer
        });
        let mut expected: Vec<Vec<u8>> = copies.chain(answers).collect();
        expected.sort_unstable();
        assert_eq!(returned, expected);
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
