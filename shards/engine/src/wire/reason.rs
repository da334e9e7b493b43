//! Why a frame yields no packet.

use crate::counters::Drops;

/// Why a frame yields no packet; each has its counter in [`Drops`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reason {
    PacketFilter,
    LinkType,
    NotIp,
    Malformed,
    TooDeep,
    IpChecksum,
    TransportChecksum,
    FragmentInvalid,
    FragmentBound,
}

impl Reason {
    /// Its place in [`Drops::NAMES`].
    pub(super) fn number(self) -> u8 {
        self as u8
    }

    /// Counts one frame under this reason.
    pub(super) fn count(self, drops: &mut Drops) {
        let counter = match self {
            Self::PacketFilter => &mut drops.packet_filter,
            Self::LinkType => &mut drops.link_type,
            Self::NotIp => &mut drops.not_ip,
            Self::Malformed => &mut drops.malformed,
            Self::TooDeep => &mut drops.too_deep,
            Self::IpChecksum => &mut drops.ip_checksum,
            Self::TransportChecksum => &mut drops.transport_checksum,
            Self::FragmentInvalid => &mut drops.fragment_invalid,
            Self::FragmentBound => &mut drops.fragment_bound,
        };
        *counter += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places_among_the_counters() {
        for reason in [
            Reason::PacketFilter,
            Reason::LinkType,
            Reason::NotIp,
            Reason::Malformed,
            Reason::TooDeep,
            Reason::IpChecksum,
            Reason::TransportChecksum,
            Reason::FragmentInvalid,
            Reason::FragmentBound,
        ] {
            let mut drops = Drops::default();
            reason.count(&mut drops);
            let counted = drops.iter().position(|(_, count)| count == 1);
            assert_eq!(counted, Some(usize::from(reason.number())), "{reason:?}");
        }
    }
}
