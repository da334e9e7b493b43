//! The world against itself: what it tells must be consistent, and everything it can do must happen.

use std::collections::BTreeMap;

use mosaic_engine::event::Side;

use crate::*;

const SEEDS: u64 = 300;

fn worlds(kind: fn(&mut Random) -> Scenario) -> impl Iterator<Item = Trace> {
    (0..SEEDS).map(move |seed| World::run(seed, &kind(&mut Random::new(seed))))
}

#[test]
fn a_seed_repeats() {
    let scenario = Scenario::lossy(&mut Random::new(3));
    assert_eq!(World::run(9, &scenario), World::run(9, &scenario));
    assert_ne!(
        World::run(9, &scenario).frames,
        World::run(10, &scenario).frames
    );
}

#[test]
fn good_links_deliver_everything_and_every_connection_closes() {
    for seed in 0..50 {
        let trace = World::run(seed, &Scenario::default());
        assert_eq!(trace.truth.len(), 8, "seed {seed}");
        for conversation in &trace.truth {
            assert!(
                conversation.closed_by_fin() && !conversation.saw_reset(),
                "seed {seed}"
            );
            for direction in &conversation.directions {
                assert_eq!(direction.received, direction.sent, "seed {seed}");
                assert_eq!(direction.stream(), direction.sent, "seed {seed}");
                assert_eq!(
                    direction.fin_at,
                    Some(direction.sent.len() as u64),
                    "seed {seed}"
                );
                assert!(
                    direction.payload_bytes == direction.sent.len() as u64,
                    "seed {seed}"
                );
            }
        }
    }
}

#[test]
fn a_complete_tap_saw_whatever_was_received() {
    for trace in worlds(Scenario::complete) {
        for conversation in trace
            .truth
            .iter()
            .filter(|conversation| !conversation.ambiguous)
        {
            for direction in &conversation.directions {
                let seed = trace.seed;
                assert!(
                    direction.sent.starts_with(&direction.received),
                    "seed {seed}"
                );
                assert!(
                    direction.bytes.len() >= direction.received.len(),
                    "seed {seed}"
                );
                assert!(
                    direction.stream().starts_with(&direction.received),
                    "seed {seed}"
                );
                for (recorded, sent) in direction.bytes.iter().zip(&direction.sent) {
                    assert!(recorded.is_none_or(|byte| byte == *sent), "seed {seed}");
                }
                if conversation.closed_by_fin() && !conversation.saw_reset() {
                    assert_eq!(direction.received, direction.sent, "seed {seed}");
                }
            }
        }
    }
}

#[test]
fn every_frame_belongs_to_a_conversation() {
    for trace in worlds(Scenario::complete) {
        let packets: u64 = trace.truth.iter().map(Conversation::packets).sum();
        // A fragmented packet takes two frames.
        assert!(packets <= trace.frames.len() as u64 && packets * 2 >= trace.frames.len() as u64);
        assert!(trace.frames.is_sorted_by_key(|frame| frame.timestamp));
    }
}

#[test]
fn everything_happens() {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let mut note = |what, happened: bool| *seen.entry(what).or_default() += u32::from(happened);
    for trace in worlds(Scenario::complete)
        .chain(worlds(Scenario::lossy))
        .chain(worlds(Scenario::late))
    {
        for conversation in &trace.truth {
            let [client, server] = &conversation.directions;
            note(
                "closed by FIN",
                conversation.closed_by_fin() && !conversation.saw_reset(),
            );
            note("reset", conversation.saw_reset());
            note(
                "neither",
                !conversation.saw_reset() && client.fin + server.fin == 0,
            );
            note("refused", server.rst == 1 && server.packets == 1);
            note("unanswered", server.packets == 0);
            note(
                "opened by both",
                server.base == Some(Base::Syn) && server.syn > 1,
            );
            note("the 5-tuple reused", conversation.generation > 0);
            note("server first", conversation.client == Side::Server);
            note("ambiguous", conversation.ambiguous);
            note(
                "whole and not ambiguous",
                !conversation.ambiguous && client.holes().is_empty(),
            );
            for direction in &conversation.directions {
                let recorded = direction.stream().len() as u64;
                note("repeated", direction.payload_bytes > recorded);
                note("holes", !direction.holes().is_empty());
                note(
                    "nothing but holes proven by a FIN",
                    recorded < direction.fin_at.unwrap_or(0),
                );
                note("base from SYN", direction.base == Some(Base::Syn));
                note(
                    "base from SYN/ACK",
                    direction.base == Some(Base::SynAckOfPeer),
                );
                note(
                    "base from a segment",
                    direction.base == Some(Base::FirstSegment),
                );
                note("acknowledged but not seen", direction.acked > recorded + 1);
            }
        }
    }
    let missing: Vec<_> = seen.iter().filter(|(_, times)| **times < 5).collect();
    assert!(missing.is_empty(), "too rare: {missing:?} of {seen:?}");
}
