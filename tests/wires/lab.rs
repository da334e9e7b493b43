//! Two ends and a middle.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::namespace::{Background, Namespace, eventually, is_possible};

/// Addresses of the end that asks.
pub(crate) const A4: &str = "192.0.2.1";
pub(crate) const A6: &str = "2001:db8::1";
/// Addresses of the end that answers.
pub(crate) const B4: &str = "192.0.2.2";
pub(crate) const B6: &str = "2001:db8::2";

/// Room for all that the kernel's receive window lets overtake a lost segment.
const STREAMS: &str =
    "[streams]\nside_bytes_max = 8388608\nout_of_order_bytes_max = 8388608\nholes_max = 256\n";

/// What mosaic's ports are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Device {
    /// The kernel's interfaces, one queue each.
    Veth,
    /// The same, with two queues each.
    VethQueues,
    /// The same through sockets of AF_XDP.
    Xdp,
    /// Interfaces that mosaic makes, bridged to the ends.
    Tap,
    /// A kernel's interface on the left, which brings unfinished checksums; on the right one that mosaic makes, which finishes
    /// them.
    VethTap,
}

/// Namespaces A, M and B; everything in them ends with it.
#[derive(Debug)]
pub(crate) struct Lab {
    /// The ends' links in M, with their faults.
    links: Vec<Background>,
    pub(crate) a: Namespace,
    pub(crate) m: Namespace,
    pub(crate) b: Namespace,
    folder: TempDir,
}

impl Lab {
    /// The ends joined to `left` and `right` in M. `None`, with a word why, where that cannot be.
    pub(crate) fn new() -> Option<Self> {
        let lab = Self::empty()?;
        lab.a.join("a0", &lab.m, "left");
        lab.b.join("b0", &lab.m, "right");
        lab.set_up_ends();
        Some(lab)
    }

    /// The same, with a link that has these faults on each side: the arguments of `tests/captures/link.py`.
    pub(crate) fn through(faults: &str) -> Option<Self> {
        let mut lab = Self::empty()?;
        lab.a.join("a0", &lab.m, "a1");
        lab.b.join("b0", &lab.m, "b1");
        lab.m.join("left1", &lab.m, "left");
        lab.m.join("right1", &lab.m, "right");
        lab.set_up_ends();
        for end in [&lab.a, &lab.b] {
            // Seconds between two attempts to send a segment, not minutes: then it is no chance of the link that nothing comes
            // for half a minute. Where the handshake needed a second attempt, they begin at 3 s (RFC 6298, section 5.7), and
            // four losses in a row would do.
            end.set_if_known("net/ipv4/tcp_rto_max_ms", "2000");
        }
        lab.link("a1", "left1", faults, 1);
        lab.link("b1", "right1", faults, 2);
        Some(lab)
    }

    /// The same, with links that lose three frames of a hundred and let one of twenty overtake others. The ends are
    /// introduced: else three lost questions in a row end a test.
    pub(crate) fn lossy() -> Option<Self> {
        let lab = Self::through("--loss 0.03 --reorder 0.05 --delay 0.001")?;
        lab.introduce();
        Some(lab)
    }

    /// Tells the ends each other's hardware addresses, so that neither asks for them, whenever that might be.
    pub(crate) fn introduce(&self) {
        let [a, b] =
            [(&self.a, "a0"), (&self.b, "b0")].map(|(end, name)| end.hardware_address(name));
        for (end, interface, others, hardware) in
            [(&self.a, "a0", [B4, B6], &b), (&self.b, "b0", [A4, A6], &a)]
        {
            for other in others {
                end.ip(&format!(
                    "neigh replace {other} lladdr {hardware} dev {interface}"
                ));
            }
        }
    }

    fn empty() -> Option<Self> {
        if !is_possible() {
            return None;
        }
        let lab = Self {
            links: Vec::new(),
            a: Namespace::new("a"),
            m: Namespace::new("m"),
            b: Namespace::new("b"),
            folder: tempfile::tempdir().unwrap(),
        };
        lab.m.silence();
        for end in [&lab.a, &lab.b] {
            end.set("net/ipv6/conf/default/router_solicitations", "0");
        }
        Some(lab)
    }

    fn set_up_ends(&self) {
        for (end, interface, v4, v6) in [(&self.a, "a0", A4, A6), (&self.b, "b0", B4, B6)] {
            end.words(&format!("ethtool -K {interface} tso off gso off gro off"));
            end.ip(&format!("address add {v4}/24 dev {interface}"));
            end.ip(&format!("address add {v6}/64 dev {interface} nodad"));
        }
    }

    fn link(&mut self, from: &str, to: &str, faults: &str, seed: u32) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/link.py");
        let seed = seed.to_string();
        let mut program = vec!["python3", script.to_str().unwrap(), from, to];
        program.extend(faults.split_whitespace());
        program.extend(["--seed", &seed]);
        let link = self.m.start(&program, self.folder(), from);
        let out = self.path(&format!("{from}.out"));
        eventually("a link that is ready", || {
            let said = std::fs::read_to_string(&out).unwrap();
            said.contains("ready").then_some(())
        });
        self.links.push(link);
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Puts a file where a program finds it, as one should: a complete one takes the place of the old one.
    pub(crate) fn put(&self, name: &str, text: &str) -> PathBuf {
        let (path, new) = (self.path(name), self.path(&format!("{name}.new")));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &path).unwrap();
        path
    }

    /// Two ports and an inline wire with two shards; `rules` are lines of `[[wire]]`. Nothing passes unseen: what comes too
    /// fast on a busy machine is dropped, and sent again.
    pub(crate) fn wire(&self, device: Device, rules: &str) -> String {
        let port = |number: u32, name: &str| {
            let device = match device {
                Device::VethTap if number == 1 => format!("net_tap{number},iface=tap{number}"),
                Device::Veth | Device::VethTap => format!("net_af_packet{number},iface={name}"),
                Device::VethQueues => format!("net_af_packet{number},iface={name},qpairs=2"),
                Device::Xdp => format!("net_af_xdp{number},iface={name}"),
                Device::Tap => format!("net_tap{number},iface=tap{number}"),
            };
            format!("[[port]]\nname = \"{name}\"\ndevice = \"{device}\"\n")
        };
        format!(
            "[runtime]\nshards = 2\n{STREAMS}{}{}[[wire]]\nports = [\"left\", \"right\"]\non_overload = \"drop\"\n{rules}\n",
            port(0, "left"),
            port(1, "right")
        )
    }

    /// Whether this device can be there; says so where not.
    pub(crate) fn can_have(&self, device: Device) -> bool {
        const SOCKET: &str = "import socket; socket.socket(44, socket.SOCK_RAW)";
        let probe = self.m.command(&["python3", "-c", SOCKET]).output().unwrap();
        let possible = device != Device::Xdp || probe.status.success();
        if !possible {
            eprintln!("skipped: no sockets of AF_XDP here");
        }
        possible
    }

    /// Bridges the interfaces that mosaic has made to those of the ends.
    pub(crate) fn bridge_taps(&self, device: Device) {
        let names = match device {
            Device::Veth | Device::VethQueues | Device::Xdp => &[][..],
            Device::Tap => &[(0, "left"), (1, "right")],
            Device::VethTap => &[(1, "right")],
        };
        for (number, veth) in names {
            let _ = self.m.output(&format!("ip link del bridge{number}"));
            self.bridge(&format!("bridge{number}"), &[veth, &format!("tap{number}")]);
        }
    }

    /// Makes a bridge in M of interfaces there.
    pub(crate) fn bridge(&self, name: &str, interfaces: &[&str]) {
        self.m
            .ip(&format!("link add {name} type bridge mcast_snooping 0"));
        self.m.ip(&format!("link set {name} up"));
        for interface in interfaces {
            self.m.ip(&format!("link set {interface} master {name} up"));
        }
    }
}
