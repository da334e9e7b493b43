//! Every metric, once: name, help, unit, labels, and where its value comes from.
//!
//! A metric cannot be listed here without being exported, nor exported without being listed. Names begin with `mosaic_`,
//! use base units (seconds, bytes) and end in `_total` for counters. Each has the label `shard`, and at most one more, or
//! the label `port` (its name in the configuration); labels take few values: never an address, never a flow.

use mosaic_engine::event::EventSet;
use mosaic_runtime::ShardSnapshot;

use crate::{PortFigures, Snapshot};

/// How a metric moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only upwards, from 0 at the start of the process.
    Counter,
    /// Up and down.
    Gauge,
}

/// What a metric counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Things: frames, packets, flows, events.
    Count,
    /// Bytes.
    Bytes,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Full name.
    pub name: &'static str,
    /// One sentence for `# HELP`.
    pub help: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// What it counts.
    pub unit: Unit,
    /// Whose figures they are.
    pub subject: Subject,
    /// The label besides that of the subject, if any.
    pub label: Option<&'static str>,
    source: Source,
}

/// What has a value of a metric of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// Each shard, by its number.
    Shard,
    /// Each live port, by its name.
    Port,
}

impl Subject {
    /// The label that tells which.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Shard => "shard",
            Self::Port => "port",
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Value(fn(&ShardSnapshot) -> u64),
    Labelled(LabelledValues),
    Port(fn(&PortFigures) -> u64),
}

/// Gives each value, with that of its label, to the function.
type LabelledValues = fn(&ShardSnapshot, &mut dyn FnMut(&str, u64));

impl Metric {
    /// Gives each value of this metric in `snapshot` to `each`, with the values of the subject's label and of
    /// [`label`](Self::label) (empty without one).
    pub fn read(&self, snapshot: &Snapshot, each: &mut dyn FnMut(&str, &str, u64)) {
        let shards = snapshot.shards.iter().map(|s| (s.shard.to_string(), s));
        match self.source {
            Source::Value(value) => shards.for_each(|(shard, s)| each(&shard, "", value(s))),
            Source::Labelled(values) => shards.for_each(|(shard, s)| {
                values(s, &mut |label, value| each(&shard, label, value));
            }),
            Source::Port(value) => {
                let ports = snapshot.ports.iter();
                ports.for_each(|port| each(&port.name, "", value(port)));
            }
        }
    }

    const fn bytes(self) -> Self {
        Self {
            unit: Unit::Bytes,
            ..self
        }
    }
}

const fn counter(
    name: &'static str,
    help: &'static str,
    value: fn(&ShardSnapshot) -> u64,
) -> Metric {
    Metric {
        name,
        help,
        kind: Kind::Counter,
        unit: Unit::Count,
        subject: Subject::Shard,
        label: None,
        source: Source::Value(value),
    }
}

const fn gauge(name: &'static str, help: &'static str, value: fn(&ShardSnapshot) -> u64) -> Metric {
    Metric {
        kind: Kind::Gauge,
        ..counter(name, help, value)
    }
}

const fn counter_by(
    label: &'static str,
    name: &'static str,
    help: &'static str,
    values: LabelledValues,
) -> Metric {
    Metric {
        name,
        help,
        kind: Kind::Counter,
        unit: Unit::Count,
        subject: Subject::Shard,
        label: Some(label),
        source: Source::Labelled(values),
    }
}

const fn of_port(
    kind: Kind,
    name: &'static str,
    help: &'static str,
    value: fn(&PortFigures) -> u64,
) -> Metric {
    Metric {
        name,
        help,
        kind,
        unit: Unit::Count,
        subject: Subject::Port,
        label: None,
        source: Source::Port(value),
    }
}

/// Every metric.
pub const METRICS: &[Metric] = &[
    // What came in.
    counter(
        "mosaic_received_frames_total",
        "Frames taken from ports.",
        |s| s.ingress.received_frames,
    ),
    counter(
        "mosaic_received_bytes_total",
        "Bytes of those frames on the wire.",
        |s| s.ingress.received_bytes,
    )
    .bytes(),
    counter(
        "mosaic_parsed_packets_total",
        "Innermost IP packets found in frames.",
        |s| s.ingress.packets,
    ),
    counter_by(
        "reason",
        "mosaic_dropped_packets_total",
        "Frames and packets dropped, each under exactly one reason.",
        |s, each| {
            s.drops
                .iter()
                .for_each(|(reason, count)| each(reason, count))
        },
    ),
    // IP fragments.
    counter(
        "mosaic_fragments_absorbed_total",
        "IP fragments kept for, or used in, a datagram.",
        |s| s.ingress.fragments_absorbed,
    ),
    counter(
        "mosaic_datagrams_reassembled_total",
        "Datagrams put together from fragments.",
        |s| s.ingress.datagrams_reassembled,
    ),
    counter_by(
        "reason",
        "mosaic_datagrams_abandoned_total",
        "Datagrams given up incomplete.",
        |s, each| {
            each("expired", s.ingress.datagrams_expired);
            each("evicted", s.ingress.datagrams_evicted);
        },
    ),
    // Between shards.
    counter(
        "mosaic_handed_out_packets_total",
        "Packets for other shards, including those that found no room.",
        |s| s.handed_out,
    ),
    counter(
        "mosaic_wrong_shard_packets_total",
        "Packets handed out although their device had promised to bring them to the shard that owns their flow: RSS does not do what it said.",
        |s| s.wrong_shard,
    ),
    counter(
        "mosaic_taken_in_packets_total",
        "Packets taken in from other shards.",
        |s| s.taken_in,
    ),
    counter(
        "mosaic_ring_dropped_packets_total",
        "Packets lost between shards.",
        |s| s.ring_dropped,
    ),
    counter(
        "mosaic_ring_waits_total",
        "Bursts held back until another shard had room.",
        |s| s.ring_waits,
    ),
    // On wires.
    counter(
        "mosaic_wire_received_frames_total",
        "Frames that came in on a wire and were looked at.",
        |s| s.wire.received,
    ),
    counter(
        "mosaic_forwarded_frames_total",
        "Frames that left a wire: those that came in on its other side, and those that actors made.",
        |s| s.wire.forwarded,
    ),
    counter(
        "mosaic_forwarded_bytes_total",
        "Bytes of forwarded frames.",
        |s| s.wire.forwarded_bytes,
    )
    .bytes(),
    counter(
        "mosaic_injected_frames_total",
        "Frames that actors made, to be sent besides those that came in; among the forwarded ones, or dropped for lack of room.",
        |s| s.wire.injected,
    ),
    counter(
        "mosaic_bypassed_frames_total",
        "Frames that were to pass a wire without an actor having decided.",
        |s| s.wire.bypassed,
    ),
    counter(
        "mosaic_unseen_frames_total",
        "Frames that came in on a wire while its shard was ending, or lost.",
        |s| s.wire.unseen,
    ),
    counter(
        "mosaic_finished_checksums_total",
        "Frames that came in on a wire with an unfinished checksum, which was finished in software.",
        |s| s.wire.checksums_finished,
    ),
    counter(
        "mosaic_offloaded_checksums_total",
        "Frames that came in on a wire with an unfinished checksum, which was left to the device that they leave through.",
        |s| s.wire.checksums_offloaded,
    ),
    counter_by(
        "reason",
        "mosaic_wire_dropped_frames_total",
        "Frames that came in on a wire, or that actors made, and that did not leave it.",
        |s, each| {
            each("verdict", s.wire.dropped_verdict);
            each("not_analysed", s.wire.dropped_refused);
            each("fragments", s.wire.dropped_fragments);
            each("overload", s.wire.dropped_overload);
            each("exit", s.wire.dropped_exit);
            each("no_room", s.wire.dropped_no_room);
        },
    ),
    gauge(
        "mosaic_held_frames",
        "Frames with fragments that wait for the rest of their datagram (fragments = \"hold\").",
        |s| s.wire.held,
    ),
    // Flows.
    counter(
        "mosaic_shard_packets_total",
        "Packets given to the shard, its own and those taken in.",
        |s| s.counters.packets,
    ),
    gauge("mosaic_flows", "Flows in the table.", |s| s.flows as u64),
    counter("mosaic_flows_started_total", "Flows that began.", |s| {
        s.counters.flows_started
    }),
    counter(
        "mosaic_flows_removed_total",
        "Flows that left the table.",
        |s| s.counters.flows_removed,
    ),
    counter(
        "mosaic_flows_evicted_total",
        "Flows removed because the table was full.",
        |s| s.counters.flows_evicted,
    ),
    counter(
        "mosaic_tracked_packets_total",
        "Packets that belonged to a flow.",
        |s| s.counters.consumed,
    ),
    counter(
        "mosaic_orphan_packets_total",
        "TCP packets of no tracked flow that did not begin one (midstream pick-up is off); among the tracked packets.",
        |s| s.counters.orphans,
    ),
    counter(
        "mosaic_tracked_bytes_total",
        "Bytes of those packets, from the innermost IP header on.",
        |s| s.counters.ip_bytes,
    )
    .bytes(),
    counter(
        "mosaic_untranslated_packets_total",
        "Packets dropped because they could not be translated.",
        |s| s.counters.untranslated,
    ),
    counter(
        "mosaic_refused_ways_total",
        "Times nothing was remembered of how an end is reached without a packet of it, because too many ways are in use.",
        |s| s.counters.ways_refused,
    ),
    counter(
        "mosaic_translated_errors_total",
        "ICMP errors translated with the flow they are about; not among the tracked packets.",
        |s| s.counters.errors_translated,
    ),
    // Streams.
    counter(
        "mosaic_payload_bytes_total",
        "Payload bytes of TCP segments, repetitions included.",
        |s| s.counters.payload_bytes,
    )
    .bytes(),
    counter(
        "mosaic_stream_bytes_total",
        "Bytes that joined a stream.",
        |s| s.counters.stream_bytes,
    )
    .bytes(),
    counter("mosaic_gaps_total", "Holes skipped in streams.", |s| {
        s.counters.gaps
    }),
    counter("mosaic_gap_bytes_total", "Bytes skipped as missing.", |s| {
        s.counters.gap_bytes
    })
    .bytes(),
    counter(
        "mosaic_late_bytes_total",
        "Bytes that filled a hole after it had been skipped.",
        |s| s.counters.late_bytes,
    )
    .bytes(),
    counter(
        "mosaic_retransmissions_total",
        "Segments that repeated bytes or control bits.",
        |s| s.counters.retransmissions,
    ),
    counter(
        "mosaic_out_of_order_segments_total",
        "Segments ahead of the next expected byte.",
        |s| s.counters.out_of_order,
    ),
    counter(
        "mosaic_invalid_segments_total",
        "Segments that a receiver must refuse.",
        |s| s.counters.invalid_segments,
    ),
    counter(
        "mosaic_unknown_links_total",
        "Times a monitor's filter on frames was to judge one of a link type that it means nothing on: the frame did not pass.",
        |s| s.counters.unknown_links,
    ),
    counter(
        "mosaic_copied_bytes_total",
        "Payload bytes copied into stream buffers.",
        |s| s.counters.copied_bytes,
    )
    .bytes(),
    gauge(
        "mosaic_buffered_bytes",
        "Bytes held in stream buffers.",
        |s| s.buffered_bytes as u64,
    )
    .bytes(),
    counter(
        "mosaic_overrun_bytes_total",
        "Bytes lost to readers that did not keep up.",
        |s| s.counters.overrun_bytes,
    )
    .bytes(),
    counter(
        "mosaic_bounds_hit_total",
        "Times a bound on buffered bytes or holes was hit.",
        |s| s.counters.bounds_hit,
    ),
    counter_by(
        "reason",
        "mosaic_edited_flow_segments_total",
        "Segments of flows whose streams are edited: out of turn (held, held_again, held_refused, held_released), not sent for \
         want of room (no_room, refused), sent besides (answered, pushed).",
        |s, each| {
            each("held", s.counters.held);
            each("held_again", s.counters.held_again);
            each("held_refused", s.counters.held_refused);
            each("held_released", s.counters.held_released);
            each("no_room", s.counters.edits_no_room);
            each("refused", s.counters.edits_refused);
            each("answered", s.counters.edits_answered);
            each("pushed", s.counters.edits_pushed);
        },
    ),
    // Events and actors.
    counter(
        "mosaic_subscriptions_refused_total",
        "Times no set of subscriptions was left for what was asked of a flow.",
        |s| s.counters.subscriptions_refused,
    ),
    counter(
        "mosaic_raises_refused_total",
        "User-defined events not raised because too many were raised in answer to one event.",
        |s| s.counters.raises_refused,
    ),
    counter_by(
        "event",
        "mosaic_events_total",
        "Events raised, one for each that happened.",
        |s, each| {
            EventSet::EVENT_NAMES
                .iter()
                .zip(s.events)
                .for_each(|(event, count)| each(event, count));
        },
    ),
    counter_by(
        "actor",
        "mosaic_actor_panics_total",
        "Panics of an actor, each contained.",
        |s, each| {
            s.actor_panics
                .iter()
                .for_each(|actor| each(&actor.name, actor.panics));
        },
    ),
    // Live ports.
    of_port(
        Kind::Gauge,
        "mosaic_port_link_up",
        "Whether the port has a link: 1 or 0.",
        |p| p.link_up.into(),
    ),
    of_port(
        Kind::Counter,
        "mosaic_port_received_frames_total",
        "Frames that the device received.",
        |p| p.received_frames,
    ),
    of_port(
        Kind::Counter,
        "mosaic_port_received_bytes_total",
        "Bytes of those frames.",
        |p| p.received_bytes,
    )
    .bytes(),
    of_port(
        Kind::Counter,
        "mosaic_port_sent_frames_total",
        "Frames that the device sent.",
        |p| p.sent_frames,
    ),
    of_port(
        Kind::Counter,
        "mosaic_port_sent_bytes_total",
        "Bytes of those frames.",
        |p| p.sent_bytes,
    )
    .bytes(),
    of_port(
        Kind::Counter,
        "mosaic_port_missed_frames_total",
        "Frames lost because the receive queues were full.",
        |p| p.missed_frames,
    ),
    of_port(
        Kind::Counter,
        "mosaic_port_no_buffer_frames_total",
        "Frames lost because no packet buffer was free.",
        |p| p.no_buffer_frames,
    ),
    of_port(
        Kind::Counter,
        "mosaic_port_receive_errors_total",
        "Frames received with errors.",
        |p| p.receive_errors,
    ),
    of_port(
        Kind::Counter,
        "mosaic_port_send_errors_total",
        "Frames that the device could not send.",
        |p| p.send_errors,
    ),
    of_port(
        Kind::Gauge,
        "mosaic_port_mbufs",
        "Packet buffers of the port.",
        |p| p.mbufs,
    ),
    of_port(
        Kind::Gauge,
        "mosaic_port_mbufs_in_use",
        "Packet buffers in use, those that wait in receive queues included.",
        |p| p.mbufs_in_use,
    ),
    // The loop.
    counter("mosaic_bursts_total", "Bursts that brought frames.", |s| {
        s.bursts
    }),
    counter(
        "mosaic_idle_polls_total",
        "Turns of the poll loop that found nothing to do.",
        |s| s.idle_polls,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use mosaic_engine::counters::IngressCounters;
    use mosaic_engine::shard::ShardCounters;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_follow_the_rules() {
        for (i, metric) in METRICS.iter().enumerate() {
            let name = metric.name;
            assert!(
                METRICS[..i].iter().all(|earlier| earlier.name != name),
                "{name} twice"
            );
            assert!(name.starts_with("mosaic_"), "{name}");
            assert_eq!(
                name.ends_with("_total"),
                metric.kind == Kind::Counter,
                "{name}"
            );
            let is_bytes = name.trim_end_matches("_total").ends_with("_bytes");
            assert_eq!(is_bytes, metric.unit == Unit::Bytes, "{name}");
            assert!(metric.help.ends_with('.'), "{name}");
            assert!(
                metric
                    .label
                    .is_none_or(|label| ["reason", "event", "actor", "port"].contains(&label)),
                "{name}"
            );
        }
    }

    /// No `..` below: a new counter does not compile here until it has a value, and fails until it is exported.
    #[test]
    fn every_counter_is_exported() {
        let mut next = 1_000;
        let mut n = || {
            next += 1;
            next
        };
        let ingress = IngressCounters {
            received_frames: n(),
            received_bytes: n(),
            packets: n(),
            fragments_absorbed: n(),
            datagrams_reassembled: n(),
            datagrams_expired: n(),
            datagrams_evicted: n(),
        };
        let counters = ShardCounters {
            packets: n(),
            consumed: n(),
            orphans: n(),
            ip_bytes: n(),
            flows_started: n(),
            flows_removed: n(),
            flows_evicted: n(),
            payload_bytes: n(),
            stream_bytes: n(),
            gap_bytes: n(),
            gaps: n(),
            late_bytes: n(),
            retransmissions: n(),
            out_of_order: n(),
            copied_bytes: n(),
            overrun_bytes: n(),
            bounds_hit: n(),
            invalid_segments: n(),
            subscriptions_refused: n(),
            raises_refused: n(),
            held: n(),
            held_again: n(),
            held_refused: n(),
            held_released: n(),
            edits_no_room: n(),
            edits_refused: n(),
            edits_answered: n(),
            edits_pushed: n(),
            unknown_links: n(),
            ways_refused: n(),
            untranslated: n(),
            errors_translated: n(),
        };
        let port = PortFigures {
            name: "left".into(),
            link_up: true,
            received_frames: n(),
            received_bytes: n(),
            sent_frames: n(),
            sent_bytes: n(),
            missed_frames: n(),
            no_buffer_frames: n(),
            receive_errors: n(),
            send_errors: n(),
            mbufs: n(),
            mbufs_in_use: n(),
        };
        let snapshot = Snapshot {
            shards: vec![ShardSnapshot {
                ingress,
                counters,
                ..ShardSnapshot::default()
            }],
            ports: vec![port],
        };
        let mut exported = BTreeSet::new();
        for metric in METRICS {
            metric.read(&snapshot, &mut |subject, _, value| {
                let expected = match metric.subject {
                    Subject::Shard => "0",
                    Subject::Port => "left",
                };
                assert_eq!(subject, expected, "{}", metric.name);
                exported.insert(value);
            });
        }
        for value in 1_001..=next {
            assert!(
                exported.contains(&value),
                "counter {} in the order above",
                value - 1_000
            );
        }
    }
}
