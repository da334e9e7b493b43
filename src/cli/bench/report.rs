//! What was measured, as a table and as JSON.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// Smallest, middle and largest of some repeats.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of at least one value; zeros without any.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else {
            return Self {
                min: 0.0,
                median: 0.0,
                max: 0.0,
            };
        };
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Self { min, median, max }
    }

    /// How far the extremes lie apart, in percent of the median.
    fn percent(self) -> f64 {
        if self.median > 0.0 {
            (self.max - self.min) / self.median * 100.0
        } else {
            0.0
        }
    }
}

/// One result of `mosaic bench replay`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) file: String,
    pub(crate) actor: String,
    pub(crate) checksums: String,
    pub(crate) profile: &'static str,
    pub(crate) shards: u16,
    pub(crate) pinned: bool,
    pub(crate) repeats: u32,
    /// Frames of the capture.
    pub(crate) packets: u64,
    /// Bytes of those frames on the wire.
    pub(crate) wire_bytes: u64,
    /// Flows that began.
    pub(crate) connections: u64,
    /// Events raised before the end of the timed span, whoever listened.
    pub(crate) events: u64,
    /// Bytes the actors took.
    pub(crate) payload_bytes: u64,
    /// Bytes reported to the actors as lost.
    pub(crate) lost_bytes: u64,
    /// Payload bytes copied into stream buffers.
    pub(crate) copied_bytes: u64,
    /// Looks into a retained window that found nothing.
    pub(crate) window_misses: u64,
    /// Processor time of all shards for each frame.
    pub(crate) ns_per_packet: Spread,
    /// Elapsed time of the slowest shard for each frame of the capture.
    pub(crate) wall_ns_per_packet: Spread,
    /// Millions of frames a second of elapsed time.
    pub(crate) mpps: Spread,
    /// Bits on the wire a second of elapsed time, in billions.
    pub(crate) gbit_per_second: Spread,
    /// Events a second of elapsed time.
    pub(crate) events_per_second: Spread,
    /// Resident memory gained since before the shards were made, for each flow in their tables; of the warm-up. `None`
    /// without flows.
    pub(crate) bytes_per_flow: Option<f64>,
    pub(crate) per_shard: Vec<ShardReport>,
}

/// The part of one shard.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ShardReport {
    pub(crate) shard: u16,
    pub(crate) packets: u64,
    pub(crate) connections: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) ns_per_packet: Spread,
    pub(crate) wall_ns_per_packet: Spread,
}

/// Nanoseconds of `time` for each of `count` things; 0 without any.
pub(crate) fn nanos_each(time: Duration, count: u64) -> f64 {
    if count == 0 {
        0.0
    } else {
        time.as_secs_f64() * 1e9 / float(count)
    }
}

/// `count` for each second of `time`; 0 for no time.
pub(crate) fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() {
        0.0
    } else {
        float(count) / time.as_secs_f64()
    }
}

/// A count as a number to calculate with.
#[expect(
    clippy::cast_precision_loss,
    reason = "figures of a report; counts stay far below 2^53"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

impl Report {
    /// The report for people.
    pub(crate) fn to_table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["", "min", "median", "max", "spread"]);
        let rows = [
            ("ns/packet (processor)", self.ns_per_packet, 1),
            ("ns/packet (elapsed)", self.wall_ns_per_packet, 1),
            ("Mpackets/s", self.mpps, 2),
            ("Gbit/s", self.gbit_per_second, 2),
            ("events/s", self.events_per_second, 0),
        ];
        for (name, spread, decimals) in rows {
            table.add_row(row(name, spread, decimals));
        }
        if self.per_shard.len() > 1 {
            for shard in &self.per_shard {
                let name = format!(
                    "ns/packet of shard {} ({} packets)",
                    shard.shard, shard.packets
                );
                table.add_row(row(&name, shard.ns_per_packet, 1));
            }
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        format!("{}\n{table}", self.heading())
    }

    fn heading(&self) -> String {
        let pinned = if self.pinned { "pinned" } else { "not pinned" };
        let memory = self.bytes_per_flow.map_or_else(
            || "no flows".to_owned(),
            |bytes| format!("{bytes:.0} bytes a flow"),
        );
        let mut text = format!(
            "{}: {} packets, {} connections, {} payload bytes seen by actor {}\n\
             {} shard(s), {pinned}; {} repeats after one warm-up; checksums {}, profile {}; {} events; {memory} resident",
            self.file,
            self.packets,
            self.connections,
            self.payload_bytes,
            self.actor,
            self.shards,
            self.repeats,
            self.checksums,
            self.profile,
            self.events,
        );
        if self.lost_bytes > 0 {
            text += &format!(
                "\n{} bytes lost: the reader did not keep up",
                self.lost_bytes
            );
        }
        if self.window_misses > 0 {
            text += &format!(
                "\n{} looks into the window found nothing",
                self.window_misses
            );
        }
        text
    }
}

fn row(name: &str, spread: Spread, decimals: usize) -> [String; 5] {
    [
        name.to_owned(),
        format!("{:.decimals$}", spread.min),
        format!("{:.decimals$}", spread.median),
        format!("{:.decimals$}", spread.max),
        format!("{:.0} %", spread.percent()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_the_middle_two() {
        assert_eq!(
            Spread::of([3.0, 1.0, 2.0]),
            Spread {
                min: 1.0,
                median: 2.0,
                max: 3.0
            }
        );
        assert_eq!(
            Spread::of([4.0, 1.0, 2.0, 3.0]),
            Spread {
                min: 1.0,
                median: 2.5,
                max: 4.0
            }
        );
        assert_eq!(
            Spread::of([7.0]),
            Spread {
                min: 7.0,
                median: 7.0,
                max: 7.0
            }
        );
        assert_eq!(
            Spread::of([]),
            Spread {
                min: 0.0,
                median: 0.0,
                max: 0.0
            }
        );
        assert!((Spread::of([9.0, 10.0, 12.0]).percent() - 30.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_divides_by_zero() {
        assert_eq!(nanos_each(Duration::from_secs(1), 0).to_bits(), 0);
        assert_eq!(per_second(1, Duration::ZERO).to_bits(), 0);
        assert!((nanos_each(Duration::from_micros(3), 30) - 100.0).abs() < 1e-9);
        assert!((per_second(10, Duration::from_millis(500)) - 20.0).abs() < 1e-9);
    }
}
