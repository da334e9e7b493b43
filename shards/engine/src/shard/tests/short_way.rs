//! The short way for ordinary segments comes to the same as taking them step by step.

use proptest::prelude::*;
use std::vec::Vec;

use super::fixture::*;
use crate::event::{EventSet, Hook, Side};
use crate::shard::{Profile, ShardConfig};
use crate::tcp::Seq;
use crate::wire::TcpFlags;

/// One segment of a script: mostly the next in order, now and then another.
#[derive(Clone, Debug)]
struct Step {
    from: Side,
    /// How far its number is from the next in order, and its acknowledgment from what there is to acknowledge.
    off: i8,
    ack_off: i8,
    len: u8,
    flags: TcpFlags,
    /// Steps of the sender's timestamp, and whether it has one.
    stamp: Option<i8>,
    window: u16,
    /// Whether it comes in the same burst as the one before.
    joins: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let off = prop_oneof![30 => Just(0_i8), 1 => -20..20_i8];
    let flags = prop_oneof![
        80 => Just(TcpFlags::ACK),
        16 => Just(TcpFlags::ACK | TcpFlags::PSH),
        1 => Just(TcpFlags::ACK | TcpFlags::FIN),
        1 => Just(TcpFlags::RST | TcpFlags::ACK),
        1 => Just(TcpFlags::SYN),
        1 => Just(TcpFlags::empty()),
    ];
    let stamp = prop::option::of(prop_oneof![6 => 0..3_i8, 1 => -3..0_i8]);
    let window = prop_oneof![4 => Just(24_u16), 4 => Just(1000_u16), 1 => 0..4_u16];
    (
        any::<bool>(),
        off.clone(),
        off,
        0..12_u8,
        flags,
        stamp,
        window,
        any::<bool>(),
    )
        .prop_map(
            |(client, off, ack_off, len, flags, stamp, window, joins)| Step {
                from: if client { Side::Client } else { Side::Server },
                off,
                ack_off,
                len,
                flags,
                stamp,
                window,
                joins,
            },
        )
}

/// Who listens.
#[derive(Clone, Copy, Debug)]
enum Listeners {
    /// Two that read; one of them does not keep up.
    Readers,
    /// One that only hears of the end.
    Idle,
    /// One that sees packets, beside a reader or alone.
    Packets { read: bool },
}

impl Listeners {
    fn open(self, bench: &mut Bench) {
        match self {
            Self::Readers => {
                bench.add_actor(EventSet::all(), usize::MAX, 0);
                bench.add_actor(EventSet::NEW_DATA, 5, 0);
            }
            Self::Idle => {
                bench.add_actor(EventSet::CONN_END, 0, 0);
            }
            Self::Packets { read } => {
                let events = if read {
                    EventSet::NEW_DATA
                } else {
                    EventSet::CONN_END
                };
                bench.add_actor(events, usize::MAX, 0);
                let mut shard = bench.start(0);
                let packets = shard.monitor_stream(None).packets(Hook::Send);
                packets.packets(Hook::Receive).open().unwrap();
            }
        }
    }
}

/// What an actor saw, what it read, what it was told of the flows, and what the shard counted.
fn outcome(
    steps: &[Step],
    profile: Profile,
    careful_only: bool,
    (midstream, listeners): (bool, Listeners),
) -> impl PartialEq + core::fmt::Debug {
    let config = ShardConfig {
        profile,
        ..ShardConfig::default()
    };
    let mut bench = Bench::without_actors(config);
    bench.shard.careful_only = careful_only;
    listeners.open(&mut bench);
    if !midstream {
        bench.open();
        let number = bench.shard.table.first_from(0).unwrap();
        // As if SYN and SYN/ACK had agreed on a scale, with a small window to begin with.
        let hot = bench.shard.table.hot_mut(number);
        hot.set_scale(SERVER, 3);
        hot.window_edge = [ISN[1], ISN[0]].map(|isn| Seq(isn + 30));
    }
    let (mut next, mut stamps) = ([1_u32; 2], [100_u32; 2]);
    let mut burst = Vec::new();
    for step in steps {
        let side = step.from as usize;
        let seq = next[side].wrapping_add_signed(step.off.into());
        let ack = next[1 - side].wrapping_add_signed(step.ack_off.into());
        let payload: Vec<u8> = (0..step.len)
            .map(|i| b'a' + (seq as u8).wrapping_add(i) % 26)
            .collect();
        let mut segment = match step.stamp {
            Some(by) => {
                let stamp = stamps[side].wrapping_add_signed(by.into());
                stamps[side] = stamps[side].max(stamp);
                let echo = stamps[1 - side].wrapping_add_signed(step.ack_off.into());
                let numbers = (seq, ack);
                bench.stamped(step.from, step.flags, numbers, &payload, (stamp, echo))
            }
            None => bench.segment(step.from, step.flags, seq, ack, &payload),
        };
        if let crate::wire::Transport::Tcp { window, .. } = &mut segment.0.transport {
            *window = step.window;
        }
        if step.off == 0 {
            next[side] += u32::from(step.len) + u32::from(step.flags.contains(TcpFlags::FIN));
        }
        if !step.joins && !burst.is_empty() || burst.len() == 60 {
            bench.burst(&core::mem::take(&mut burst));
        }
        burst.push(segment);
    }
    bench.burst(&burst);
    bench.finish();
    let counters = (*bench.shard.counters(), bench.shard.events);
    let seen: Vec<_> = bench
        .host
        .0
        .into_iter()
        .map(|seen| {
            (
                seen.log,
                seen.read,
                seen.lost,
                std::format!("{:?}", seen.removed),
            )
        })
        .collect();
    (seen, counters)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_step_by_step(
        steps in prop::collection::vec(step(), 1..60),
        receiver: bool,
        midstream: bool,
        listeners in prop_oneof![
            2 => Just(Listeners::Readers),
            1 => Just(Listeners::Idle),
            1 => any::<bool>().prop_map(|read| Listeners::Packets { read }),
        ],
    ) {
        let profile = if receiver { Profile::Receiver } else { Profile::Record };
        let short = outcome(&steps, profile, false, (midstream, listeners));
        let careful = outcome(&steps, profile, true, (midstream, listeners));
        prop_assert_eq!(short, careful);
    }
}

#[test]
fn a_receiver_refuses_an_old_timestamp_where_the_number_is_right() {
    for (profile, read) in [(Profile::Receiver, "abcxyz"), (Profile::Record, "abcdef")] {
        let mut bench = Bench::new(ShardConfig {
            profile,
            ..ShardConfig::default()
        });
        bench.open();
        let mut send = |from, numbers, payload: &str, times| {
            let bytes = payload.as_bytes();
            let segment = bench.stamped(from, TcpFlags::ACK, numbers, bytes, times);
            bench.burst(&[segment]);
        };
        send(CLIENT, (1, 1), "abc", (50, 6));
        send(SERVER, (1, 4), "", (7, 50));
        send(CLIENT, (4, 1), "def", (40, 7));
        send(CLIENT, (4, 1), "xyz", (60, 7));
        assert_eq!(bench.read(CLIENT), read);
    }
}
