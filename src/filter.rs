//! Filters from text: pcap-filter expressions, compiled by libpcap.
//!
//! The language is the one tcpdump and Wireshark's capture filters use (`man 7 pcap-filter`). Names of hosts and ports are
//! looked up while the expression is compiled, never later.

use mosaic_engine::event::{Filter, FilterError as ProgramError, Instruction};
use mosaic_engine::wire::PacketFilter;
use mosaic_port::LinkType;
use pcap::{Capture, Linktype};

/// Why an expression is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// libpcap does not understand it, or it makes no sense for the packets it is asked about.
    #[error("filter \"{expression}\": {reason}{}", caret(expression, *place))]
    Expression {
        /// The text.
        expression: String,
        /// What libpcap says.
        reason: String,
        /// Byte offset into the text of what is wrong, where it can be told.
        place: Option<usize>,
    },
    /// The compiled program is not one that mosaic can run.
    #[error("filter \"{expression}\": {source}")]
    Program {
        /// The text.
        expression: String,
        /// What is wrong with the program.
        source: ProgramError,
    },
}

/// Compiles `expression` for the innermost IP packets of flows: what [`monitor_stream`] takes.
///
/// Link-layer words (`ether`, `vlan`, `mpls`, `arp` ...) are refused: the layers they speak of have been taken off.
///
/// # Errors
/// [`FilterError`], with libpcap's reason.
///
/// [`monitor_stream`]: mosaic_engine::actor::ShardContext::monitor_stream
pub fn flows(expression: &str) -> Result<Filter, FilterError> {
    compile(expression, LinkType::RAW)
}

/// Compiles `expression` for whole frames, as they come from a port, for each link type on which it has a meaning.
/// Frames of the other link types do not pass.
///
/// # Errors
/// [`FilterError`] where it has a meaning on none; the reason is the one for Ethernet.
pub fn packets(expression: &str) -> Result<PacketFilter, FilterError> {
    let on_ethernet = compile(expression, LinkType::ETHERNET);
    let mut programs = Vec::new();
    for link in LINK_TYPES {
        if let Ok(program) = program_of(expression, link) {
            programs.push((link, checked(expression, program)?));
        }
    }
    match on_ethernet {
        Ok(filter) => programs.insert(0, (LinkType::ETHERNET, filter)),
        Err(error) if programs.is_empty() => return Err(error),
        Err(_) => {}
    }
    Ok(PacketFilter { programs })
}

/// Link types besides Ethernet that the engine takes apart.
const LINK_TYPES: [LinkType; 18] = [
    LinkType::NULL,
    LinkType::PPP,
    LinkType::PPP_HDLC,
    LinkType::PPP_ETHER,
    LinkType::RAW,
    LinkType::C_HDLC,
    LinkType::IEEE802_11,
    LinkType::LOOP,
    LinkType::LINUX_SLL,
    LinkType::IEEE802_11_PRISM,
    LinkType::IEEE802_11_RADIOTAP,
    LinkType::IEEE802_11_AVS,
    LinkType::PPI,
    LinkType::IPV4,
    LinkType::IPV6,
    LinkType::LINUX_SLL2,
    RAW_BSDOS,
    RAW_OPENBSD,
];

/// Raw IP under the numbers of two systems, in files that keep them.
const RAW_BSDOS: LinkType = LinkType(12);
const RAW_OPENBSD: LinkType = LinkType(14);

fn compile(expression: &str, link: LinkType) -> Result<Filter, FilterError> {
    let program = program_of(expression, link).map_err(|reason| FilterError::Expression {
        place: place_of(expression, &reason, |prefix| {
            program_of(prefix, link).is_ok()
        }),
        expression: expression.to_owned(),
        reason,
    })?;
    checked(expression, program)
}

fn checked(expression: &str, program: Vec<Instruction>) -> Result<Filter, FilterError> {
    Filter::new(program).map_err(|source| FilterError::Program {
        expression: expression.to_owned(),
        source,
    })
}

/// The program, or libpcap's reason.
fn program_of(expression: &str, link: LinkType) -> Result<Vec<Instruction>, String> {
    // Of the link types used here, only raw IP has another number inside libpcap (DLT_) than in files (LINKTYPE_).
    let is_raw = [LinkType::RAW, RAW_BSDOS, RAW_OPENBSD].contains(&link);
    let dlt = if is_raw {
        Linktype(12)
    } else {
        Linktype(i32::from(link.0))
    };
    let dead = Capture::dead(dlt).map_err(|error| reason_of(&error))?;
    let program = dead
        .compile(expression, true)
        .map_err(|error| reason_of(&error))?;
    program
        .get_instructions()
        .iter()
        .map(instruction)
        .collect::<Option<_>>()
        .ok_or_else(|| "unreadable program".into())
}

fn reason_of(error: &pcap::Error) -> String {
    let text = match error {
        pcap::Error::PcapError(text) => text.clone(),
        other => other.to_string(),
    };
    text.strip_prefix("can't parse filter expression: ")
        .unwrap_or(&text)
        .to_owned()
}

/// The `pcap` crate shows the parts of an instruction only by printing them, as `code jt jf k`.
fn instruction(printed: &pcap::BpfInstruction) -> Option<Instruction> {
    let text = printed.to_string();
    let mut parts = text.split(' ');
    Some(Instruction {
        code: parts.next()?.parse().ok()?,
        jt: parts.next()?.parse().ok()?,
        jf: parts.next()?.parse().ok()?,
        k: parts.next()?.parse().ok()?,
    })
}

/// Where in `expression` the fault lies: at the name or number that `reason` mentions; for a syntax error, where the
/// longest beginning that `is_valid` ends.
fn place_of(expression: &str, reason: &str, is_valid: impl Fn(&str) -> bool) -> Option<usize> {
    let tokens = tokens(expression);
    if reason.contains("syntax error") {
        let beginnings = tokens.iter().rev().copied().filter(|&at| at > 0);
        return beginnings
            .take(SYNTAX_TRIES_MAX)
            .find(|&at| is_valid(&expression[..at]))
            .or(tokens.first().copied());
    }
    let lower_case = reason.to_lowercase();
    let words: Vec<&str> = lower_case.split([' ', '\'', '"', ',']).collect();
    let token_at = |at: usize| {
        let end = tokens
            .iter()
            .copied()
            .find(|&next| next > at)
            .unwrap_or(expression.len());
        expression[at..end].trim_end()
    };
    let is_name = |token: &str| {
        let quoted = [format!("'{token}'"), format!("\"{token}\"")]
            .iter()
            .any(|quoted| reason.contains(quoted.as_str()));
        quoted || (token.starts_with(|c: char| c.is_ascii_digit()) && words.contains(&token))
    };
    let is_keyword = |token: &str| !["and", "or", "not"].contains(&token) && words.contains(&token);
    let mut places = tokens.iter().copied();
    places
        .clone()
        .find(|&at| is_name(token_at(at)))
        .or_else(|| places.find(|&at| is_keyword(token_at(at))))
}

/// Each try compiles a part of the expression, which may ask the resolver.
const SYNTAX_TRIES_MAX: usize = 100;

/// Byte offsets at which words, numbers and operators begin.
fn tokens(expression: &str) -> Vec<usize> {
    let is_operator = |c: char| "()[]!&|=<>+*".contains(c);
    let mut starts = Vec::new();
    let mut previous = ' ';
    for (at, c) in expression.char_indices() {
        let joins = !previous.is_whitespace() && !is_operator(previous) && !is_operator(c);
        if !c.is_whitespace() && !joins {
            starts.push(at);
        }
        previous = c;
    }
    starts
}

/// Two further lines: the text again, and a caret below the place.
fn caret(expression: &str, place: Option<usize>) -> String {
    match place {
        Some(at) if !expression.contains('\n') => {
            format!(
                "\n  {expression}\n  {:>width$}",
                '^',
                width = expression[..at].chars().count() + 1
            )
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(expression: &str) -> String {
        flows(expression).unwrap_err().to_string()
    }

    #[test]
    fn an_expression_becomes_the_program_libpcap_prints() {
        let program = program_of("ip proto 6", LinkType::RAW).unwrap();
        // ldb [0]; and #0xf0; jeq #0x40; ldb [9]; jeq #6; ret; ret
        assert_eq!(
            program.first(),
            Some(&Instruction {
                code: 0x30,
                jt: 0,
                jf: 0,
                k: 0
            })
        );
        assert!(
            program.contains(&Instruction {
                code: 0x30,
                jt: 0,
                jf: 0,
                k: 9
            }),
            "{program:?}"
        );
        assert!(flows("tcp port 80 or ip6").is_ok());
        assert!(flows("").is_ok(), "the empty expression passes everything");
    }

    #[test]
    fn link_layer_words_are_refused_for_flows_with_libpcaps_reason() {
        assert!(
            refused("vlan 5").starts_with("filter \"vlan 5\": no VLAN support for Raw IP"),
            "{}",
            refused("vlan 5")
        );
        assert!(refused("ether host 00:00:00:00:00:01").contains("supported only on ethernet"));
        assert!(refused("arp").contains("rejects all packets"));
    }

    /// What a frame of TCP over IPv4, with or without a VLAN tag around it, and its IP packet are judged.
    #[test]
    fn words_of_the_link_layer_are_for_frames() {
        let ip: Vec<u8> = [
            &[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0][..],
            &[10, 0, 0, 1, 10, 0, 0, 2, 15, 160, 0, 80],
            &[0; 16],
        ]
        .concat();
        let plain = [&[2; 12][..], &[0x08, 0x00], &ip].concat();
        let tagged = [&[2; 12][..], &[0x81, 0, 0, 5, 0x08, 0x00], &ip].concat();
        let judge = |expression: &str, bytes: &[u8], link| {
            let frame = mosaic_port::Frame {
                bytes,
                wire_len: u32::try_from(bytes.len()).expect("a short frame"),
                timestamp: mosaic_port::Timestamp::ZERO,
                link,
                interface: 0,
            };
            packets(expression).unwrap().judge(&frame)
        };
        for expression in [
            "vlan 5 and tcp port 80",
            "vlan and ether src 02:02:02:02:02:02",
        ] {
            assert_eq!(judge(expression, &plain, LinkType::ETHERNET), Some(false));
            assert_eq!(judge(expression, &tagged, LinkType::ETHERNET), Some(true));
            assert_eq!(judge(expression, &ip, LinkType::RAW), None);
            assert!(flows(expression).is_err());
        }
        assert_eq!(judge("tcp port 80", &ip, LinkType::RAW), Some(true));
        assert_eq!(
            judge("ether[12:2] = 0x0800", &plain, LinkType::ETHERNET),
            Some(true)
        );
    }

    #[test]
    fn a_caret_stands_below_what_is_wrong() {
        assert_eq!(
            refused("tcp and port nosuchport"),
            "filter \"tcp and port nosuchport\": unknown port 'nosuchport'\n  tcp and port nosuchport\n               ^"
        );
        assert_eq!(
            refused("tcp prot 80"),
            "filter \"tcp prot 80\": syntax error\n  tcp prot 80\n      ^"
        );
        assert!(refused("udp port 99999").ends_with("\n  udp port 99999\n           ^"));
        assert!(refused("udp and vlan 7").ends_with("\n  udp and vlan 7\n          ^"));
        assert!(refused("(tcp").ends_with("\n  (tcp\n  ^"));
    }

    #[test]
    fn packet_filters_keep_the_link_types_on_which_they_mean_something() {
        assert!(packets("vlan 5").is_ok());
        assert!(
            packets("wlan type mgt").is_ok(),
            "means nothing on Ethernet, but on 802.11 it does"
        );
        assert!(
            packets("tcp prot 80")
                .unwrap_err()
                .to_string()
                .contains("syntax error")
        );
    }

    #[test]
    fn a_place_is_never_inside_a_character() {
        for expression in ["töö port 80", "host ä and (", "\u{0}", "tcp\nport x", "'"] {
            let _ = flows(expression).map_err(|error| error.to_string());
        }
    }
}
