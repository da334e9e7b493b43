//! What can be watched, and what is alarming.
//!
//! `mosaic replay --metrics 127.0.0.1:9464 FILE`, or `mosaic run` with `[metrics]` in its configuration, serves every metric at `http://127.0.0.1:9464/metrics` for Prometheus, from
//! figures that are at most a second old. A program does the same:
//!
//! ```
//! # fn main() -> mosaic::Result<()> {
//! use mosaic::ShardSnapshot;
//!
//! let figures = || vec![ShardSnapshot::default()];
//! let server = mosaic::metrics::serve("127.0.0.1:0".parse().expect("an address"), figures)?;
//! println!("http://{}/metrics", server.address());
//! server.finish();
//! # Ok(()) }
//! ```
//!
//! [`metrics::names`](crate::metrics::names) lists every metric with its help text. Names begin with `mosaic_`, units are seconds and
//! bytes, counters end in `_total`. Each has the label `shard`, and a few one of `reason`, `event`, `actor` as well; those of
//! live ports, `mosaic_port_...`, have the label `port` instead: its name in the configuration.
//! No label ever names an address or a flow, so that the number of series does not depend on the traffic.
//!
//! # Dashboard and alerts
//!
//! `dashboards/overview.json` is a dashboard to import into Grafana, `dashboards/alerts.yml` a rule file for Prometheus. A test
//! holds both to the metrics that exist.
//!
//! | alert | fires when |
//! |---|---|
//! | `MosaicRingDrops` | packets are lost between shards |
//! | `MosaicActorPanics` | an actor panicked |
//! | `MosaicFlowTableFull` | flows are evicted because the table is full |
//! | `MosaicReadersTooSlow` | a reader left bytes until they had to go |
//! | `MosaicStreamGaps` | more than 0.1 % of the bytes of streams are missing |
//! | `MosaicBadChecksums` | more than 1 % of packets have a wrong checksum |
//! | `MosaicPortMissedFrames` | a device lost frames because its queues were full |
//! | `MosaicPortBuffersExhausted` | more than 90 % of a port's packet buffers are in use, or frames found none |
//! | `MosaicPortDown` | a live port has no link |
//! | `MosaicWireDrops` | an inline wire loses frames that nobody decided to drop |
