//! Arguments of `mosaic replay`.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::TypedValueParser;
use clap::{Args, value_parser};
use mosaic_engine::wire::PacketFilter;

use super::super::outputs::OutputArgs;
use crate::config::words::{Checksums, KeyPart, Overlap, Profile, Timeout};
use crate::config::{LivePlan, Plan, ranges};
use crate::{Result, filter};

/// Track the flows of captures and write down what they were
///
/// Reads pcap and pcapng captures, puts streams together, and prints a summary; with --conn-log also a record of each
/// flow, with --extract its bytes. SIGINT or SIGTERM ends the run early: what was read until then is processed and
/// reported, and the exit status is 0; a second signal ends it at once. A capture that is damaged is processed up to the
/// damage; the exit status is then 1.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Captures, read one after the other as one source; - is standard input
    #[arg(value_name = "FILE", required_unless_present = "config")]
    files: Vec<PathBuf>,

    /// Number of shards, 1 to 128: threads that share the flows among them [default: 1]
    #[arg(long, value_name = "N", value_parser = within::<u16>(ranges::SHARDS))]
    shards: Option<u16>,

    /// Read settings from a TOML file; arguments win over it
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Write the stream of each side of each TCP flow to a file of its own in DIR, which must be empty or new
    ///
    /// The names sort by the time of the flow's first packet: SECONDS_CLIENT_PORT_SERVER_PORT_c2s or _s2c. Missing bytes
    /// are left out; holes.jsonl lists where.
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(super) extract: Option<PathBuf>,

    #[command(flatten)]
    pub(super) output: OutputArgs,

    /// Only frames that pass this pcap-filter expression, asked before anything else
    #[arg(long, value_name = "EXPR", value_parser = filter::packets, help_heading = "Selection")]
    packet_filter: Option<PacketFilter>,

    /// What is done about IPv4, TCP and UDP checksums [default: verify]
    #[arg(long, value_enum, value_name = "POLICY", help_heading = "Meaning")]
    checksums: Option<Checksums>,

    /// End a flow after this many seconds without a packet, or never before its 5-tuple opens again or the captures end
    /// [default: 300 for TCP, 60 for others]
    #[arg(long, value_name = "SECONDS|never", help_heading = "Meaning")]
    idle_timeout: Option<Timeout>,

    /// Which segments may add bytes to a stream [default: record]
    #[arg(long, value_enum, value_name = "PROFILE", help_heading = "Meaning")]
    profile: Option<Profile>,

    /// Which copy of a byte that was sent more than once counts [default: first]
    #[arg(long, value_enum, value_name = "COPY", help_heading = "Meaning")]
    overlap: Option<Overlap>,

    /// Identifiers that keep equal addresses apart [default: none]
    #[arg(
        long,
        value_enum,
        value_name = "PARTS",
        value_delimiter = ',',
        help_heading = "Meaning"
    )]
    key: Option<Vec<KeyPart>>,

    /// Leave out TCP flows whose SYN was not seen
    #[arg(long, help_heading = "Meaning")]
    no_midstream: bool,

    /// The most flows at a time; more push the least valuable out [default: 1048576]
    #[arg(long, value_name = "N", value_parser = within::<usize>(ranges::FLOWS), help_heading = "Bounds")]
    flows: Option<usize>,

    /// The most bytes one side of a flow may have waiting [default: 1048576]
    #[arg(long, value_name = "BYTES", value_parser = within::<usize>(ranges::SIDE_BYTES), help_heading = "Bounds")]
    side_bytes: Option<usize>,

    /// The most bytes kept beyond a hole of one side [default: 262144]
    #[arg(long, value_name = "BYTES", value_parser = within::<usize>(ranges::SIDE_BYTES), help_heading = "Bounds")]
    out_of_order_bytes: Option<usize>,

    /// The most holes of one side waited for at a time [default: 64]
    #[arg(long, value_name = "N", value_parser = within::<usize>(ranges::HOLES), help_heading = "Bounds")]
    holes: Option<usize>,

    /// The most bytes buffered for all flows [default: 1073741824]
    #[arg(long, value_name = "BYTES", value_parser = within::<usize>(ranges::BUFFERED_BYTES), help_heading = "Bounds")]
    buffered_bytes: Option<usize>,

    /// The most IP fragments held at a time [default: 4096]
    #[arg(long, value_name = "N", value_parser = within::<usize>(ranges::FRAGMENTS), help_heading = "Bounds")]
    fragments: Option<usize>,
}

impl ReplayArgs {
    /// Defaults, then the configuration file, then the arguments.
    ///
    /// # Errors
    /// Where the configuration file cannot be used.
    pub(super) fn plan(&self) -> Result<Plan> {
        let mut plan = Plan::default();
        if let Some(path) = &self.config {
            plan.read_file(path)?;
        }
        if !self.files.is_empty() {
            plan.captures.clone_from(&self.files);
            plan.live = LivePlan::default();
        }
        if self.shards.is_some() {
            replace(&mut plan.shards, self.shards);
            plan.cores.clear();
        }
        plan.metrics = self.output.metrics.or(plan.metrics);
        self.replace_meaning(&mut plan);
        self.replace_bounds(&mut plan);
        Ok(plan)
    }

    fn replace_meaning(&self, plan: &mut Plan) {
        if let Some(filter) = &self.packet_filter {
            plan.wire.packet_filter = Some(Arc::new(filter.clone()));
        }
        replace(&mut plan.wire.checksums, self.checksums);
        if let Some(timeout) = self.idle_timeout {
            plan.set_idle_timeout(timeout);
        }
        replace(&mut plan.shard.profile, self.profile);
        replace(&mut plan.shard.overlap, self.overlap);
        if let Some(parts) = &self.key {
            plan.wire.domain = KeyPart::domain(parts);
        }
        plan.shard.midstream &= !self.no_midstream;
    }

    fn replace_bounds(&self, plan: &mut Plan) {
        replace(&mut plan.shard.flows_max, self.flows);
        if let Some(bytes) = self.side_bytes {
            plan.set_side_bytes_max(bytes);
        }
        // More than the side may hold would never be used.
        let out_of_order = self
            .out_of_order_bytes
            .map(|bytes| bytes.min(plan.shard.side_bytes_max));
        replace(&mut plan.shard.out_of_order_bytes_max, out_of_order);
        replace(&mut plan.shard.holes_max, self.holes);
        replace(&mut plan.shard.buffered_bytes_max, self.buffered_bytes);
        replace(&mut plan.wire.fragments_max, self.fragments);
    }
}

fn replace<T, W: Into<T> + Copy>(target: &mut T, value: Option<W>) {
    if let Some(value) = value {
        *target = value.into();
    }
}

/// Accepts the numbers of `range`.
fn within<T>(range: RangeInclusive<u64>) -> impl TypedValueParser<Value = T>
where
    T: TryFrom<u64, Error: std::error::Error + Send + Sync + 'static>
        + Clone
        + Send
        + Sync
        + 'static,
{
    value_parser!(u64).range(range).try_map(T::try_from)
}
