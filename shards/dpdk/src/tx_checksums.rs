//! Checksums that a device finishes as it sends.

use mosaic_dpdk_sys as sys;
use mosaic_port::Headers;

/// Which checksums a device finishes as it sends, where the sum of the pseudo-header stands in their place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TxChecksums {
    /// Those of TCP.
    pub tcp: bool,
    /// Those of UDP.
    pub udp: bool,
}

impl TxChecksums {
    /// Whether it finishes any.
    pub fn any(self) -> bool {
        self.tcp || self.udp
    }

    /// What the shim says that a device can do.
    pub(crate) fn of(info: &sys::MosaicDeviceInfo) -> Self {
        Self {
            tcp: info.tx_checksums & sys::TX_TCP != 0,
            udp: info.tx_checksums & sys::TX_UDP != 0,
        }
    }

    /// The same for the shim.
    pub(crate) fn bits(self) -> u8 {
        let bit = |on, bit| if on { bit } else { 0 };
        bit(self.tcp, sys::TX_TCP) | bit(self.udp, sys::TX_UDP)
    }

    /// Whether it finishes that of a frame with these headers. Of IPv6 with extension headers devices understand different
    /// things.
    pub(crate) fn finish(self, headers: &Headers) -> bool {
        const IPV6_LEN: u16 = 40;
        let knows = if headers.is_udp { self.udp } else { self.tcp };
        knows && (!headers.is_v6 || headers.ip_len == IPV6_LEN)
    }
}

pub(crate) fn raw(headers: &Headers) -> sys::MosaicHeaders {
    sys::MosaicHeaders {
        link_len: headers.link_len,
        ip_len: headers.ip_len,
        transport_len: headers.transport_len,
        is_v6: headers.is_v6.into(),
        is_udp: headers.is_udp.into(),
    }
}

pub(crate) fn headers(raw: &sys::MosaicHeaders) -> Headers {
    Headers {
        link_len: raw.link_len,
        ip_len: raw.ip_len,
        transport_len: raw.transport_len,
        is_v6: raw.is_v6 != 0,
        is_udp: raw.is_udp != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extension_headers_are_finished_in_software() {
        let plain = Headers {
            link_len: 14,
            ip_len: 40,
            transport_len: 20,
            is_v6: true,
            is_udp: false,
        };
        let only_tcp = TxChecksums {
            tcp: true,
            udp: false,
        };
        assert!(only_tcp.finish(&plain));
        let others = [
            Headers {
                ip_len: 48,
                ..plain
            },
            Headers {
                is_udp: true,
                ..plain
            },
        ];
        assert!(others.iter().all(|other| !only_tcp.finish(other)));
        let with_options = Headers {
            ip_len: 48,
            is_v6: false,
            ..plain
        };
        assert!(only_tcp.finish(&with_options));
    }
}
