//! What of the layers around an IP header tells equal addresses apart.

use core::hash::{Hash, Hasher};

use super::{KeyDomain, Layer};

/// Mixes what is written into 64 bits: different identifiers, different numbers, but for a chance of 2^-64.
struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        // The steps of SplitMix64 (Steele, Lea, Flood, 2014).
        let mut mixed = (self.0 ^ value).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = mixed ^ mixed >> 31;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Everything around a fragment: fragments of one datagram come through the same layers.
pub(super) fn of_fragment(layers: &[Layer]) -> u64 {
    mix(layers.iter())
}

/// The identifiers that `config` lets join the flow key; 0 where there is none.
///
/// Only those that are the same in both directions can: an MPLS label or the identifiers of GTP and L2TP are chosen by the
/// receiver, and would tear the two directions of a flow apart.
pub(super) fn of_key(layers: &[Layer], config: KeyDomain) -> u64 {
    mix(layers.iter().filter(|layer| match layer {
        Layer::Vlan(_) => config.vlan,
        Layer::Pppoe(_) | Layer::Gre(_) | Layer::Vxlan(_) | Layer::Geneve(_) | Layer::Erspan(_) => {
            config.tunnel
        }
        _ => false,
    }))
}

fn mix<'l>(layers: impl Iterator<Item = &'l Layer>) -> u64 {
    let mut mix = Mix(0);
    for layer in layers {
        layer.hash(&mut mix);
    }
    mix.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VLANS: KeyDomain = KeyDomain {
        vlan: true,
        tunnel: false,
    };
    const TUNNELS: KeyDomain = KeyDomain {
        vlan: false,
        tunnel: true,
    };

    #[test]
    fn only_what_is_configured_joins() {
        let layers = [Layer::Vlan(7), Layer::Vxlan(9)];
        assert_eq!(of_key(&layers, KeyDomain::default()), 0);
        assert_eq!(of_key(&layers, VLANS), of_key(&[Layer::Vlan(7)], VLANS));
        assert_eq!(
            of_key(&layers, TUNNELS),
            of_key(&[Layer::Vlan(8), Layer::Vxlan(9)], TUNNELS)
        );
        assert_ne!(of_key(&layers, VLANS), of_key(&[Layer::Vlan(8)], VLANS));
        assert_ne!(
            of_key(&layers, TUNNELS),
            of_key(&[Layer::Geneve(9)], TUNNELS)
        );
        assert_ne!(of_key(&[Layer::Vlan(0)], VLANS), 0);
    }

    #[test]
    fn identifiers_of_one_direction_do_not_join() {
        assert_eq!(
            of_key(&[Layer::Gtp(1), Layer::Mpls(2), Layer::L2tp(3, 4)], TUNNELS),
            0
        );
    }

    #[test]
    fn order_counts() {
        assert_ne!(
            of_key(&[Layer::Vlan(1), Layer::Vlan(2)], VLANS),
            of_key(&[Layer::Vlan(2), Layer::Vlan(1)], VLANS)
        );
    }
}
