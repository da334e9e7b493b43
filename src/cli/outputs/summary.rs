//! The summary for humans.

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{HumanBytes, HumanCount};
use mosaic_engine::event::EventSet;
use mosaic_port::Timestamp;

use super::tally::Tally;
use crate::{PortFigures, Snapshot};

/// Where the packets came from.
pub(in crate::cli) enum Source {
    /// Files, read as one.
    Captures(Vec<PathBuf>),
    /// Live ports; their figures have names.
    Ports,
}

/// How remedies are named: as command line or configuration file have them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::cli) enum Words {
    /// `--flows`.
    Options,
    /// `flows_max`.
    Keys,
}

/// Everything the summary tells.
pub(super) struct Summary<'a> {
    pub(super) source: &'a Source,
    pub(super) words: Words,
    pub(super) figures: &'a Snapshot,
    pub(super) tally: &'a Tally,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.overview(f)?;
        self.ports(f)?;
        self.wires(f)?;
        self.protocols(f)?;
        self.events(f)?;
        self.top(f)?;
        self.drops(f)
    }
}

impl Summary<'_> {
    fn overview(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ingress, counters) = (self.figures.ingress(), self.figures.counters());
        let mut table = table(&["", ""]);
        if let Source::Captures(paths) = self.source {
            let captures: Vec<_> = paths
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            table.add_row(["captures", &captures.join(", ")]);
        }
        table.add_row([
            "packets",
            &count_and_bytes(ingress.received_frames, ingress.received_bytes),
        ]);
        table.add_row([
            "in flows",
            &count_and_bytes(counters.consumed, counters.ip_bytes),
        ]);
        if let Some((first, last)) = self.tally.span() {
            table.add_row(["first packet", &time(first)]);
            table.add_row([
                "last packet",
                &format!("{}, {} later", time(last), duration(last.since(first))),
            ]);
        }
        table.add_row([
            "TCP payload",
            &HumanBytes(counters.payload_bytes).to_string(),
        ]);
        table.add_row(["in streams", &HumanBytes(counters.stream_bytes).to_string()]);
        for (name, count) in [
            ("missing bytes", counters.gap_bytes),
            ("holes", counters.gaps),
            ("late bytes", counters.late_bytes),
            ("retransmissions", counters.retransmissions),
            ("out of order", counters.out_of_order),
            ("invalid segments", counters.invalid_segments),
            ("fragments", ingress.fragments_absorbed),
            ("datagrams reassembled", ingress.datagrams_reassembled),
            (
                "datagrams incomplete",
                ingress.datagrams_expired + ingress.datagrams_evicted,
            ),
        ] {
            if count > 0 {
                table.add_row([name, &HumanCount(count).to_string()]);
            }
        }
        if self.figures.shards.len() > 1 {
            let between = self.figures.hand_over();
            let wrong = match between.wrong_shard {
                0 => String::new(),
                count => format!(" (RSS brought {} to the wrong shard)", HumanCount(count)),
            };
            let shards = format!(
                "{}, {} packets handed over{wrong}",
                self.figures.shards.len(),
                HumanCount(between.taken_in)
            );
            table.add_row(["shards", &shards]);
        }
        writeln!(f, "{}", trimmed(&table))
    }

    fn ports(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ports = table(&["port", "received", "sent", "missed", "errors"]);
        for port in &self.figures.ports {
            ports.add_row([
                port.name.to_string(),
                count_and_bytes(port.received_frames, port.received_bytes),
                count_and_bytes(port.sent_frames, port.sent_bytes),
                HumanCount(port.missed_frames + port.no_buffer_frames).to_string(),
                HumanCount(port.receive_errors + port.send_errors).to_string(),
            ]);
        }
        right(&mut ports, 1..5);
        writeln_unless_empty(f, &ports)
    }

    fn wires(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = self.figures.wire();
        let mut frames = table(&["frames on wires", "frames"]);
        for (name, count) in [
            ("forwarded", wire.forwarded),
            ("of them without a decision", wire.bypassed),
            ("made by actors", wire.injected),
            ("dropped by actors", wire.dropped_verdict),
            ("dropped, not analysed", wire.dropped_refused),
            ("dropped, incomplete in fragments", wire.dropped_fragments),
            ("dropped, overload", wire.dropped_overload),
            ("dropped while ending", wire.dropped_exit),
            ("dropped, no room to send", wire.dropped_no_room),
        ] {
            if count > 0 {
                frames.add_row([name.to_owned(), HumanCount(count).to_string()]);
            }
        }
        right(&mut frames, 1..2);
        writeln_unless_empty(f, &frames)
    }

    fn protocols(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocols = self.tally.protocols();
        if protocols.is_empty() {
            return writeln!(f, "\nno flows");
        }
        let mut by_protocol = table(&["protocol", "flows", "packets", "bytes", "payload"]);
        for (proto, counts) in protocols {
            by_protocol.add_row([
                proto.to_string(),
                HumanCount(counts.flows).to_string(),
                HumanCount(counts.packets).to_string(),
                HumanBytes(counts.ip_bytes).to_string(),
                HumanBytes(counts.payload_bytes).to_string(),
            ]);
        }
        right(&mut by_protocol, 1..5);
        let mut ends = table(&["flows by end", "flows"]);
        for (end, flows) in self.tally.ends() {
            ends.add_row([end.to_owned(), HumanCount(flows).to_string()]);
        }
        right(&mut ends, 1..2);
        writeln!(f, "\n{}\n\n{}", trimmed(&by_protocol), trimmed(&ends))
    }

    fn events(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut events = table(&["event", "times"]);
        for (name, times) in EventSet::EVENT_NAMES.into_iter().zip(self.figures.events()) {
            if times > 0 {
                events.add_row([name.to_owned(), HumanCount(times).to_string()]);
            }
        }
        right(&mut events, 1..2);
        writeln_unless_empty(f, &events)
    }

    fn top(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut top = table(&[
            "largest flows",
            "client",
            "server",
            "packets",
            "bytes",
            "lasted",
        ]);
        for flow in self.tally.top() {
            top.add_row([
                flow.proto.to_string(),
                flow.client.to_string(),
                flow.server.to_string(),
                HumanCount(flow.packets).to_string(),
                HumanBytes(flow.ip_bytes).to_string(),
                duration(flow.duration),
            ]);
        }
        right(&mut top, 3..6);
        writeln_unless_empty(f, &top)
    }

    fn drops(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut drops = table(&["packets not in flows", "packets"]);
        for (reason, packets) in self.figures.drops().iter() {
            if packets > 0 {
                drops.add_row([
                    drop_phrase(reason, self.words).to_owned(),
                    HumanCount(packets).to_string(),
                ]);
            }
        }
        right(&mut drops, 1..2);
        writeln_unless_empty(f, &drops)
    }
}

/// What was lost because a bound was hit, a line each: results are then not what they would be without the bound.
pub(super) fn bounds_hit(figures: &Snapshot, words: Words) -> Vec<String> {
    let (counters, ingress, drops) = (figures.counters(), figures.ingress(), figures.drops());
    let bounds = [
        (
            counters.flows_evicted,
            "flows were pushed out of the full flow table",
            "--flows",
            "flows_max",
        ),
        (
            drops.table_full,
            "packets found the flow table full",
            "--flows",
            "flows_max",
        ),
        (
            counters.bounds_hit,
            "times a bound on buffered bytes or holes was hit",
            "--side-bytes, --out-of-order-bytes, --holes, --buffered-bytes",
            "side_bytes_max, out_of_order_bytes_max, holes_max, buffered_bytes_max",
        ),
        (
            counters.overrun_bytes,
            "bytes were lost to a reader that did not keep up",
            "--side-bytes",
            "side_bytes_max",
        ),
        (
            ingress.datagrams_evicted,
            "fragmented datagrams were given up for lack of room",
            "--fragments",
            "fragments_max",
        ),
        (
            drops.fragment_bound,
            "fragments found no room",
            "--fragments",
            "fragments_max",
        ),
        (
            figures.hand_over().ring_dropped,
            "packets were dropped between shards",
            "",
            "",
        ),
    ];
    let bounds = bounds.into_iter().chain(port_bounds(&figures.ports));
    let line = |(times, what, options, keys): Bound| {
        let hint = match words {
            Words::Options => options,
            Words::Keys => keys,
        };
        let times = HumanCount(times);
        if hint.is_empty() {
            format!("{times} {what}")
        } else {
            format!("{times} {what} ({hint})")
        }
    };
    bounds.filter(|(times, ..)| *times > 0).map(line).collect()
}

/// How often, what happened, and the remedies as options and as keys.
type Bound = (u64, &'static str, &'static str, &'static str);

fn port_bounds(ports: &[PortFigures]) -> [Bound; 2] {
    let sum = |part: fn(&PortFigures) -> u64| ports.iter().map(part).sum();
    [
        (
            sum(|port| port.missed_frames),
            "frames were missed by ports whose queues were full",
            "",
            "shards, rx_descriptors",
        ),
        (
            sum(|port| port.no_buffer_frames),
            "frames found no buffer",
            "",
            "mbufs",
        ),
    ]
}

/// A reason of [`Drops`](mosaic_engine::counters::Drops) in words.
fn drop_phrase(reason: &'static str, words: Words) -> &'static str {
    match reason {
        "packet_filter" if words == Words::Keys => "refused by the packet filter",
        "ip_checksum" if words == Words::Keys => "wrong IP checksum",
        "transport_checksum" if words == Words::Keys => "wrong TCP or UDP checksum",
        "packet_filter" => "refused by --packet-filter",
        "link_type" => "unknown link type",
        "not_ip" => "no IP inside",
        "malformed" => "malformed",
        "too_deep" => "too many layers",
        "ip_checksum" => "wrong IP checksum (--checksums ignore keeps them)",
        "transport_checksum" => "wrong TCP or UDP checksum (--checksums ignore keeps them)",
        "fragment_invalid" => "invalid fragment",
        "fragment_bound" => "no room for a fragment",
        "table_full" => "flow table full",
        other => other,
    }
}

/// A plain table: columns, spaces between them, no lines. Without headings where they are empty.
fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if headings.iter().any(|heading| !heading.is_empty()) {
        table.set_header(headings);
    }
    table
}

/// Aligns columns of numbers.
fn right(table: &mut Table, columns: std::ops::Range<usize>) {
    for column in table
        .column_iter_mut()
        .skip(columns.start)
        .take(columns.len())
    {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

/// The table, without the space around its lines.
fn trimmed(table: &Table) -> String {
    let without_padding = |line: String| {
        line.strip_prefix(' ')
            .unwrap_or(&line)
            .trim_end()
            .to_owned()
    };
    let lines: Vec<_> = table.lines().map(without_padding).collect();
    lines.join("\n")
}

fn writeln_unless_empty(f: &mut fmt::Formatter<'_>, table: &Table) -> fmt::Result {
    if table.row_count() == 0 {
        Ok(())
    } else {
        writeln!(f, "\n{}", trimmed(table))
    }
}

fn count_and_bytes(count: u64, bytes: u64) -> String {
    format!("{}, {}", HumanCount(count), HumanBytes(bytes))
}

/// UTC, to the microsecond.
fn time(time: Timestamp) -> String {
    humantime::format_rfc3339_micros(SystemTime::UNIX_EPOCH + time.since(Timestamp::ZERO))
        .to_string()
}

/// With three or four digits, and the unit that suits them.
fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = match duration.as_secs() {
        0 if duration.is_zero() => write!(text, "0 s"),
        0 if seconds < 0.001 => write!(text, "{:.0} µs", seconds * 1e6),
        0 => write!(text, "{:.1} ms", seconds * 1e3),
        1..=119 => write!(text, "{seconds:.2} s"),
        whole => write!(
            text,
            "{}",
            humantime::format_duration(Duration::from_secs(whole))
        ),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaic_engine::counters::Drops;
    use mosaic_runtime::ShardSnapshot;

    #[test]
    fn durations_have_the_unit_that_suits_them() {
        for (nanos, text) in [
            (0, "0 s"),
            (1_500, "2 µs"),
            (1_250_000, "1.2 ms"),
            (1_500_000_000, "1.50 s"),
            (3_725_000_000_000, "1h 2m 5s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn every_drop_reason_has_a_phrase() {
        for name in Drops::NAMES.iter().filter(|name| **name != "malformed") {
            for words in [Words::Options, Words::Keys] {
                let phrase = drop_phrase(name, words);
                assert_ne!(phrase, *name);
                assert!(
                    words == Words::Options || !phrase.contains("--"),
                    "{phrase}"
                );
            }
        }
    }

    #[test]
    fn bounds_that_were_hit_are_told_and_others_are_not() {
        let mut shard = ShardSnapshot::default();
        assert!(bounds_hit(&Snapshot::from(vec![shard.clone()]), Words::Options).is_empty());
        shard.counters.flows_evicted = 1_234;
        let figures = Snapshot::from(vec![shard]);
        for (words, hint) in [(Words::Options, "--flows"), (Words::Keys, "flows_max")] {
            assert_eq!(
                bounds_hit(&figures, words),
                [format!(
                    "1,234 flows were pushed out of the full flow table ({hint})"
                )]
            );
        }
    }

    #[test]
    fn ports_have_their_figures() {
        let port = PortFigures {
            name: "left".into(),
            received_frames: 1_200,
            missed_frames: 3,
            no_buffer_frames: 4,
            ..PortFigures::default()
        };
        let figures = Snapshot {
            ports: vec![port],
            ..Snapshot::default()
        };
        let summary = Summary {
            source: &Source::Ports,
            words: Words::Keys,
            figures: &figures,
            tally: &Tally::default(),
        };
        let text = summary.to_string();
        let line = text.lines().find(|line| line.starts_with("left")).unwrap();
        assert!(line.contains("1,200") && line.contains(" 7 "), "{text}");
        assert_eq!(
            bounds_hit(&figures, Words::Keys),
            [
                "3 frames were missed by ports whose queues were full (shards, rx_descriptors)",
                "4 frames found no buffer (mbufs)"
            ]
        );
    }

    #[test]
    fn an_empty_capture_has_a_summary() {
        let summary = Summary {
            source: &Source::Captures(vec!["a.pcap".into()]),
            words: Words::Options,
            figures: &Snapshot::default(),
            tally: &Tally::default(),
        };
        let text = summary.to_string();
        assert!(
            text.contains("a.pcap") && text.contains("no flows"),
            "{text}"
        );
    }
}
