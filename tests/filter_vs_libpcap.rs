//! Our interpreter of packet filters against libpcap's own, on real frames.

use std::path::{Path, PathBuf};

use mosaic_engine::event::{Filter, FilterError, Instruction};
use pcap::{BpfInstruction, BpfProgram, Capture, Linktype};

/// Expressions that between them make libpcap's compiler use every kind of instruction it has.
const EXPRESSIONS: &[&str] = &[
    "",
    "ip",
    "ip6",
    "tcp",
    "udp port 53",
    "icmp or icmp6",
    "tcp port 80",
    "src port 443 or dst port 443",
    "portrange 1-1023",
    "src host 192.168.0.1 or dst net 10.0.0.0/8",
    "net 192.168.0.0 mask 255.255.0.0",
    "host 127.0.0.1",
    "ip6 host ::1",
    "ip6 net 2001:db8::/32",
    "ip proto 47",
    "ip6 proto 6",
    "not tcp",
    "tcp and not (port 80 or port 443)",
    "tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn",
    "tcp[13] & 4 != 0",
    "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420",
    "ip[2:2] - ((ip[0] & 0xf) << 2) - ((tcp[12] & 0xf0) >> 2) > 0",
    "ip[0] & 0xf > 5",
    "ip[6:2] & 0x3fff != 0",
    "len > 100",
    "len <= 60",
    "less 80",
    "greater 1000",
    "len % 4 = 0",
    "len / 7 > 20",
    "len * 3 < 400",
    "ip[8] ^ 64 = 0",
    "-ip[8] > -64",
    "ip[9] | 1 = 7",
    "ip[2:2] / ip[0] > 1",
    "ip[2:2] % ip[0] = 1",
    "ip[len % 30] = 0",
    "ip[ip[8] & 0x3f : 2] > ip[4:2]",
    "ip[4:2] << (ip[8] & 7) > ip[12:4] >> (ip[9] & 3)",
    "udp[4:2] > 100",
    "ip[100:4] != 0",
    "ip multicast or ip6 multicast",
    "ip broadcast",
    "port 53 or port 80 or port 443 or port 22 or port 25 or port 110 or port 143 or port 8080 or portrange 6000-7000",
];

/// Expressions that need a link layer with these headers.
const LINK_EXPRESSIONS: &[&str] = &[
    "ether host 00:11:22:33:44:55",
    "ether[0] & 1 = 1",
    "ether proto 0x0800",
    "arp",
    "vlan",
    "vlan and tcp port 80",
    "vlan 100 or vlan 200",
    "mpls",
    "pppoes and tcp",
    "ether[12:2] > 1500",
];

#[test]
fn agrees_with_libpcap_on_every_frame() {
    let captures = captures();
    if captures.is_empty() {
        eprintln!("skipped: no captures (set MOSAIC_CORPUS)");
        return;
    }
    let mut compared = 0_u64;
    let mut passed = 0_u64;
    for path in captures {
        let Ok(mut capture) = Capture::from_file(&path) else {
            continue;
        };
        let link = capture.get_datalink();
        let programs = programs(link);
        while let Ok(packet) = capture.next_packet() {
            for (expression, theirs, ours) in &programs {
                let expected = theirs.filter(packet.data);
                let length = u32::try_from(packet.data.len()).unwrap();
                assert_eq!(
                    ours.matches(packet.data, length),
                    expected,
                    "{expression:?} on {}, frame {:02x?}",
                    path.display(),
                    packet.data
                );
                compared += 1;
                passed += u64::from(expected);
            }
        }
    }
    // Expressions that always or never hold would compare nothing.
    assert!(
        passed > compared / 100 && passed < compared,
        "{passed} of {compared} frames passed"
    );
}

#[test]
fn a_cut_frame_is_judged_by_its_length_on_the_wire() {
    let programs = compile(Linktype::ETHERNET, &["len > 1000"]);
    assert_eq!(programs.len(), 2, "optimised and not");
    for (_, _, filter) in programs {
        assert!(filter.matches(&[0; 64], 1500));
        assert!(!filter.matches(&[0; 64], 64));
    }
}

/// The one thing libpcap compiles to a loop.
#[test]
fn a_loop_is_refused() {
    let program = Capture::dead(Linktype::ETHERNET)
        .and_then(|compiler| compiler.compile("ip6 protochain 6", true))
        .expect("libpcap compiles it");
    let instructions = program.get_instructions().iter().map(instruction).collect();
    let refused = Filter::new(instructions);
    assert!(
        matches!(refused, Err(FilterError::JumpOutside { .. })),
        "{refused:?}"
    );
}

/// Every expression that libpcap can compile for the link type, by libpcap and by us.
fn programs(link: Linktype) -> Vec<(&'static str, BpfProgram, Filter)> {
    let mut programs = compile(link, EXPRESSIONS);
    programs.extend(compile(link, LINK_EXPRESSIONS));
    programs
}

fn compile(
    link: Linktype,
    expressions: &[&'static str],
) -> Vec<(&'static str, BpfProgram, Filter)> {
    let compiler = Capture::dead(link).expect("libpcap compiles for any link type");
    let mut programs = Vec::new();
    for expression in expressions {
        for optimise in [true, false] {
            if let Ok(program) = compiler.compile(expression, optimise) {
                let instructions = program.get_instructions().iter().map(instruction).collect();
                let filter = Filter::new(instructions)
                    .unwrap_or_else(|error| panic!("{expression:?}: {error}"));
                programs.push((*expression, program, filter));
            }
        }
    }
    programs
}

/// The binding shows an instruction only as text: code, jt, jf and k.
fn instruction(theirs: &BpfInstruction) -> Instruction {
    let text = theirs.to_string();
    let words: Vec<&str> = text.split(' ').collect();
    let parsed = match words[..] {
        [code, jt, jf, k] => (code.parse(), jt.parse(), jf.parse(), k.parse()),
        _ => panic!("four numbers: {text}"),
    };
    let (Ok(code), Ok(jt), Ok(jf), Ok(k)) = parsed else {
        panic!("four numbers: {text}");
    };
    Instruction { code, jt, jf, k }
}

/// Captures of the corpus, broken ones included, and our own.
fn captures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = std::env::var_os("MOSAIC_CORPUS")
        .map_or_else(|| root.join("../shared/corpus"), PathBuf::from);
    let mut captures = Vec::new();
    for directory in [
        corpus.join("real"),
        corpus.join("evasion"),
        corpus.join("malformed"),
        root.join("tests/captures"),
    ] {
        let Ok(entries) = std::fs::read_dir(directory) else {
            continue;
        };
        captures.extend(entries.flatten().map(|entry| entry.path()));
    }
    captures.sort();
    captures
}
