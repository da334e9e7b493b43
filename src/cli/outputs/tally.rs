//! What the summary says about flows: counted on each shard, added up at the end.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use mosaic_engine::actor::{Actor, FlowContext, FlowSummary, ShardContext, StartError};
use mosaic_engine::event::{EndReason, Filter};
use mosaic_engine::flow::{Endpoint, Proto};
use mosaic_port::Timestamp;

/// Flows the summary lists by size.
const TOP: usize = 10;

/// Counts the flows of a shard, and sends the counts when the shard ends.
pub(super) struct TallyActor {
    filter: Option<Filter>,
    tally: Tally,
    done: flume::Sender<Tally>,
}

impl TallyActor {
    pub(super) fn new(filter: Option<Filter>, done: flume::Sender<Tally>) -> Self {
        Self {
            filter,
            tally: Tally::default(),
            done,
        }
    }
}

impl Actor for TallyActor {
    type Flow = ();

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        shard.monitor_stream(self.filter.clone()).open()?;
        Ok(())
    }

    fn on_removed(&mut self, (): &mut (), flow: &mut FlowContext<'_>) {
        self.tally.add_flow(&flow.summary());
    }

    fn finish(&mut self) {
        // Nobody listens any more only where the run has failed.
        let _ = self.done.send(std::mem::take(&mut self.tally));
    }
}

/// Counts of flows.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    protocols: BTreeMap<u8, Protocol>,
    ends: BTreeMap<&'static str, u64>,
    /// Time of the first and of the last packet of any flow.
    span: Option<(Timestamp, Timestamp)>,
    /// The smallest of the largest on top.
    top: BinaryHeap<Reverse<TopFlow>>,
}

/// Counts of the flows of one protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Protocol {
    pub(super) flows: u64,
    pub(super) packets: u64,
    pub(super) ip_bytes: u64,
    pub(super) payload_bytes: u64,
}

/// A flow of the list; ordered by size, and where that is equal by time and ends, so that the list is always the same.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct TopFlow {
    pub(super) ip_bytes: u64,
    first: Reverse<Timestamp>,
    pub(super) client: Endpoint,
    pub(super) server: Endpoint,
    pub(super) proto: Proto,
    pub(super) packets: u64,
    pub(super) duration: Duration,
}

impl Tally {
    pub(super) fn add_flow(&mut self, flow: &FlowSummary) {
        let sum = |part: fn(&_) -> u64| flow.sides.iter().map(part).sum::<u64>();
        let (packets, ip_bytes) = (sum(|side| side.packets), sum(|side| side.ip_bytes));
        let protocol = self.protocols.entry(flow.proto.0).or_default();
        protocol.add(&Protocol {
            flows: 1,
            packets,
            ip_bytes,
            payload_bytes: sum(|side| side.payload_bytes),
        });
        *self.ends.entry(end_phrase(flow.end)).or_default() += 1;
        self.widen((flow.first, flow.last));
        self.add_top(TopFlow {
            ip_bytes,
            first: Reverse(flow.first),
            client: flow.client,
            server: flow.server,
            proto: flow.proto,
            packets,
            duration: flow.last.since(flow.first),
        });
    }

    /// Adds the counts of another shard.
    pub(super) fn merge(&mut self, other: Self) {
        for (proto, counts) in other.protocols {
            self.protocols.entry(proto).or_default().add(&counts);
        }
        for (end, flows) in other.ends {
            *self.ends.entry(end).or_default() += flows;
        }
        if let Some(span) = other.span {
            self.widen(span);
        }
        other
            .top
            .into_iter()
            .for_each(|Reverse(flow)| self.add_top(flow));
    }

    /// By protocol, most bytes first.
    pub(super) fn protocols(&self) -> Vec<(Proto, Protocol)> {
        let mut protocols: Vec<_> = self
            .protocols
            .iter()
            .map(|(proto, counts)| (Proto(*proto), *counts))
            .collect();
        protocols.sort_by_key(|(_, counts)| Reverse(counts.ip_bytes));
        protocols
    }

    /// Why flows ended, with how many.
    pub(super) fn ends(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.ends.iter().map(|(end, flows)| (*end, *flows))
    }

    /// Time of the first and of the last packet.
    pub(super) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        self.span
    }

    /// The largest flows, largest first.
    pub(super) fn top(&self) -> Vec<&TopFlow> {
        let mut top: Vec<_> = self.top.iter().map(|Reverse(flow)| flow).collect();
        top.sort_by(|a, b| b.cmp(a));
        top
    }

    fn add_top(&mut self, flow: TopFlow) {
        if self.top.len() < TOP {
            self.top.push(Reverse(flow));
        } else if self
            .top
            .peek()
            .is_some_and(|Reverse(smallest)| *smallest < flow)
        {
            self.top.pop();
            self.top.push(Reverse(flow));
        }
    }

    fn widen(&mut self, (first, last): (Timestamp, Timestamp)) {
        let (from, to) = self.span.unwrap_or((first, last));
        self.span = Some((from.min(first), to.max(last)));
    }
}

impl Protocol {
    fn add(&mut self, other: &Self) {
        self.flows += other.flows;
        self.packets += other.packets;
        self.ip_bytes += other.ip_bytes;
        self.payload_bytes += other.payload_bytes;
    }
}

const fn end_phrase(end: Option<EndReason>) -> &'static str {
    match end {
        Some(EndReason::Fin) => "closed (FIN)",
        Some(EndReason::Reset) => "reset (RST)",
        Some(EndReason::Timeout) => "idle timeout",
        Some(EndReason::Reopened) => "opened again",
        Some(EndReason::Evicted) => "pushed out of a full table",
        Some(EndReason::SourceEnd) | None => "open at the end",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(ip_bytes: u64, second: u64) -> TopFlow {
        let end = Endpoint {
            addr: [192, 0, 2, 1].into(),
            port: 1,
        };
        TopFlow {
            ip_bytes,
            first: Reverse(Timestamp::from_nanos(second * 1_000_000_000)),
            client: end,
            server: end,
            proto: Proto::TCP,
            packets: 1,
            duration: Duration::ZERO,
        }
    }

    #[test]
    fn the_largest_flows_are_kept_whatever_the_order_and_the_shard() {
        let sizes: Vec<u64> = (0..100).map(|i| i * 37 % 101).collect();
        let mut whole = Tally::default();
        sizes.iter().for_each(|&size| whole.add_top(flow(size, 0)));
        let mut merged = Tally::default();
        for part in sizes.chunks(7) {
            let mut shard = Tally::default();
            part.iter().for_each(|&size| shard.add_top(flow(size, 0)));
            merged.merge(shard);
        }
        let mut largest = sizes;
        largest.sort_by_key(|&size| Reverse(size));
        for tally in [whole, merged] {
            let top: Vec<_> = tally.top().iter().map(|flow| flow.ip_bytes).collect();
            assert_eq!(top, largest[..TOP]);
        }
    }

    #[test]
    fn of_equal_flows_the_earlier_comes_first() {
        let mut tally = Tally::default();
        [5, 3, 4]
            .into_iter()
            .for_each(|second| tally.add_top(flow(1, second)));
        let firsts: Vec<_> = tally
            .top()
            .iter()
            .map(|flow| flow.first.0.as_nanos() / 1_000_000_000)
            .collect();
        assert_eq!(firsts, [3, 4, 5]);
    }
}
