//! What a device is and can do.

use std::ffi::{CStr, c_char};

use mosaic_dpdk_sys as sys;

use crate::{RssSupport, TxChecksums};

/// What a device is and can do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceInfo {
    /// PCI address or name of the virtual device.
    pub name: String,
    /// Its driver, such as `net_ixgbe`.
    pub driver: String,
    /// The NUMA node it is closest to, where that is known.
    pub numa: Option<u16>,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// The most receive queues it can have.
    pub rx_queues_max: u16,
    /// The most send queues it can have.
    pub tx_queues_max: u16,
    /// The most descriptors a receive queue can have.
    pub rx_descriptors_max: u16,
    /// The most descriptors a send queue can have.
    pub tx_descriptors_max: u16,
    /// Whether it can spread flows so that both directions reach the same queue.
    pub rss: RssSupport,
    /// Names of what it can do with received packets, as DPDK has them.
    pub rx_offloads: Vec<String>,
    /// Names of what it can do with packets it sends, as DPDK has them.
    pub tx_offloads: Vec<String>,
    /// Checksums that it can finish as it sends.
    pub tx_checksums: TxChecksums,
    /// Largest payload of a frame at present, in bytes.
    pub mtu: u16,
    /// The smallest that it can be set to.
    pub mtu_min: u16,
    /// The largest that it can be set to. Virtual devices may carry longer frames all the same.
    pub mtu_max: u16,
}

impl DeviceInfo {
    /// About device `port`, or DPDK's error.
    pub(crate) fn of(port: u16) -> Result<Self, i32> {
        raw(port).map(|raw| Self::from(&raw))
    }
}

/// What the shim says about device `port`, or DPDK's error.
pub(crate) fn raw(port: u16) -> Result<sys::MosaicDeviceInfo, i32> {
    let mut info = std::mem::MaybeUninit::zeroed();
    // SAFETY: `info` may be written; a number that is no device's is an error.
    let result = unsafe { sys::mosaic_device_info(port, info.as_mut_ptr()) };
    // SAFETY: numbers and bytes only, for which zero is a value; the shim has written over them.
    let info = unsafe { info.assume_init() };
    if result == 0 { Ok(info) } else { Err(result) }
}

impl From<&sys::MosaicDeviceInfo> for DeviceInfo {
    fn from(raw: &sys::MosaicDeviceInfo) -> Self {
        Self {
            name: name(&raw.name),
            driver: name(&raw.driver),
            numa: u16::try_from(raw.numa).ok(),
            mac: raw.mac,
            rx_queues_max: raw.max_rx_queues,
            tx_queues_max: raw.max_tx_queues,
            rx_descriptors_max: raw.max_rx_descriptors,
            tx_descriptors_max: raw.max_tx_descriptors,
            rss: RssSupport::of(raw),
            rx_offloads: offloads(raw.rx_offloads, |bit| {
                // SAFETY: any number is fine; the text is a constant of DPDK.
                unsafe { sys::mosaic_rx_offload_name(bit) }
            }),
            tx_offloads: offloads(raw.tx_offloads, |bit| {
                // SAFETY: any number is fine; the text is a constant of DPDK.
                unsafe { sys::mosaic_tx_offload_name(bit) }
            }),
            tx_checksums: TxChecksums::of(raw),
            mtu: raw.mtu,
            mtu_min: raw.min_mtu,
            mtu_max: mtu_max(raw),
        }
    }
}

/// The largest MTU. Drivers that announce none are held by DPDK to the longest frame they announce.
pub(crate) fn mtu_max(raw: &sys::MosaicDeviceInfo) -> u16 {
    const HEADER_AND_CHECKSUM: u32 = 14 + 4;
    let by_frame = raw.max_rx_packet_len.saturating_sub(HEADER_AND_CHECKSUM);
    match u16::try_from(by_frame) {
        Ok(by_frame) if raw.max_mtu == u16::MAX && by_frame > 0 => by_frame,
        _ => raw.max_mtu,
    }
}

/// A name of the shim: up to the first zero.
#[expect(
    clippy::cast_sign_loss,
    reason = "c_char to the byte it is; on some processors it is one already"
)]
pub(crate) fn name(text: &[c_char]) -> String {
    let bytes: Vec<u8> = text
        .iter()
        .take_while(|byte| **byte != 0)
        .map(|byte| *byte as u8)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn offloads(bits: u64, name_of: impl Fn(u64) -> *const c_char) -> Vec<String> {
    let set = (0..64).map(|bit| 1 << bit).filter(|bit| bits & bit != 0);
    // SAFETY: `name_of` is one of the two functions above; their texts are constants that end with a zero.
    set.map(|bit| unsafe { CStr::from_ptr(name_of(bit)) })
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}
