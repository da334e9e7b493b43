//! Round trips, against links whose delay is known.

use std::time::Duration;

use mosaic_engine::actor::{ActorId, FlowContext, Host, RoundTrip};
use mosaic_engine::event::Side;
use mosaic_sim::{Habits, Link};

use super::*;

/// Estimates of each tracked flow at its end, and what its handshake showed.
#[derive(Default)]
struct Ends(Vec<[(Option<RoundTrip>, Option<Duration>); 2]>);

impl Host for Ends {
    fn on_removed(&mut self, _: ActorId, flow: &mut FlowContext<'_>) {
        let handshake = flow.summary().round_trips;
        self.0
            .push(Side::BOTH.map(|side| (flow.rtt(side), handshake[side as usize])));
    }
}

fn ends(seed: u64, scenario: &Scenario) -> Ends {
    let trace = World::run(seed, scenario);
    let mut cluster = Cluster::new(1, WireConfig::default(), &patient());
    let mut host = [Ends::default()];
    cluster.shards[0]
        .start_actor(ActorId(0))
        .monitor_stream(None)
        .track()
        .open()
        .expect("the pool is empty");
    cluster.handle_frames(&trace.frames, || 7, &mut host);
    cluster.finish(&mut host);
    let [host] = host;
    assert!(!host.0.is_empty());
    host
}

fn link(random: &mut Random) -> Link {
    Link {
        delay_ns: random.within(50..=40_000) * 1000,
        ..Link::default()
    }
}

fn there_and_back(link: &Link) -> Duration {
    Duration::from_nanos(2 * link.delay_ns)
}

/// Over good links the handshake shows the delay itself, and so does every acknowledgment that is not held back.
#[test]
fn over_good_links_the_delays_are_found() {
    for_each_seed(100, |seed| {
        let mut random = Random::new(seed);
        let scenario = Scenario {
            near: link(&mut random),
            far: link(&mut random),
            ..Scenario::default()
        };
        let expected = [scenario.near, scenario.far].map(|link| there_and_back(&link));
        for flow in ends(seed, &scenario).0 {
            for ((measured, handshake), expected) in flow.into_iter().zip(expected) {
                let measured = measured.expect("the handshake was seen");
                assert_eq!(handshake, Some(expected));
                assert_eq!(measured.min, expected);
                assert!(measured.smoothed >= expected && measured.latest >= expected);
            }
        }
    });
}

/// Whatever is lost, repeated or overtaken: nothing looks nearer than it is.
#[test]
fn over_bad_links_nothing_looks_nearer_than_it_is() {
    let samples = std::cell::Cell::new(0_u64);
    for_each_seed(400, |seed| {
        let mut random = Random::new(seed);
        let mut bad = |link: Link| Link {
            loss: PerMille(random.pick(&[0, 20, 80])),
            duplicate: PerMille(random.pick(&[0, 20])),
            reorder: PerMille(random.pick(&[0, 50, 200])),
            held_ns: random.within(1..=20_000) * 1000,
            ..link
        };
        let mut delays = Random::new(seed + 1);
        let scenario = Scenario {
            near: bad(link(&mut delays)),
            far: bad(link(&mut delays)),
            habits: Habits {
                keep_alive: PerMille(200),
                slow_reader: PerMille(200),
                wrap: PerMille(300),
                ..Habits::default()
            },
            ..Scenario::default()
        };
        let nearest = [scenario.near, scenario.far].map(|link| there_and_back(&link));
        for flow in ends(seed, &scenario).0 {
            for ((measured, handshake), nearest) in flow.into_iter().zip(nearest) {
                let Some(measured) = measured else { continue };
                samples.set(samples.get() + u64::from(measured.samples));
                assert!(measured.min >= nearest, "{measured:?} of {nearest:?}");
                assert!(handshake.is_none_or(|handshake| handshake >= nearest));
            }
        }
    });
    assert!(samples.get() > 1000, "{} were measured", samples.get());
}
