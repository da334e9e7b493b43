//! `[dpdk]`, `[[port]]` and `[[wire]]`: their shape, and their way into a [`LivePlan`].

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::file::{ConfigError, Place};
use super::live::{
    ChecksumOffload, DeviceName, DpdkPlan, Fate, Hugepages, LivePlan, NotAnalysed, PortPlan,
    Unwatched, WirePlan,
};
use super::plan::ranges;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Dpdk {
    hugepages: Option<Spanned<HugepagesWord>>,
    file_prefix: Option<Spanned<String>>,
    eal_args: Vec<Spanned<String>>,
}

#[derive(Debug)]
enum HugepagesWord {
    Auto,
    Off,
    Megabytes(u64),
}

impl<'de> Deserialize<'de> for HugepagesWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Shape {
            Number(u64),
            Word(String),
        }
        match Shape::deserialize(deserializer) {
            Ok(Shape::Number(megabytes)) => Ok(Self::Megabytes(megabytes)),
            Ok(Shape::Word(word)) if word == "auto" => Ok(Self::Auto),
            Ok(Shape::Word(word)) if word == "off" => Ok(Self::Off),
            Ok(Shape::Word(_)) | Err(_) => Err(serde::de::Error::custom(
                "must be \"auto\", \"off\" or a number of megabytes",
            )),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Port {
    name: Spanned<String>,
    device: Spanned<String>,
    queues: Option<Spanned<u64>>,
    rx_descriptors: Option<Spanned<u64>>,
    tx_descriptors: Option<Spanned<u64>>,
    mtu: Option<Spanned<u64>>,
    promiscuous: Option<bool>,
    checksum_offload: Option<ChecksumOffload>,
    mbufs: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wire {
    mode: Option<Spanned<Mode>>,
    port: Option<Spanned<String>>,
    ports: Option<Spanned<Vec<Spanned<String>>>>,
    on_exit: Option<Spanned<Unwatched>>,
    on_overload: Option<Spanned<Unwatched>>,
    filtered: Option<Spanned<Fate>>,
    not_ip: Option<Spanned<Fate>>,
    malformed: Option<Spanned<Fate>>,
    bad_checksum: Option<Spanned<Fate>>,
    fragments_dropped: Option<Spanned<Fate>>,
    table_full: Option<Spanned<Fate>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Tap,
    Inline,
}

/// Takes the three kinds of sections over into a plan for `shards` shards.
///
/// # Errors
/// [`ConfigError`].
pub(super) fn live_plan(
    dpdk: &Dpdk,
    ports: &[Port],
    wires: &[Spanned<Wire>],
    shards: u16,
    place: &Place<'_>,
) -> Result<LivePlan, ConfigError> {
    let mut plan = LivePlan {
        dpdk: dpdk_plan(dpdk, place)?,
        ..LivePlan::default()
    };
    for port in ports {
        let port = port_plan(port, &plan.ports, shards, place)?;
        plan.ports.push(port);
    }
    let mut taken = vec![false; plan.ports.len()];
    for wire in wires {
        let wire = wire_plan(wire, &plan.ports, &mut taken, place)?;
        plan.wires.push(wire);
    }
    match ports.iter().zip(&taken).find(|(_, taken)| !**taken) {
        Some((port, _)) => {
            let name = port.name.get_ref();
            let reason = format!("no wire uses it: add [[wire]] with port = \"{name}\"");
            Err(place.error(port.name.span(), reason))
        }
        None => Ok(plan),
    }
}

fn dpdk_plan(dpdk: &Dpdk, place: &Place<'_>) -> Result<DpdkPlan, ConfigError> {
    let mut plan = DpdkPlan::default();
    if let Some(word) = &dpdk.hugepages {
        plan.hugepages = match word.get_ref() {
            HugepagesWord::Auto => Hugepages::Auto,
            HugepagesWord::Off => Hugepages::Off,
            HugepagesWord::Megabytes(megabytes) => Hugepages::Megabytes(place.checked(
                *megabytes,
                word.span(),
                &ranges::HUGEPAGES_MB,
            )?),
        };
    }
    if let Some(prefix) = &dpdk.file_prefix {
        check_name(prefix, place)?;
        plan.file_prefix = Some(prefix.get_ref().clone());
    }
    for argument in &dpdk.eal_args {
        let text = argument.get_ref();
        if text.is_empty() || text.contains('\0') {
            return Err(place.error(argument.span(), "an argument is empty".into()));
        }
        plan.eal_args.push(text.clone());
    }
    Ok(plan)
}

fn port_plan(
    port: &Port,
    earlier: &[PortPlan],
    shards: u16,
    place: &Place<'_>,
) -> Result<PortPlan, ConfigError> {
    check_name(&port.name, place)?;
    let name = port.name.get_ref();
    if earlier.iter().any(|other| other.name == *name) {
        let reason = format!("another port is called \"{name}\" already");
        return Err(place.error(port.name.span(), reason));
    }
    let device: DeviceName = port
        .device
        .get_ref()
        .parse()
        .map_err(|reason| place.error(port.device.span(), reason))?;
    if let Some(other) = earlier.iter().find(|other| is_same(&other.device, &device)) {
        let reason = format!("port \"{}\" has this device already", other.name);
        return Err(place.error(port.device.span(), reason));
    }
    let mut plan = PortPlan::new(name, device);
    // A queue that no shard polls would lose what the device puts there.
    let queues = *ranges::SHARDS.start()..=u64::from(shards);
    place.option(&mut plan.queues, port.queues.as_ref(), &queues)?;
    let descriptors = &ranges::DESCRIPTORS;
    place.number(
        &mut plan.rx_descriptors,
        port.rx_descriptors.as_ref(),
        descriptors,
    )?;
    place.number(
        &mut plan.tx_descriptors,
        port.tx_descriptors.as_ref(),
        descriptors,
    )?;
    place.option(&mut plan.mtu, port.mtu.as_ref(), &ranges::MTU)?;
    place.option(&mut plan.mbufs, port.mbufs.as_ref(), &ranges::MBUFS)?;
    plan.promiscuous = port.promiscuous.unwrap_or(plan.promiscuous);
    plan.checksum_offload = port.checksum_offload.unwrap_or_default();
    Ok(plan)
}

/// Whether both are one device, or two views of one kernel interface.
fn is_same(one: &DeviceName, other: &DeviceName) -> bool {
    let interface = one.argument("iface");
    one.name() == other.name() || (interface.is_some() && interface == other.argument("iface"))
}

/// Names stand in metrics, messages and file names.
fn check_name(name: &Spanned<String>, place: &Place<'_>) -> Result<(), ConfigError> {
    const NAME_MAX: usize = 32;
    let text = name.get_ref();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-.:".contains(&b);
    if (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(());
    }
    let reason = format!("must be 1 to {NAME_MAX} of the characters A-Z a-z 0-9 _ - . :");
    Err(place.error(name.span(), reason))
}

fn wire_plan(
    wire: &Spanned<Wire>,
    ports: &[PortPlan],
    taken: &mut [bool],
    place: &Place<'_>,
) -> Result<WirePlan, ConfigError> {
    let (span, wire) = (wire.span(), wire.get_ref());
    let mode = wire.mode.as_ref().map(|mode| *mode.get_ref());
    let mut find = |name: &Spanned<String>| take_port(name, ports, taken, place);
    let mut plan = match (&wire.port, &wire.ports) {
        (Some(port), None) if mode != Some(Mode::Inline) => WirePlan::new(find(port)?, None),
        (None, Some(pair)) if mode != Some(Mode::Tap) => match pair.get_ref().as_slice() {
            [a, b] => WirePlan::new(find(a)?, Some(find(b)?)),
            other => {
                let reason = format!(
                    "an inline wire runs between two ports, this names {}",
                    other.len()
                );
                return Err(place.error(pair.span(), reason));
            }
        },
        (Some(port), None) => {
            let reason = "an inline wire runs between two ports: ports = [\"...\", \"...\"]";
            return Err(place.error(port.span(), reason.into()));
        }
        (None, Some(pair)) => {
            let reason = "a tap listens on one port: port = \"...\"";
            return Err(place.error(pair.span(), reason.into()));
        }
        (Some(port), Some(_)) => {
            let reason = "a wire has either port (a tap) or ports (inline), not both";
            return Err(place.error(port.span(), reason.into()));
        }
        (None, None) => {
            let reason =
                "names no port: port = \"...\" (a tap) or ports = [\"...\", \"...\"] (inline)";
            return Err(place.error(span, reason.into()));
        }
    };
    take_policies(wire, &mut plan, place)?;
    Ok(plan)
}

fn take_port(
    name: &Spanned<String>,
    ports: &[PortPlan],
    taken: &mut [bool],
    place: &Place<'_>,
) -> Result<usize, ConfigError> {
    let text = name.get_ref();
    let found = ports.iter().position(|port| port.name == *text);
    let reason = match found {
        Some(port) if !std::mem::replace(&mut taken[port], true) => return Ok(port),
        Some(_) => format!("port \"{text}\" is part of a wire already"),
        None => format!("there is no port \"{text}\""),
    };
    Err(place.error(name.span(), reason))
}

/// What an inline wire does with frames; a tap has nothing to decide.
fn take_policies(wire: &Wire, plan: &mut WirePlan, place: &Place<'_>) -> Result<(), ConfigError> {
    let not_analysed = &mut plan.not_analysed;
    let NotAnalysed {
        filtered,
        not_ip,
        malformed,
        bad_checksum,
        fragments_dropped,
        table_full,
    } = not_analysed;
    let mut stated = Vec::new();
    for (target, word) in [
        (filtered, &wire.filtered),
        (not_ip, &wire.not_ip),
        (malformed, &wire.malformed),
        (bad_checksum, &wire.bad_checksum),
        (fragments_dropped, &wire.fragments_dropped),
        (table_full, &wire.table_full),
    ] {
        if let Some(word) = word {
            *target = *word.get_ref();
            stated.push(word.span());
        }
    }
    for (target, word) in [
        (&mut plan.on_exit, &wire.on_exit),
        (&mut plan.on_overload, &wire.on_overload),
    ] {
        if let Some(word) = word {
            *target = *word.get_ref();
            stated.push(word.span());
        }
    }
    match stated.into_iter().min_by_key(|span| span.start) {
        Some(span) if plan.b.is_none() => Err(place.error(span, "a tap forwards nothing".into())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Plan;
    use mosaic_engine::shard::Profile;

    fn read(text: &str) -> Result<Plan, String> {
        let mut plan = Plan::default();
        plan.read_text(Path::new("m.toml"), text)
            .map(|()| plan)
            .map_err(|error| error.to_string())
    }

    const LEFT: &str = "[[port]]\nname = \"left\"\ndevice = \"3b:00.0\"\n";
    const RIGHT: &str = "[[port]]\nname = \"right\"\ndevice = \"net_af_packet0,iface=veth0\"\n";

    #[test]
    fn the_smallest_file_has_five_lines() {
        let text = format!("{LEFT}[[wire]]\nport = \"left\"\n");
        assert_eq!(text.lines().count(), 5);
        let plan = read(&text).unwrap();
        assert_eq!(plan.live.ports[0].device.as_str(), "0000:3b:00.0");
        assert_eq!(plan.live.wires, [WirePlan::new(0, None)]);
        assert_eq!(plan.shard.profile, Profile::Receiver, "live default");
        let record = read(&format!("{text}[flows]\nprofile = \"record\"\n")).unwrap();
        assert_eq!(record.shard.profile, Profile::Record);
        assert_eq!(read("").unwrap().shard.profile, Profile::Record);
    }

    #[test]
    fn every_key_arrives() {
        let plan = read(&format!(
            "[runtime]\nshards = 2\n[dpdk]\nhugepages = 1024\nfile_prefix = \"a\"\neal_args = [\"--log-level=8\"]\n\
             {LEFT}queues = 2\nrx_descriptors = 64\ntx_descriptors = 128\nmtu = 9000\npromiscuous = false\nmbufs = 4096\n\
             {RIGHT}[[wire]]\nmode = \"inline\"\nports = [\"right\", \"left\"]\non_exit = \"drop\"\n\
             on_overload = \"drop\"\nfiltered = \"drop\"\nnot_ip = \"forward\"\nmalformed = \"drop\"\n\
             bad_checksum = \"drop\"\nfragments_dropped = \"drop\"\ntable_full = \"drop\"\n"
        ))
        .unwrap();
        let live = &plan.live;
        assert_eq!(
            live.dpdk,
            DpdkPlan {
                hugepages: Hugepages::Megabytes(1024),
                file_prefix: Some("a".into()),
                eal_args: vec!["--log-level=8".into()],
            }
        );
        assert_eq!(
            live.ports[0],
            PortPlan {
                queues: Some(2),
                rx_descriptors: 64,
                tx_descriptors: 128,
                mtu: Some(9000),
                promiscuous: false,
                mbufs: Some(4096),
                ..PortPlan::new("left", "3b:00.0".parse().unwrap())
            }
        );
        let wire = &live.wires[0];
        assert_eq!((wire.a, wire.b), (1, Some(0)));
        assert_eq!(
            (wire.on_exit, wire.on_overload),
            (Unwatched::Drop, Unwatched::Drop)
        );
        assert_eq!(
            wire.not_analysed,
            NotAnalysed {
                filtered: Fate::Drop,
                not_ip: Fate::Forward,
                malformed: Fate::Drop,
                bad_checksum: Fate::Drop,
                fragments_dropped: Fate::Drop,
                table_full: Fate::Drop,
            }
        );
        let names: Vec<_> = live.ports_of(wire).map(|port| &port.name).collect();
        assert_eq!(names, ["right", "left"]);
    }

    #[test]
    fn cores_say_how_many_shards_there_are() {
        assert_eq!(read("[runtime]\ncores = [0, 3]\n").unwrap().shards, 2);
        assert_eq!(
            read("[runtime]\nshards = 2\ncores = [0, 3]\n")
                .unwrap()
                .cores,
            [0, 3]
        );
        for (cores, expected) in [
            (
                "shards = 2\ncores = [0]",
                "m.toml:3: runtime.cores: names 1 core for 2 shards",
            ),
            ("cores = [1, 0, 1]", "m.toml:2: runtime.cores: core 1 twice"),
            (
                "cores = [9999]",
                "m.toml:2: runtime.cores: is 9999, must be 0 to 1023",
            ),
            ("cores = []", "m.toml:2: runtime.cores: names no core"),
            (
                "pin = \"never\"\ncores = [1]",
                "m.toml:3: runtime.cores: pin = \"never\" pins no shard",
            ),
        ] {
            let error = read(&format!("[runtime]\n{cores}\n")).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_where_it_stands() {
        let tap = "[[wire]]\nport = \"left\"\n";
        for (text, expected) in [
            (LEFT.to_owned(), "m.toml:2: port.name: no wire uses it"),
            (
                format!("{LEFT}{tap}{tap}"),
                "m.toml:7: wire.port: port \"left\" is part of a wire already",
            ),
            (
                format!("{LEFT}[[wire]]\nports = [\"left\"]\n"),
                "m.toml:5: wire.ports: an inline wire runs between two ports, this names 1",
            ),
            (
                format!("{LEFT}[[wire]]\nports = [\"left\", \"left\"]\n"),
                "m.toml:5: wire.ports: port \"left\" is part of a wire already",
            ),
            (
                format!("{LEFT}[[wire]]\nport = \"lfet\"\n"),
                "m.toml:5: wire.port: there is no port \"lfet\"",
            ),
            (
                format!("{LEFT}[[wire]]\nmode = \"tap\"\n"),
                "m.toml:4: wire: names no port",
            ),
            (
                format!("{LEFT}[[wire]]\nmode = \"inline\"\nport = \"left\"\n"),
                "m.toml:6: wire.port: an inline wire runs between two ports",
            ),
            (
                format!("{LEFT}{RIGHT}[[wire]]\nmode = \"tap\"\nports = [\"left\", \"right\"]\n"),
                "m.toml:9: wire.ports: a tap listens on one port",
            ),
            (
                format!("{LEFT}{RIGHT}[[wire]]\nport = \"left\"\nports = [\"left\", \"right\"]\n"),
                "m.toml:8: wire.port: a wire has either",
            ),
            (
                format!("{LEFT}[[wire]]\nport = \"left\"\nnot_ip = \"drop\"\n"),
                "m.toml:6: wire.not_ip: a tap forwards nothing",
            ),
            (
                format!("{LEFT}[[wire]]\nport = \"left\"\non_exit = \"stop\"\n"),
                "m.toml:6: wire.on_exit: unknown variant `stop`",
            ),
            (
                format!("{LEFT}{}{tap}", LEFT.replace("left", "other")),
                "m.toml:6: port.device: port \"left\" has this device already",
            ),
            (
                format!(
                    "{RIGHT}[[port]]\nname = \"other\"\ndevice = \"net_af_packet1,iface=veth0\"\n"
                ),
                "m.toml:6: port.device: port \"right\" has this device already",
            ),
            (
                format!("{LEFT}{}{tap}", RIGHT.replace("right", "left")),
                "m.toml:5: port.name: another port is called \"left\" already",
            ),
            (
                "[[port]]\nname = \"a\"\ndevice = \"eth0\"\n".into(),
                "m.toml:3: port.device: \"eth0\" is neither",
            ),
            (
                "[[port]]\nname = \"a b\"\ndevice = \"net_null0\"\n".into(),
                "m.toml:2: port.name: must be 1 to 32",
            ),
            (
                "[[port]]\nname = \"a\"\n".into(),
                "m.toml:1: port: missing field `device`",
            ),
            (
                format!("{LEFT}queue = 1\n"),
                "m.toml:4: port.queue: unknown field `queue`",
            ),
            (
                format!("{LEFT}queues = 2\n{tap}"),
                "m.toml:4: port.queues: is 2, must be 1 to 1",
            ),
            (
                format!("{LEFT}rx_descriptors = 8\n{tap}"),
                "m.toml:4: port.rx_descriptors: is 8",
            ),
            (
                format!("{LEFT}tx_descriptors = 99999\n{tap}"),
                "m.toml:4: port.tx_descriptors: is 99999",
            ),
            (
                format!("{LEFT}mtu = 67\n{tap}"),
                "m.toml:4: port.mtu: is 67, must be 68 to 65535",
            ),
            (
                format!("{LEFT}mbufs = 1\n{tap}"),
                "m.toml:4: port.mbufs: is 1",
            ),
            (
                "[dpdk]\nhugepages = \"on\"\n".into(),
                "m.toml:2: dpdk.hugepages: must be \"auto\", \"off\" or a number",
            ),
            (
                "[dpdk]\nhugepages = 1\n".into(),
                "m.toml:2: dpdk.hugepages: is 1, must be",
            ),
            (
                "[dpdk]\neal_args = [\"\"]\n".into(),
                "m.toml:2: dpdk.eal_args: an argument is empty",
            ),
            (
                format!("[source]\ncaptures = [\"a.pcap\"]\n{LEFT}{tap}"),
                "m.toml:2: source.captures: packets come from captures or from ports, not from both",
            ),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.starts_with(expected), "{error}\n{text}");
        }
    }
}
