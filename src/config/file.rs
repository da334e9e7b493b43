//! The shape of a configuration file, and its way into a [`Plan`].

use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mosaic_engine::shard::Profile as EngineProfile;
use serde::Deserialize;
use toml::Spanned;

use super::plan::{Plan, check, ranges};
use super::wires::{Dpdk, Port, Wire, live_plan};
use super::words::{Checksums, Fragments, Idle, KeyPart, OnPanic, Overlap, Pin, Profile, Timeout};
use crate::filter;

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// It is not TOML, has a key that does not exist, or a value that is not possible.
    #[error("{}:{line}: {key}{}{reason}", path.display(), if key.is_empty() { "" } else { ": " })]
    Content {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Section and key, as in `flows.flows_max`; empty where the fault lies in none.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    source: Source,
    runtime: Runtime,
    packets: Packets,
    flows: Flows,
    streams: Streams,
    timeouts: TimeoutsSection,
    metrics: Metrics,
    dpdk: Dpdk,
    port: Vec<Port>,
    wire: Vec<Spanned<Wire>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Source {
    captures: Option<Spanned<Vec<PathBuf>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Runtime {
    shards: Option<Spanned<u64>>,
    cores: Option<Spanned<Vec<u64>>>,
    idle: Option<Idle>,
    pin: Option<Pin>,
    on_panic: Option<OnPanic>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Packets {
    checksums: Option<Checksums>,
    filter: Option<Spanned<String>>,
    key: Option<Vec<KeyPart>>,
    fragments: Option<Fragments>,
    fragments_max: Option<Spanned<u64>>,
    fragment_timeout_s: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Flows {
    flows_max: Option<Spanned<u64>>,
    profile: Option<Profile>,
    midstream: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Streams {
    overlap: Option<Overlap>,
    side_bytes_max: Option<Spanned<u64>>,
    out_of_order_bytes_max: Option<Spanned<u64>>,
    holes_max: Option<Spanned<u64>>,
    buffered_bytes_max: Option<Spanned<u64>>,
    gap_grace_ms: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TimeoutsSection {
    opening_s: Option<Timeout>,
    established_s: Option<Timeout>,
    closing_s: Option<Timeout>,
    closed_s: Option<Timeout>,
    datagram_s: Option<Timeout>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Metrics {
    listen: Option<SocketAddr>,
}

impl Plan {
    /// What the TOML file `config` says; without one, `captures` are read, and the rest is as by default. For programs that take
    /// either from their user.
    ///
    /// # Errors
    /// [`ConfigError`], naming file, line and key.
    pub fn file_or_captures(
        config: Option<&Path>,
        captures: Vec<PathBuf>,
    ) -> Result<Self, ConfigError> {
        let mut plan = Self::default();
        match config {
            Some(path) => plan.read_file(path)?,
            None => plan.captures = captures,
        }
        Ok(plan)
    }

    /// Takes over what the TOML file at `path` says; see the [module](super) for its keys.
    ///
    /// # Errors
    /// [`ConfigError`], naming file, line and key. The plan may then have taken over a part.
    pub fn read_file(&mut self, path: impl Into<PathBuf>) -> Result<(), ConfigError> {
        let path = path.into();
        match std::fs::read_to_string(&path) {
            Ok(text) => self.read_text(&path, &text),
            Err(source) => Err(ConfigError::Io { path, source }),
        }
    }

    /// As [`read_file`](Self::read_file), from text that came from `path`.
    pub(crate) fn read_text(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let place = Place { path, text };
        let file: File = toml::from_str(text).map_err(|error| {
            place.error(error.span().unwrap_or_default(), error.message().to_owned())
        })?;
        self.take_runtime(&file.runtime, &place)?;
        self.take_source(&file, &place)?;
        self.take_packets(&file.packets, &place)?;
        self.take_flows(&file.flows, &place)?;
        self.take_streams(&file.streams, &place)?;
        self.take_timeouts(&file.timeouts);
        self.metrics = file.metrics.listen.or(self.metrics);
        Ok(())
    }

    /// Captures or ports. Live traffic is judged as its receivers judge it, unless the file says otherwise.
    fn take_source(&mut self, file: &File, place: &Place<'_>) -> Result<(), ConfigError> {
        let captures = file.source.captures.as_ref();
        let captures = captures.filter(|captures| !captures.get_ref().is_empty());
        let live = live_plan(&file.dpdk, &file.port, &file.wire, self.shards, place)?;
        if let Some(captures) = captures {
            if !live.is_empty() {
                let reason = "packets come from captures or from ports, not from both";
                return Err(place.error(captures.span(), reason.into()));
            }
            self.captures.clone_from(captures.get_ref());
        }
        if !live.is_empty() {
            self.live = live;
            self.shard.profile = EngineProfile::Receiver;
        }
        Ok(())
    }

    fn take_runtime(&mut self, runtime: &Runtime, place: &Place<'_>) -> Result<(), ConfigError> {
        place.number(&mut self.shards, runtime.shards.as_ref(), &ranges::SHARDS)?;
        if let Some(cores) = &runtime.cores {
            self.cores = cores_of(cores, runtime, place)?;
            self.shards = check(self.cores.len() as u64, &ranges::SHARDS)
                .map_err(|error| place.error(cores.span(), error.to_string()))?;
        }
        replace(&mut self.idle, runtime.idle);
        replace(&mut self.pin, runtime.pin);
        replace(&mut self.on_panic, runtime.on_panic);
        Ok(())
    }

    fn take_packets(&mut self, packets: &Packets, place: &Place<'_>) -> Result<(), ConfigError> {
        replace(&mut self.wire.checksums, packets.checksums);
        replace(&mut self.wire.fragments, packets.fragments);
        if let Some(expression) = &packets.filter {
            let filter = filter::packets(expression.get_ref());
            let filter =
                filter.map_err(|error| place.error(expression.span(), error.to_string()))?;
            self.wire.packet_filter = Some(Arc::new(filter));
        }
        if let Some(parts) = &packets.key {
            self.wire.domain = KeyPart::domain(parts);
        }
        place.number(
            &mut self.wire.fragments_max,
            packets.fragments_max.as_ref(),
            &ranges::FRAGMENTS,
        )?;
        let mut seconds = self.wire.fragment_timeout_ns / 1_000_000_000;
        place.number(
            &mut seconds,
            packets.fragment_timeout_s.as_ref(),
            &ranges::FRAGMENT_TIMEOUT_S,
        )?;
        self.wire.fragment_timeout_ns = seconds * 1_000_000_000;
        Ok(())
    }

    fn take_flows(&mut self, flows: &Flows, place: &Place<'_>) -> Result<(), ConfigError> {
        place.number(
            &mut self.shard.flows_max,
            flows.flows_max.as_ref(),
            &ranges::FLOWS,
        )?;
        replace(&mut self.shard.profile, flows.profile);
        replace(&mut self.shard.midstream, flows.midstream);
        Ok(())
    }

    fn take_streams(&mut self, streams: &Streams, place: &Place<'_>) -> Result<(), ConfigError> {
        replace(&mut self.shard.overlap, streams.overlap);
        let mut side_bytes = self.shard.side_bytes_max;
        place.number(
            &mut side_bytes,
            streams.side_bytes_max.as_ref(),
            &ranges::SIDE_BYTES,
        )?;
        self.set_side_bytes_max(side_bytes);
        // What lies beyond a hole is part of what the side may hold.
        let beyond_hole = *ranges::SIDE_BYTES.start()..=self.shard.side_bytes_max as u64;
        let out_of_order = streams.out_of_order_bytes_max.as_ref();
        place.number(
            &mut self.shard.out_of_order_bytes_max,
            out_of_order,
            &beyond_hole,
        )?;
        place.number(
            &mut self.shard.holes_max,
            streams.holes_max.as_ref(),
            &ranges::HOLES,
        )?;
        let buffered = streams.buffered_bytes_max.as_ref();
        place.number(
            &mut self.shard.buffered_bytes_max,
            buffered,
            &ranges::BUFFERED_BYTES,
        )?;
        let mut millis = self.shard.gap_grace_ns / 1_000_000;
        place.number(
            &mut millis,
            streams.gap_grace_ms.as_ref(),
            &ranges::GAP_GRACE_MS,
        )?;
        self.shard.gap_grace_ns = millis * 1_000_000;
        Ok(())
    }

    fn take_timeouts(&mut self, section: &TimeoutsSection) {
        let timeouts = &mut self.shard.timeouts;
        for (target, value) in [
            (&mut timeouts.opening_ns, section.opening_s),
            (&mut timeouts.established_ns, section.established_s),
            (&mut timeouts.closing_ns, section.closing_s),
            (&mut timeouts.closed_ns, section.closed_s),
            (&mut timeouts.datagram_ns, section.datagram_s),
        ] {
            if let Some(timeout) = value {
                *target = timeout.nanos();
            }
        }
    }
}

/// The cores of the shards: one each, where the number of shards is stated.
fn cores_of(
    cores: &Spanned<Vec<u64>>,
    runtime: &Runtime,
    place: &Place<'_>,
) -> Result<Vec<u16>, ConfigError> {
    let mut found = Vec::new();
    for core in cores.get_ref() {
        let core = place.checked(*core, cores.span(), &ranges::CORES)?;
        if found.contains(&core) {
            return Err(place.error(cores.span(), format!("core {core} twice")));
        }
        found.push(core);
    }
    let stated = runtime.shards.as_ref().map(|shards| *shards.get_ref());
    let reason = match (found.len(), stated) {
        (0, _) => "names no core".to_owned(),
        (count, Some(shards)) if count as u64 != shards => {
            let s = if count == 1 { "" } else { "s" };
            format!("names {count} core{s} for {shards} shards")
        }
        _ if runtime.pin == Some(Pin::Never) => "pin = \"never\" pins no shard".to_owned(),
        _ => return Ok(found),
    };
    Err(place.error(cores.span(), reason))
}

fn replace<T, W: Into<T> + Copy>(target: &mut T, word: Option<W>) {
    if let Some(word) = word {
        *target = word.into();
    }
}

/// Where values came from, for errors.
pub(super) struct Place<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Place<'_> {
    pub(super) fn number<T: TryFrom<u64>>(
        &self,
        target: &mut T,
        value: Option<&Spanned<u64>>,
        range: &RangeInclusive<u64>,
    ) -> Result<(), ConfigError> {
        if let Some(value) = value {
            *target = self.checked(*value.get_ref(), value.span(), range)?;
        }
        Ok(())
    }

    /// As [`number`](Self::number), for what has no default here.
    pub(super) fn option<T: TryFrom<u64>>(
        &self,
        target: &mut Option<T>,
        value: Option<&Spanned<u64>>,
        range: &RangeInclusive<u64>,
    ) -> Result<(), ConfigError> {
        if let Some(value) = value {
            *target = Some(self.checked(*value.get_ref(), value.span(), range)?);
        }
        Ok(())
    }

    /// `value`, which stands at `span`, where it lies in `range`.
    pub(super) fn checked<T: TryFrom<u64>>(
        &self,
        value: u64,
        span: Range<usize>,
        range: &RangeInclusive<u64>,
    ) -> Result<T, ConfigError> {
        check(value, range).map_err(|error| self.error(span, error.to_string()))
    }

    pub(super) fn error(&self, span: Range<usize>, reason: String) -> ConfigError {
        let before = &self.text[..self.text.floor_char_boundary(span.start)];
        ConfigError::Content {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            key: self.key_at(before.rfind('\n').map_or(0, |at| at + 1)),
            reason,
        }
    }

    /// Section and key of the line that begins at byte `line_start`; what there is of them.
    fn key_at(&self, line_start: usize) -> String {
        let is_section = |line: &&str| line.starts_with('[');
        let section = self.text[..line_start]
            .lines()
            .rev()
            .map(str::trim)
            .find(is_section);
        let section = section.map(|line| line.trim_matches(['[', ']']).trim());
        let line = self.text[line_start..]
            .lines()
            .next()
            .unwrap_or_default()
            .trim();
        let key = line.split_once('=').map(|(key, _)| key.trim());
        match (section, key) {
            _ if is_section(&line) => line.trim_matches(['[', ']']).to_owned(),
            (Some(section), Some(key)) => format!("{section}.{key}"),
            (Some(name), None) | (None, Some(name)) => name.to_owned(),
            (None, None) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaic_engine::shard::OverlapPolicy;

    fn read(text: &str) -> Result<Plan, String> {
        let mut plan = Plan::default();
        plan.read_text(Path::new("mosaic.toml"), text)
            .map(|()| plan)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_takes_the_place_of_captures() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mosaic.toml");
        std::fs::write(&path, "[source]\ncaptures = [\"a.pcap\"]\n").unwrap();
        let captures = || vec!["b.pcap".into(), "c.pcap".into()];
        let plan = Plan::file_or_captures(Some(&path), captures()).unwrap();
        assert_eq!(plan.captures, [Path::new("a.pcap")]);
        let plan = Plan::file_or_captures(None, captures()).unwrap();
        assert_eq!(plan.captures, captures());
        assert!(Plan::file_or_captures(Some(folder.path()), captures()).is_err());
    }

    /// The `number`th example of the module's documentation.
    fn documented(number: usize) -> String {
        let text: String = include_str!("mod.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//!"))
            .map(|line| line.trim_start().to_owned() + "\n")
            .collect();
        let example = text.split("```toml\n").nth(number).unwrap();
        example.split("```").next().unwrap().to_owned()
    }

    /// What the documentation shows works, and has every key.
    #[test]
    fn the_documented_wire_is_read() {
        let plan = read(&documented(2)).unwrap();
        let wire = &plan.live.wires[0];
        let names: Vec<_> = plan.live.ports_of(wire).map(|port| &port.name).collect();
        assert_eq!(names, ["left", "right"]);
        assert_eq!(
            *wire,
            crate::config::WirePlan::new(0, Some(1)),
            "the documented policies are the defaults"
        );
        let keys = include_str!("wires.rs").split("mod tests").next().unwrap();
        let keys = keys.lines().filter_map(|line| {
            let (key, kind) = line.strip_prefix("    ")?.split_once(": ")?;
            (kind.starts_with("Option<") && kind.ends_with(',')).then_some(key)
        });
        let mut seen = 0;
        for key in keys.filter(|key| *key != "port") {
            seen += 1;
            let shown = format!("\n{key} = ");
            assert!(documented(2).contains(&shown), "{key} is not documented");
        }
        assert!(seen >= 15, "{seen} keys");
    }

    /// The example of the module's documentation is one that works, and is complete.
    #[test]
    fn the_documented_file_is_read() {
        let documented = documented(1);
        let plan = read(&documented).unwrap();
        assert_eq!(plan.captures.len(), 2);
        assert_eq!(plan.shards, 2);
        assert!(
            plan.wire.packet_filter.is_some() && plan.wire.domain.vlan && plan.wire.domain.tunnel
        );
        assert_eq!(
            plan.shard.timeouts,
            Plan::default().shard.timeouts,
            "the documented timeouts are the defaults"
        );
        assert_eq!(plan.metrics, Some("127.0.0.1:9464".parse().unwrap()));
    }

    #[test]
    fn every_section_arrives() {
        let plan = read(
            "[streams]\noverlap = \"last\"\nside_bytes_max = 8192\nholes_max = 7\ngap_grace_ms = 5\n\
             [flows]\nprofile = \"receiver\"\nmidstream = false\nflows_max = 10\n[timeouts]\nclosed_s = \"never\"\n",
        )
        .unwrap();
        assert_eq!(
            (plan.shard.overlap, plan.shard.profile),
            (OverlapPolicy::Last, EngineProfile::Receiver)
        );
        assert_eq!(
            (plan.shard.side_bytes_max, plan.shard.out_of_order_bytes_max),
            (8192, 8192)
        );
        assert_eq!(
            (
                plan.shard.holes_max,
                plan.shard.gap_grace_ns,
                plan.shard.flows_max
            ),
            (7, 5_000_000, 10)
        );
        assert_eq!(plan.shard.timeouts.closed_ns, None);
        assert!(!plan.shard.midstream);
    }

    #[test]
    fn errors_name_file_line_and_key() {
        for (text, expected) in [
            (
                "[runtime]\nshards = 0\n",
                "mosaic.toml:2: runtime.shards: is 0, must be 1 to 128",
            ),
            (
                "\n[flows]\n\nflows_max = \"many\"\n",
                "mosaic.toml:4: flows.flows_max: invalid type: string \"many\"",
            ),
            (
                "[flows]\nflow_max = 1\n",
                "mosaic.toml:2: flows.flow_max: unknown field `flow_max`",
            ),
            ("[flow]\n", "mosaic.toml:1: flow: unknown field `flow`"),
            (
                "[timeouts]\nclosed_s = 0\n",
                "mosaic.toml:2: timeouts.closed_s: must be a number of seconds",
            ),
            (
                "[packets]\nfilter = \"tcp prot 80\"\n",
                "mosaic.toml:2: packets.filter: filter \"tcp prot 80\": syntax error",
            ),
            (
                "[streams]\nside_bytes_max = 4096\nout_of_order_bytes_max = 8192\n",
                "mosaic.toml:3: streams.out_of_order",
            ),
            ("[runtime\nshards = 1\n", "mosaic.toml:1: runtime: "),
            (
                "[runtime]\nidle = \"lazy\"\n",
                "mosaic.toml:2: runtime.idle: unknown variant `lazy`",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        let error = Plan::default()
            .read_file("/nowhere/mosaic.toml")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("/nowhere/mosaic.toml: "), "{error}");
    }
}
