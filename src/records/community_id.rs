//! Community ID, version 1: one name for a flow that many tools agree on.
//!
//! See the Community ID Flow Hashing specification by Corelight (`github.com/corelight/community-id-spec`).

use core::fmt;
use core::net::IpAddr;

use arrayvec::ArrayString;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mosaic_engine::flow::{Endpoint, Proto};
use serde::ser::{Serialize, Serializer};
use sha1::{Digest as _, Sha1};

/// Length of `1:` and of a SHA-1 digest in base64.
const TEXT_LEN: usize = 2 + 28;

/// A Community ID, as in `1:LQU9qZlK+B5F3KDmev6m5PMibrg=`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CommunityId(ArrayString<TEXT_LEN>);

impl CommunityId {
    /// The identifier of a flow between `a` and `b`, in either order. `seed` is 0 unless a site agreed on another.
    ///
    /// `None` for ICMP: the specification hashes the message type there, and a flow key does not keep it.
    pub fn new(seed: u16, proto: Proto, a: Endpoint, b: Endpoint) -> Option<Self> {
        if matches!(proto, Proto::ICMP | Proto::ICMPV6) {
            return None;
        }
        let (lower, upper) = if a <= b { (a, b) } else { (b, a) };
        let mut hash = Sha1::new();
        hash.update(seed.to_be_bytes());
        update_with_addr(&mut hash, lower.addr);
        update_with_addr(&mut hash, upper.addr);
        hash.update([proto.0, 0]);
        if matches!(proto, Proto::TCP | Proto::UDP | Proto::SCTP) {
            hash.update(lower.port.to_be_bytes());
            hash.update(upper.port.to_be_bytes());
        }
        Some(Self::from_sha1(&hash.finalize().into()))
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn from_sha1(sha1: &[u8; 20]) -> Self {
        let mut base64 = [0; TEXT_LEN - 2];
        let len = STANDARD.encode_slice(sha1, &mut base64).unwrap_or_default();
        let mut text = ArrayString::new();
        text.push_str("1:");
        base64[..len]
            .iter()
            .for_each(|byte| text.push(char::from(*byte)));
        Self(text)
    }
}

fn update_with_addr(hash: &mut Sha1, addr: IpAddr) {
    match addr {
        IpAddr::V4(addr) => hash.update(addr.octets()),
        IpAddr::V6(addr) => hash.update(addr.octets()),
    }
}

impl fmt::Display for CommunityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for CommunityId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(addr: &str, port: u16) -> Endpoint {
        Endpoint {
            addr: addr.parse().unwrap(),
            port,
        }
    }

    /// Values published with the specification's reference implementation.
    #[test]
    fn agrees_with_the_published_values_in_both_directions() {
        for (proto, a, a_port, b, b_port, id) in [
            (
                Proto::TCP,
                "128.232.110.120",
                34855,
                "66.35.250.204",
                80,
                "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
            ),
            (
                Proto::UDP,
                "192.168.1.52",
                54585,
                "8.8.8.8",
                53,
                "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
            ),
            (
                Proto::SCTP,
                "192.168.170.8",
                7,
                "192.168.170.56",
                7,
                "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs=",
            ),
            (
                Proto::TCP,
                "2001:470:e5bf:dead:4957:2174:e82c:4887",
                63943,
                "2607:f8b0:400c:c03::1a",
                25,
                "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=",
            ),
        ] {
            let (a, b) = (endpoint(a, a_port), endpoint(b, b_port));
            assert_eq!(CommunityId::new(0, proto, a, b).unwrap().as_str(), id);
            assert_eq!(CommunityId::new(0, proto, b, a).unwrap().as_str(), id);
        }
    }

    #[test]
    fn a_seed_changes_it_and_icmp_has_none() {
        let (a, b) = (endpoint("192.0.2.1", 1), endpoint("192.0.2.2", 2));
        assert_ne!(
            CommunityId::new(0, Proto::TCP, a, b),
            CommunityId::new(1, Proto::TCP, a, b)
        );
        assert_eq!(CommunityId::new(0, Proto::ICMP, a, b), None);
    }

    #[test]
    fn protocols_without_ports_hash_addresses_only() {
        let (a, b) = (endpoint("192.0.2.1", 1), endpoint("192.0.2.2", 2));
        let (c, d) = (endpoint("192.0.2.1", 3), endpoint("192.0.2.2", 4));
        assert_eq!(
            CommunityId::new(0, Proto(47), a, b),
            CommunityId::new(0, Proto(47), c, d)
        );
    }
}
