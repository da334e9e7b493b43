//! Overlap policies, against a map of bytes that knows who sent each.

use std::collections::BTreeMap;
use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use super::fixture::{Bench, CLIENT, SERVER, letters};
use crate::actor::{ActorId, FlowContext, Host, PacketView};
use crate::event::{Event, EventSet, Hook, Side, Verdict};
use crate::shard::{OverlapPolicy, ShardConfig};

/// How an older segment lies to a newer one that overlaps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Older {
    BeginsBeforeEndsWithin,
    BeginsBeforeEndsWithOrBehind,
    BeginsWithEndsWithin,
    Same,
    BeginsWithEndsBehind,
    BeginsWithinEndsWithOrWithin,
    BeginsWithinEndsBehind,
}

/// Bytes that have come, by offset, with the number of the segment that they are of.
#[derive(Default)]
struct Model {
    bytes: BTreeMap<u64, (usize, u8)>,
    /// What is below was delivered.
    next: u64,
}

impl Model {
    /// The run of bytes of one segment around `offset`.
    fn run(&self, offset: u64) -> (u64, u64) {
        let owner = |offset: u64| {
            let owner = self.bytes.get(&offset).map(|(owner, _)| *owner);
            owner.filter(|_| offset >= self.next)
        };
        let mut run = (offset, offset + 1);
        while run.0 > 0 && owner(run.0 - 1) == owner(offset) {
            run.0 -= 1;
        }
        while owner(run.1) == owner(offset) {
            run.1 += 1;
        }
        run
    }

    /// What the newer segment finds at `offset`, where an older one waits.
    fn relation(&self, offset: u64, newer: (u64, u64)) -> Older {
        let older = self.run(offset);
        match (older.0.cmp(&newer.0), older.1.cmp(&newer.1)) {
            (core::cmp::Ordering::Less, core::cmp::Ordering::Less) => Older::BeginsBeforeEndsWithin,
            (core::cmp::Ordering::Less, _) => Older::BeginsBeforeEndsWithOrBehind,
            (core::cmp::Ordering::Equal, core::cmp::Ordering::Less) => Older::BeginsWithEndsWithin,
            (core::cmp::Ordering::Equal, core::cmp::Ordering::Equal) => Older::Same,
            (core::cmp::Ordering::Equal, core::cmp::Ordering::Greater) => {
                Older::BeginsWithEndsBehind
            }
            (_, core::cmp::Ordering::Greater) => Older::BeginsWithinEndsBehind,
            (_, _) => Older::BeginsWithinEndsWithOrWithin,
        }
    }

    fn newer_counts(&self, policy: OverlapPolicy, offset: u64, newer: (u64, u64)) -> bool {
        use OverlapPolicy::*;
        match self.relation(offset, newer) {
            _ if policy == Last => true,
            _ if matches!(policy, First | Vista) => false,
            Older::BeginsBeforeEndsWithin => matches!(policy, BsdRight | Solaris | Hpux11),
            Older::BeginsBeforeEndsWithOrBehind => policy == BsdRight,
            Older::BeginsWithEndsWithin => !matches!(policy, Bsd | MacOs | Windows | Windows2003),
            Older::Same if matches!(policy, Solaris | Hpux11) => {
                let begin = self.run(offset).0;
                self.bytes.contains_key(&(begin - 1))
            }
            Older::Same => matches!(policy, BsdRight | OldLinux),
            Older::BeginsWithEndsBehind => policy == BsdRight,
            Older::BeginsWithinEndsWithOrWithin => policy != BsdRight,
            Older::BeginsWithinEndsBehind => !matches!(policy, BsdRight | Solaris | Hpux11),
        }
    }

    fn insert(&mut self, policy: OverlapPolicy, owner: usize, start: u64, bytes: &[u8]) {
        let newer = (start, start + bytes.len() as u64);
        let counting: Vec<(u64, u8)> = (start..)
            .zip(bytes.iter().copied())
            .filter(|(offset, _)| *offset >= self.next)
            .filter(|(offset, _)| {
                !self.bytes.contains_key(offset) || self.newer_counts(policy, *offset, newer)
            })
            .collect();
        for (offset, byte) in counting {
            self.bytes.insert(offset, (owner, byte));
        }
        while self.bytes.contains_key(&self.next) {
            self.next += 1;
        }
    }

    fn stream(&self) -> Vec<u8> {
        self.bytes.values().map(|(_, byte)| *byte).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    /// Whatever overlaps whatever: the stream is the one that the paper's table says.
    #[test]
    fn the_stream_is_what_the_policy_makes_of_the_segments(
        policy in prop::sample::select(&OverlapPolicy::ALL[..]),
        segments in proptest::collection::vec((1..40_u64, 1..16_u64, 0..12_u8), 1..24),
    ) {
        let config = ShardConfig { overlap: policy, ..ShardConfig::default() };
        let mut bench = Bench::new(config);
        bench.open();
        let mut model = Model::default();
        for (number, (start, len, opens)) in segments.into_iter().enumerate() {
            // Now and then one that fills the first hole.
            let start = if opens == 0 { model.next.saturating_sub(2) } else { start };
            let bytes: Vec<u8> = (0..len).map(|i| b'!' + (number * 17 + i as usize) as u8 % 90).collect();
            model.insert(policy, number, start, &bytes);
            let text = core::str::from_utf8(&bytes).unwrap();
            bench.send(CLIENT, "AP", 1 + start as u32, 1, text);
            let delivered = model.stream()[..model.next as usize].to_vec();
            prop_assert_eq!(&bench.host.0[0].read[0], &delivered);
        }
        bench.finish();
        prop_assert_eq!(&bench.host.0[0].read[0], &model.stream(), "{:?}", policy);
    }
}

/// Sends `abcd` behind a hole, then other bytes in the place of it that begin with the hole; then what is missing.
fn twice(bench: &mut Bench, side: Side) -> String {
    let before = bench.host.0[0].read[side as usize].len();
    let seq = 1 + before as u32;
    let other = 1 + bench.host.0[0].read[side.other() as usize].len() as u32;
    for (at, text) in [(2, "abcd"), (1, "_ABCD"), (0, "^")] {
        let segment = bench.segment(side, letters("AP"), seq + at, other, text.as_bytes());
        bench.burst(&[segment]);
    }
    let read = &bench.host.0[0].read[side as usize][before..];
    String::from_utf8(read.to_vec()).unwrap()
}

#[test]
fn monitors_choose_by_side_and_the_one_opened_first_decides() {
    let mut bench = Bench::without_actors(ShardConfig::default());
    bench.add_actor(EventSet::all(), usize::MAX, 0);
    for (side, policy) in [(SERVER, OverlapPolicy::Bsd), (SERVER, OverlapPolicy::First)] {
        bench
            .start(0)
            .monitor_stream(None)
            .overlap(side, policy)
            .open()
            .unwrap();
    }
    bench.open();
    assert_eq!(twice(&mut bench, CLIENT), "^_abcd");
    assert_eq!(twice(&mut bench, SERVER), "^_ABCD");
}

#[test]
fn a_flow_can_change_its_policy_while_bytes_wait() {
    struct Changes(super::fixture::Recorder, Vec<(Side, OverlapPolicy)>);
    impl Host for Changes {
        fn on_packet(
            &mut self,
            _: ActorId,
            flow: &mut FlowContext<'_>,
            _: &PacketView<'_>,
            _: Hook,
        ) -> Verdict {
            for (side, policy) in self.1.drain(..) {
                flow.set_overlap(side, policy);
            }
            Verdict::Forward
        }

        fn on_event(&mut self, actor: ActorId, flow: &mut FlowContext<'_>, event: Event) {
            self.0.on_event(actor, flow, event);
        }
    }
    let mut bench = Bench::without_actors(ShardConfig::default());
    bench.add_actor(EventSet::all(), usize::MAX, 0);
    bench
        .start(0)
        .monitor_stream(None)
        .packets(Hook::Send)
        .open()
        .unwrap();
    let mut host = Changes(core::mem::take(&mut bench.host), Vec::new());
    let send =
        |bench: &Bench, shard: &mut crate::shard::Shard, host: &mut Changes, seq, text: &str| {
            let (packet, bytes) = bench.segment(CLIENT, letters("AP"), seq, 1, text.as_bytes());
            shard.handle_burst(&[packet], &[&bytes], &[Default::default()], host);
        };
    let mut shard = crate::shard::Shard::new(ShardConfig::default());
    core::mem::swap(&mut shard, &mut bench.shard);
    send(&bench, &mut shard, &mut host, 1, "0");
    send(&bench, &mut shard, &mut host, 4, "abc");
    send(&bench, &mut shard, &mut host, 7, "def");
    // What waited is taken for one segment from here on: this one begins before it.
    host.1.push((CLIENT, OverlapPolicy::Bsd));
    send(&bench, &mut shard, &mut host, 3, "-ABC");
    // Begins with the segment before, and is shorter.
    send(&bench, &mut shard, &mut host, 3, "+*");
    host.1.push((CLIENT, OverlapPolicy::Last));
    send(&bench, &mut shard, &mut host, 8, "E");
    send(&bench, &mut shard, &mut host, 2, "1");
    assert_eq!(host.0.0[0].read[0], b"01-ABCdEf");
}

#[test]
fn policies_that_need_no_extents_keep_none() {
    for (policy, kept) in [
        (OverlapPolicy::First, false),
        (OverlapPolicy::Last, false),
        (OverlapPolicy::Linux, true),
    ] {
        let config = ShardConfig {
            overlap: policy,
            ..ShardConfig::default()
        };
        let mut bench = Bench::new(config);
        bench.open();
        bench.send(CLIENT, "AP", 5, 1, "wait");
        let number = bench.shard.table.first_from(0).unwrap();
        let store = bench.shard.store(number, CLIENT).unwrap();
        assert_eq!(!store.extents.is_empty(), kept, "{policy:?}");
    }
}
