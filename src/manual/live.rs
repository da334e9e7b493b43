//! Live traffic: watching a port, standing in a wire.
//!
//! `mosaic run -c FILE` opens network devices through [DPDK](https://www.dpdk.org) and tracks what passes until SIGINT or
//! SIGTERM; it then processes what has arrived, ends every flow, and prints what `mosaic replay` prints at the end of a
//! capture. A program does the same with [`Builder::config_file`](crate::Builder::config_file). Both need a mosaic that was
//! built with the cargo feature `dpdk`, and `libdpdk` 22.11 or newer (Debian: `libdpdk-dev`):
//!
//! ```text
//! cargo build --release --features dpdk
//! mosaic doctor                      # what this machine can do, and what mends it
//! mosaic doctor -c mosaic.toml       # the same, and what is said of the devices of this file
//! mosaic run -c mosaic.toml --conn-log connections.jsonl --metrics 127.0.0.1:9464
//! ```
//!
//! # The smallest file
//!
//! A tap: mosaic listens on a port, as to a mirror port or an optical splitter, and never sends.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = r#"
//! [[port]]
//! name = "left"
//! device = "net_af_packet0,iface=eth1"
//! [[wire]]
//! port = "left"
//! "#;
//! # let file = std::env::temp_dir().join(format!("mosaic-live-{}.toml", std::process::id()));
//! # std::fs::write(&file, text)?;
//! # let mut plan = mosaic::config::Plan::default();
//! # plan.read_file(&file)?;
//! # assert_eq!(plan.live.wires.len(), 1);
//! # std::fs::remove_file(file)?;
//! # Ok(()) }
//! ```
//!
//! Inline: mosaic stands between two ports. What comes in on one goes out of the other, MAC addresses and all, unless an
//! actor's verdict is another; mosaic has no address there.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = r#"
//! [runtime]
//! cores = [2, 3]
//! idle = "spin"
//! [[port]]
//! name = "inside"
//! device = "0000:3b:00.0"
//! [[port]]
//! name = "outside"
//! device = "0000:3b:00.1"
//! [[wire]]
//! ports = ["inside", "outside"]
//! on_overload = "drop"
//! "#;
//! # let file = std::env::temp_dir().join(format!("mosaic-inline-{}.toml", std::process::id()));
//! # std::fs::write(&file, text)?;
//! # let mut plan = mosaic::config::Plan::default();
//! # plan.read_file(&file)?;
//! # assert_eq!((plan.shards, plan.live.ports.len(), plan.live.wires[0].b), (2, 2, Some(1)));
//! # std::fs::remove_file(file)?;
//! # Ok(()) }
//! ```
//!
//! # Devices
//!
//! A network card is named by its PCI address, and must belong to a driver for user programs
//! (`dpdk-devbind.py --bind=vfio-pci 0000:3b:00.0`) or to one that shares it (`mlx5_core`); most need huge pages. Virtual
//! devices need neither. After the first comma come arguments of the driver; DPDK's guide to network drivers lists them.
//!
//! | device | is | good for |
//! |---|---|---|
//! | `0000:3b:00.0` | a network card | speed |
//! | `net_af_packet0,iface=eth1` | an interface of the kernel, of any kind | trying out, containers, laptops |
//! | `net_af_xdp0,iface=eth1` | the same through sockets of AF_XDP, see below; needs `CAP_BPF` | cards that the kernel should keep |
//! | `net_tap0,iface=tap0` | an interface that the kernel gets, for as long as mosaic runs | tests |
//! | `net_memif0,role=client` | memory shared with another process | chains of middleboxes |
//! | `net_pcap0,rx_pcap=FILE` | a capture, as if it came live | tests |
//! | `net_null0,size=64` | frames of zeros, as fast as can be | measuring |
//!
//! `net_af_xdp` takes what the kernel's driver receives before the kernel looks at it, without copying where that driver can. Its
//! queues are those of the interface (`start_queue`, `queue_count`), there is no RSS of its own, and with more than one shard
//! packets change shards in software. It works between network namespaces (`veth`) as well, where checksums come unfinished
//! as with `net_af_packet`. Without a mounted `/sys/fs/bpf` its library complains at the start, and goes on with one program per
//! interface.
//!
//! What a device lacks of what was asked for (queues, symmetric RSS, promiscuous mode) is a warning at the start, never a
//! refusal. Where a device cannot bring both directions of a flow to one queue, or has one queue only, packets change
//! shards in software (`mosaic_handed_out_packets_total`). Where a device has confirmed key, function and table of its RSS and has a
//! queue for every shard, TCP and UDP packets outside of tunnels are at their owner as they come; those that are not count
//! besides as `mosaic_wrong_shard_packets_total`: the device does not do what it said. All of them reach their owner.
//!
//! Checksums that a device checks as it receives (IPv4, and TCP or UDP right behind it) are not checked again where it found
//! all of a burst good; those within tunnels, and unfinished ones, are the shard's work.
//!
//! Programs of the same machine leave the checksums of what they send through virtual devices unfinished: the sum of the
//! pseudo-header stands there, and a network card is to do the rest. On an inline wire the device that such a frame leaves
//! through does it, where its driver can (`RTE_ETH_TX_OFFLOAD_TCP_CKSUM`, `UDP_CKSUM`: most cards, `net_tap`), and
//! otherwise the shard does; never both. `mosaic doctor` and the start of `mosaic run` say who, and
//! `mosaic_offloaded_checksums_total` and `mosaic_finished_checksums_total` how often. Software also takes packets in
//! tunnels, with IPv6 extension headers, or with bytes behind them, and what actors change: there only the difference
//! is added (RFC 1624). One complete checksum of 65,536 is the sum of the pseudo-header by chance and passes for unfinished:
//! finishing it does not change it, and software does not count it. With some cards a driver that may be asked to finish
//! checksums has a slower way to send; for a wire between cards, on which nothing comes unfinished, `checksum_offload = "off"`
//! avoids it. Actors and raw monitors see the checksum as it came where a device is to finish it.
//!
//! # Keys
//!
//! Besides those of [`config`](mod@crate::config) that captures have too. Unknown keys, ports without a wire, ports in two
//! wires and devices named twice are refused with file, line and key.
//!
//! | section | key | values | by default |
//! |---|---|---|---|
//! | `[runtime]` | `cores` | numbers of cores, one for each shard; sets the number of shards | `pin` decides |
//! | | `idle` | `"adaptive"`, `"spin"` | `"adaptive"` |
//! | `[dpdk]` | `hugepages` | `"auto"`, `"off"`, or 16 to 1048576 megabytes | `"auto"`: where 256 MB are free |
//! | | `file_prefix` | 1 to 32 of `A-Z a-z 0-9 _ - . :` | one for each process |
//! | | `eal_args` | texts, passed to DPDK's EAL as they are | none |
//! | `[[port]]` | `name` | 1 to 32 of `A-Z a-z 0-9 _ - . :` | must be given |
//! | | `device` | as above | must be given |
//! | | `queues` | 1 to the number of shards | one for each shard |
//! | | `rx_descriptors`, `tx_descriptors` | 64 to 32768 a queue | 1024 |
//! | | `mtu` | 68 to 65535 bytes | the device's own |
//! | | `promiscuous` | `true`, `false` | `true` |
//! | | `checksum_offload` | `"auto"`, `"off"`: who finishes checksums as frames leave, see below | `"auto"` |
//! | | `mbufs` | 512 to 16777216 packet buffers | as many as the queues need |
//! | `[[wire]]` | `port` or `ports` | name of a port (tap), or of two (inline) | must be given |
//! | | `mode` | `"tap"`, `"inline"` | follows from `port` or `ports` |
//! | | `on_exit`, `on_overload` | `"bypass"`, `"drop"` | `"bypass"` |
//! | | `filtered` ... `table_full` | `"forward"`, `"drop"`, see below | `"forward"` |
//!
//! For live traffic the [profile](crate::config) is `receiver` unless the file says otherwise: a segment that its receiver
//! must refuse adds no bytes. Flows whose beginning was not seen are tracked (`midstream = true`), since most are under way
//! when mosaic starts.
//!
//! # How a frame passes a wire
//!
//! 1. It is received on one port and parsed. A checksum that the sender left to a network card, as programs of the same
//!    machine do towards virtual devices, is finished here, or left to the device on the other side: beyond the wire nobody would. (Segments larger than the MTU,
//!    which such senders leave to be cut, are not cut: switch that off at the sender, `ethtool -K eth0 tso off gso off`.)
//! 2. The shard that owns its flow lets the actors decide, at both hooks. If that is another shard, the frame goes there and
//!    comes back: each queue of a device is used by one shard only.
//! 3. It is sent out of the opposite port, or dropped and counted. Frames of one direction of a flow keep their order, as long
//!    as no shard is overloaded.
//!
//! When mosaic is told to stop, frames pass unseen (`on_exit`) until the last flow has ended; if a
//! shard is lost to a defect, they do so until mosaic is stopped. After a `kill -9` the wire is dead until mosaic is started
//! again, which finds the devices as they were.
//!
//! # Fragments
//!
//! By default IP fragments pass at once, but the one that completes a datagram waits for the verdict about all of it: without it
//! the receiver has nothing. Such a datagram cannot be changed or translated, and what has left of one that is dropped has left.
//!
//! With `fragments = "hold"` in `[packets]` they wait until their datagram is complete, and leave together, in the order in which
//! they came, or not at all. What actors make of the datagram (addresses, ports, payload of the same length) is in all
//! of them: a NAT needs it. It costs some copies of each fragment, and time: the receiver gets none before the last has come. What is
//! not complete after `fragment_timeout_s`, finds no room among `fragments_max`, or contradicts itself is dropped and
//! counted (`mosaic_wire_dropped_frames_total{reason="fragments"}`), and so is a fragment that says nothing new;
//! `mosaic_held_frames` says how many wait. Within tunnels fragments wait, too, but cannot be changed; fragments of datagrams that came
//! in fragments themselves pass as by default. Raw monitors that drop a fragment of a datagram that is not complete are not
//! heeded there: what they say of the whole one counts.
//!
//! All fragments of a datagram must come through the same queue of a device. Network cards see to that where they spread
//! fragments by addresses alone, as most do. With `net_af_packet` IPv4 datagrams in fragments are lost, and no figure shows it: its
//! driver has the kernel put them together, and what is then longer than a frame is not for it. Use `net_af_xdp`, or `net_tap`.
//!
//! # Packets that are not analysed
//!
//! On an inline wire these keys of `[[wire]]` say what becomes of packets that no actor sees. They pass by default: mosaic
//! then changes nothing that it does not understand. Each is counted under its reason in `mosaic_dropped_packets_total`
//! either way: *dropped from analysis*. A tap has no such keys.
//!
//! | key | packets | reasons |
//! |---|---|---|
//! | `filtered` | refused by the packet filter | `packet_filter` |
//! | `not_ip` | ARP, LLDP, spanning tree; `"drop"` stops IPv4 from resolving addresses | `not_ip`, `link_type` |
//! | `malformed` | headers cut short, contradicting themselves, or too many | `malformed`, `too_deep` |
//! | `bad_checksum` | a wrong IPv4, TCP or UDP checksum | `ip_checksum`, `transport_checksum` |
//! | `fragments_dropped` | fragments that break the rules or find no room | `fragment_invalid`, `fragment_bound` |
//! | `table_full` | of flows that find no room in the flow table | `table_full` |
//!
//! `on_overload` is about frames that come faster than the shards can look at them, `on_exit` about those that come when no
//! shard looks any more: `"bypass"` keeps the network working unwatched, `"drop"` lets nothing pass unseen.
//!
//! # Idling
//!
//! | `idle` | a shard without work | costs | adds to the first packet after a silence |
//! |---|---|---|---|
//! | `"adaptive"` | polls a few hundred times, then sleeps 16 to 250 microseconds between polls, and 900 in a silence | little of a core | the sleep, at most |
//! | `"spin"` | polls on | a whole core | nothing |
//!
//! Under load both are the same: a shard that finds packets never sleeps. [`performance`](super::performance) has figures.
//!
//! # Streams at speed
//!
//! The bounds on what waits behind a hole (256 KiB and 64 holes a side by default) are below what Linux offers as a window.
//! Where segments are lost between the sender and mosaic, fast transfers reach them, and the record of the stream has gaps
//! that the receiver does not have; forwarding is not touched by that. `[streams]` raises them:
//! `out_of_order_bytes_max = 8388608`, `side_bytes_max = 8388608`, `holes_max = 256`.
//!
//! # What to watch
//!
//! On a terminal a status line shows rates and losses. The figures of each device are metrics with the label `port`
//! ([`metrics`](super::metrics)). On inline wires every frame is either `mosaic_forwarded_frames_total` or, by reason,
//! `mosaic_wire_dropped_frames_total`. The connection log has the same records as with captures, and they are written as flows
//! end: `tail -f` works. Live traffic does not wait for the disk: where records come faster than they can be written, they
//! are lost, and the end of the run says how many.
//!
//! Devices count what reaches them. What the wire or a kernel interface loses before, no figure shows; `net_af_packet` loses
//! frames under floods without counting them.
