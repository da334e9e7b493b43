//! What actors change, on its way through ports and between shards.

use mosaic_engine::actor::{Actor, FlowContext, PacketView, ShardContext, StartError};
use mosaic_engine::event::{Hook, Verdict};
use proptest::prelude::*;

use super::support::*;
use crate::{ActorSpec, Report, WireCounters, start};

/// Adds 1000 to the number of every packet of even flows at [`Hook::Receive`], and drops those of every fifth flow.
pub(super) struct Renumber;

impl Actor for Renumber {
    type Flow = ();

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        monitor_all(shard)
    }

    fn on_packet(
        &mut self,
        (): &mut (),
        flow: &mut FlowContext<'_>,
        packet: &PacketView<'_>,
        hook: Hook,
    ) -> Verdict {
        let payload = packet.payload();
        let word = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        if hook == Hook::Receive && word(0) % 2 == 0 {
            let number = word(4) + 1000;
            let mut edit = flow.edit().unwrap();
            edit.overwrite_payload(4, &number.to_be_bytes()).unwrap();
        }
        if word(0) % 5 == 0 {
            Verdict::Drop
        } else {
            Verdict::Forward
        }
    }
}

fn run(plan: crate::Plan<Script>, frames: usize) -> Report {
    let running = start(plan).unwrap();
    let received = || {
        let snapshots = running.snapshots();
        let frames = snapshots.iter().map(|s| s.ingress.received_frames);
        frames.sum::<u64>()
    };
    until("the frames to be received", || received() == frames as u64);
    running.stop();
    let report = wait(running);
    let mut wire = WireCounters::default();
    for shard in &report.shards {
        wire += shard.snapshot.wire;
    }
    assert!(wire.is_balanced(), "{wire:?}");
    report
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 16,
        max_shrink_iters: 50,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Changed packets leave changed, whoever owns their flows; the others as they came.
    #[test]
    fn changed_packets_leave_changed(
        flows in 1_u32..30,
        each in 1_u32..20,
        burst in 1_usize..=64,
        shards in 1_u16..=3,
    ) {
        let all = in_turn(flows, each);
        let wire = Wire::default();
        let script = Script::new(&all, burst).inline(&wire);
        let mut plan = plan(shards, vec![script], vec![ActorSpec::new("renumber", |_| Renumber)]);
        plan.ring_depth = all.len();
        run(plan, all.len());

        let mut left = wire.frames();
        left.sort_unstable();
        let mut expected: Vec<Vec<u8>> = all
            .iter()
            .filter(|sent| sent.flow % 5 != 0)
            .map(|sent| frame(Sent {
                flow: sent.flow,
                number: sent.number + if sent.flow % 2 == 0 { 1000 } else { 0 },
            }))
            .collect();
        expected.sort_unstable();
        prop_assert_eq!(left, expected);
    }
}
