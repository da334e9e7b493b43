//! Compares what actors were told with the truth.

use std::collections::BTreeMap;

use mosaic_engine::event::{EndReason, Side};
use mosaic_engine::flow::Endpoint;
use mosaic_sim::{Conversation, Direction, Trace};

use crate::reader::{FlowLog, StreamLog};

/// A connection of the truth with the flow that must describe it.
pub(crate) struct Pair<'a> {
    pub(crate) truth: &'a Conversation,
    pub(crate) flow: &'a FlowLog,
}

impl<'a> Pair<'a> {
    /// What `side` of the flow sent, by the truth, and what the actor got of it.
    pub(crate) fn direction(&self, side: Side) -> (&'a Direction, &'a StreamLog) {
        let truth = match self.truth.client {
            Side::Client => side,
            Side::Server => side.other(),
        };
        (self.truth.sent_by(truth), &self.flow.streams[side as usize])
    }
}

/// Pairs connections and flows of the same two endpoints in the order in which they began. 5-tuples where a connection is
/// ambiguous are only checked for their totals.
pub(crate) fn pairs<'a>(
    trace: &'a Trace,
    flows: impl Iterator<Item = &'a FlowLog>,
) -> Vec<Pair<'a>> {
    type Tuple = [Endpoint; 2];
    let sorted = |mut ends: Tuple| {
        ends.sort();
        ends
    };
    let mut truths: BTreeMap<Tuple, Vec<&Conversation>> = BTreeMap::new();
    for truth in &trace.truth {
        truths.entry(sorted(truth.ends.0)).or_default().push(truth);
    }
    let mut found: BTreeMap<Tuple, Vec<&FlowLog>> = BTreeMap::new();
    for flow in flows {
        found
            .entry(sorted([flow.summary.client, flow.summary.server]))
            .or_default()
            .push(flow);
    }
    let mut pairs = Vec::new();
    for (tuple, truths) in truths {
        let mut flows = found.remove(&tuple).unwrap_or_default();
        flows.sort_by_key(|flow| (flow.summary.first, flow.summary.id.generation));
        totals(&truths, &flows);
        if truths.iter().any(|truth| truth.ambiguous) {
            continue;
        }
        assert_eq!(truths.len(), flows.len(), "connections of {tuple:?}");
        pairs.extend(
            truths
                .into_iter()
                .zip(flows)
                .map(|(truth, flow)| Pair { truth, flow }),
        );
    }
    assert!(found.is_empty(), "flows that never were: {found:?}");
    pairs
}

fn totals(truths: &[&Conversation], flows: &[&FlowLog]) {
    let theirs = truths.iter().flat_map(|truth| &truth.directions);
    let ours = flows.iter().flat_map(|flow| &flow.summary.sides);
    assert_eq!(
        ours.clone().map(|side| side.packets).sum::<u64>(),
        theirs
            .clone()
            .map(|direction| direction.packets)
            .sum::<u64>(),
        "packets"
    );
    assert_eq!(
        ours.map(|side| side.payload_bytes).sum::<u64>(),
        theirs.map(|direction| direction.payload_bytes).sum::<u64>(),
        "payload bytes"
    );
}

/// Who is who, and what was counted.
pub(crate) fn counts(pair: &Pair<'_>) {
    let summary = &pair.flow.summary;
    assert_eq!(
        summary.client,
        pair.truth.ends.of(pair.truth.client),
        "the client"
    );
    for side in Side::BOTH {
        let (truth, _) = pair.direction(side);
        let ours = &summary.sides[side as usize];
        let counted = (
            ours.packets,
            ours.payload_bytes,
            ours.syn,
            ours.fin,
            ours.rst,
        );
        let expected = (
            truth.packets,
            truth.payload_bytes,
            truth.syn,
            truth.fin,
            truth.rst,
        );
        assert_eq!(
            counted, expected,
            "packets, payload bytes, SYN, FIN, RST of {side:?}"
        );
        assert_eq!(ours.ip_bytes, truth.ip_bytes, "IP bytes of {side:?}");
    }
}

/// Every recorded byte was delivered, once, at its offset, and every hole was reported: exactly the truth.
pub(crate) fn exact_streams(pair: &Pair<'_>) {
    for side in Side::BOTH {
        let (truth, stream) = pair.direction(side);
        let ours = &pair.flow.summary.sides[side as usize];
        right_bytes(truth, stream);
        assert_eq!(stream.lost, 0, "lost by {side:?}");
        if ours.late_bytes == 0 {
            assert_eq!(
                ours.retransmitted_bytes, truth.repeated_bytes,
                "repeated bytes of {side:?}"
            );
            let delivered: u64 = stream
                .pieces
                .iter()
                .map(|(_, piece)| piece.len() as u64)
                .sum();
            assert_eq!(
                delivered,
                truth.stream().len() as u64,
                "bytes of {side:?}, holes {:?}",
                truth.holes()
            );
            assert_eq!(ours.stream_bytes, delivered, "stream bytes of {side:?}");
            gaps_are_holes(truth, stream, side);
            assert_eq!(
                ours.gap_bytes,
                stream.gaps.iter().map(|(_, len)| len).sum::<u64>(),
                "gap bytes of {side:?}"
            );
        }
        assert_eq!(
            u64::from(ours.gaps),
            stream.gaps.len() as u64,
            "gaps of {side:?}"
        );
    }
}

/// Gaps are the holes between recorded bytes, and what a FIN or an acknowledgment proves to be missing behind them.
fn gaps_are_holes(truth: &Direction, stream: &StreamLog, side: Side) {
    let recorded = truth.bytes.len() as u64;
    let inner: Vec<_> = stream
        .gaps
        .iter()
        .filter(|(offset, _)| *offset < recorded)
        .copied()
        .collect();
    assert_eq!(inner, truth.holes(), "holes of {side:?}");
    for (offset, len) in stream.gaps.iter().filter(|(offset, _)| *offset >= recorded) {
        let end = offset + len;
        let proven = truth.fin_at == Some(end) || truth.acked == end;
        assert!(
            *offset == recorded && proven,
            "{side:?}: a gap at {offset}, {len} long, behind the last byte at {recorded}"
        );
    }
}

/// Whatever was delivered is what was recorded at that offset.
pub(crate) fn right_bytes(truth: &Direction, stream: &StreamLog) {
    for (offset, piece) in &stream.pieces {
        for (at, byte) in (*offset..).zip(piece) {
            let recorded = usize::try_from(at)
                .ok()
                .and_then(|at| truth.bytes.get(at).copied().flatten());
            assert_eq!(Some(*byte), recorded, "the byte at {at}");
        }
    }
}

/// Bytes and holes lie side by side, and together they are the stream, as the summary counts it.
pub(crate) fn no_byte_unaccounted(pair: &Pair<'_>) {
    for side in Side::BOTH {
        let (truth, stream) = pair.direction(side);
        let ours = &pair.flow.summary.sides[side as usize];
        right_bytes(truth, stream);
        let delivered: u64 = stream
            .pieces
            .iter()
            .map(|(_, piece)| piece.len() as u64)
            .sum();
        let skipped: u64 = stream.gaps.iter().map(|(_, len)| len).sum();
        assert_eq!(
            delivered + stream.lost,
            ours.stream_bytes,
            "delivered or lost, of {side:?}"
        );
        assert_eq!(skipped, ours.gap_bytes, "gap bytes of {side:?}");
        if stream.lost == 0 {
            let mut spans: Vec<(u64, u64)> = stream.gaps.clone();
            spans.extend(
                stream
                    .pieces
                    .iter()
                    .map(|(offset, piece)| (*offset, piece.len() as u64)),
            );
            spans.sort_unstable();
            let end = spans.iter().fold(0, |end, (offset, len)| {
                assert_eq!(
                    *offset, end,
                    "pieces and gaps of {side:?} adjoin: {spans:?}"
                );
                end + len
            });
            assert_eq!(end, delivered + skipped);
        }
        let missing = truth.stream().len() as u64;
        assert!(
            delivered + stream.lost + ours.late_bytes <= missing,
            "more bytes of {side:?} than were recorded"
        );
    }
}

/// The reason the actor was told fits what the tap saw.
pub(crate) fn ending(pair: &Pair<'_>) {
    let reason = pair.flow.end().expect("every flow ends");
    let whole = |direction: &Direction| {
        let recorded = direction.bytes.len() as u64;
        direction.holes().is_empty() && direction.fin_at == Some(recorded)
    };
    let closed = pair.truth.closed_by_fin() && pair.truth.directions.iter().all(whole);
    match reason {
        // An end that gives up on the acknowledgment of its FIN does not make the close another one.
        EndReason::Fin => assert!(
            pair.truth
                .directions
                .iter()
                .all(|direction| direction.fin_at.is_some()),
            "ended by FIN, but not both sides closed: {:#?}",
            pair.flow.summary
        ),
        EndReason::Reset => assert!(pair.truth.saw_reset(), "ended by a RST that never was"),
        EndReason::Reopened | EndReason::SourceEnd => {
            assert!(
                !closed || pair.truth.saw_reset(),
                "ended as {reason:?}: {:#?}",
                pair.flow.summary
            );
        }
        EndReason::Timeout | EndReason::Evicted => panic!("no timeout, no bound: {reason:?}"),
    }
    assert_eq!(pair.flow.summary.end, Some(reason));
}
