//! Declarations of the C shim (`shim/shim.h`) over the installed libdpdk. Nothing else.
//!
//! No layout of a DPDK structure is written down in Rust: [`Mbuf`] and [`Mempool`] are opaque, and every structure here is
//! one of ours, filled by the shim. `shim.h` says what each function does; `mosaic-dpdk` is the only user.
#![expect(unsafe_code, reason = "declarations of foreign functions")]

use std::ffi::{c_char, c_int};

/// Length of every name, with the zero at its end.
pub const NAME_LEN: usize = 64;
/// The most mbufs that [`mosaic_tx_burst`] takes.
pub const BURST_MAX: usize = 64;

/// [`mosaic_rss_read`]: the device does not name its hash function.
pub const RSS_UNKNOWN: c_int = 0;
/// [`mosaic_rss_read`]: Toeplitz.
pub const RSS_TOEPLITZ: c_int = 1;
/// [`mosaic_rss_read`]: Toeplitz over sorted addresses and ports.
pub const RSS_SYMMETRIC_TOEPLITZ: c_int = 2;
/// [`mosaic_rss_read`]: another.
pub const RSS_OTHER: c_int = 3;

/// [`mosaic_rx_burst`]: some mbufs have more than one segment.
pub const CHAINED: u32 = 1;
/// [`mosaic_rx_burst`]: some mbufs are shared, chained, have foreign memory, or come from another pool than the first.
pub const SPECIAL: u32 = 2;
/// Some mbufs are null.
pub const GAPS: u32 = 4;
/// The device has found the checksums of IPv4 and TCP or UDP of all frames good.
pub const CHECKED: u32 = 8;

/// Some frames have a checksum that the device finishes as it sends.
pub const OFFLOADED: u32 = 16;

/// A device finishes checksums of TCP as it sends.
pub const TX_TCP: u8 = 1;
/// A device finishes checksums of UDP as it sends.
pub const TX_UDP: u8 = 2;

/// [`MosaicFacts::rss_hash`] is one.
pub const FACT_RSS_HASH: u32 = 1;
/// [`MosaicFacts::timestamp`] is one.
pub const FACT_TIMESTAMP: u32 = 2;
/// The device found the checksum of the IPv4 header good.
pub const FACT_IP_GOOD: u32 = 4;
/// The device found the checksum of the IPv4 header bad.
pub const FACT_IP_BAD: u32 = 8;
/// The device found the checksum of the transport header good.
pub const FACT_L4_GOOD: u32 = 16;
/// The device found the checksum of the transport header bad.
pub const FACT_L4_BAD: u32 = 32;
/// The transport checksum is not complete, but the data is good: the packet never was on a wire.
pub const FACT_L4_UNFINISHED: u32 = 64;
/// The transport checksum is left to the device that the frame leaves through: see [`MosaicFacts::headers`].
pub const FACT_OFFLOADED: u32 = 128;

/// A packet buffer of DPDK.
#[repr(C)]
pub struct Mbuf {
    _opaque: [u8; 0],
    _not_send: std::marker::PhantomData<(*mut u8, std::marker::PhantomPinned)>,
}

/// A pool of packet buffers.
#[repr(C)]
pub struct Mempool {
    _opaque: [u8; 0],
    _not_send: std::marker::PhantomData<(*mut u8, std::marker::PhantomPinned)>,
}

/// What a device is and can do.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[expect(
    missing_docs,
    reason = "named and ordered as in shim.h, explained there"
)]
pub struct MosaicDeviceInfo {
    pub name: [c_char; NAME_LEN],
    pub driver: [c_char; NAME_LEN],
    pub rx_offloads: u64,
    pub tx_offloads: u64,
    pub max_rx_packet_len: u32,
    pub numa: i32,
    pub max_rx_queues: u16,
    pub max_tx_queues: u16,
    pub max_rx_descriptors: u16,
    pub max_tx_descriptors: u16,
    pub reta_size: u16,
    pub hash_key_len: u16,
    pub min_mtu: u16,
    pub max_mtu: u16,
    pub mtu: u16,
    pub can_rss: u8,
    pub can_scatter: u8,
    pub can_multi_segs: u8,
    pub tx_checksums: u8,
    pub mac: [u8; 6],
}

/// How a device is configured.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[expect(
    missing_docs,
    reason = "named and ordered as in shim.h, explained there"
)]
pub struct MosaicDeviceConfig {
    pub rss_key: *const u8,
    pub rss_key_len: u32,
    pub queues: u16,
    pub mtu: u16,
    pub scatter: u8,
    pub multi_segs: u8,
    pub tx_checksums: u8,
}

/// State of a link.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    missing_docs,
    reason = "named and ordered as in shim.h, explained there"
)]
pub struct MosaicLink {
    pub speed_mbps: u32,
    pub up: u8,
    pub full_duplex: u8,
}

/// Basic statistics of a device.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    missing_docs,
    reason = "named and ordered as in shim.h, explained there"
)]
pub struct MosaicStats {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_missed: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_no_buffer: u64,
}

/// Where the bytes of an mbuf's first segment are, and the length of all its segments; their number only in bursts that are
/// [`CHAINED`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[expect(
    missing_docs,
    reason = "named and ordered as in shim.h, explained there"
)]
pub struct MosaicFrame {
    pub data: *const u8,
    pub len: u32,
    pub segments: u32,
}

/// The headers of a frame: TCP or UDP right within IP.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    missing_docs,
    reason = "named and ordered as in shim.h, explained there"
)]
pub struct MosaicHeaders {
    pub link_len: u16,
    pub ip_len: u16,
    pub transport_len: u16,
    pub is_v6: u8,
    pub is_udp: u8,
}

/// What a device says about a frame, and what is asked of the one that it leaves through.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    missing_docs,
    reason = "named and ordered as in shim.h, explained there"
)]
pub struct MosaicFacts {
    pub timestamp: u64,
    pub rss_hash: u32,
    pub known: u32,
    pub headers: MosaicHeaders,
}

/// What [`mosaic_tx_burst`] did.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    missing_docs,
    reason = "named and ordered as in shim.h, explained there"
)]
pub struct MosaicSent {
    pub bytes: u64,
    pub frames: u32,
    pub no_room: u32,
}

#[expect(missing_docs, reason = "explained in shim.h")]
unsafe extern "C" {
    pub fn mosaic_version() -> *const c_char;
    pub fn mosaic_driver_folder() -> *const c_char;
    pub fn mosaic_strerror(error: c_int) -> *const c_char;
    pub fn mosaic_eal_init(argc: c_int, argv: *mut *mut c_char) -> c_int;
    pub fn mosaic_eal_cleanup() -> c_int;
    pub fn mosaic_runtime_folder() -> *const c_char;
    pub fn mosaic_device_attach(devargs: *const c_char) -> c_int;
    pub fn mosaic_thread_has_lcore() -> c_int;
    pub fn mosaic_thread_register() -> c_int;
    pub fn mosaic_thread_unregister();

    pub fn mosaic_pool_create(
        name: *const c_char,
        mbufs: u32,
        cache: u32,
        data_len: u32,
        socket: i32,
        error: *mut c_int,
    ) -> *mut Mempool;
    pub fn mosaic_pool_free(pool: *mut Mempool);
    pub fn mosaic_pool_in_use(pool: *const Mempool) -> u32;

    pub fn mosaic_device_next(port: *mut u16) -> c_int;
    pub fn mosaic_device_find(name: *const c_char, port: *mut u16) -> c_int;
    pub fn mosaic_device_info(port: u16, info: *mut MosaicDeviceInfo) -> c_int;
    pub fn mosaic_rx_offload_name(offload: u64) -> *const c_char;
    pub fn mosaic_tx_offload_name(offload: u64) -> *const c_char;
    pub fn mosaic_device_configure(port: u16, config: *const MosaicDeviceConfig) -> c_int;
    pub fn mosaic_descriptors_adjust(port: u16, rx: *mut u16, tx: *mut u16) -> c_int;
    pub fn mosaic_rx_queue_setup(
        port: u16,
        queue: u16,
        descriptors: u16,
        pool: *mut Mempool,
    ) -> c_int;
    pub fn mosaic_tx_queue_setup(port: u16, queue: u16, descriptors: u16) -> c_int;
    pub fn mosaic_device_set_mtu(port: u16, mtu: u16) -> c_int;
    pub fn mosaic_device_start(port: u16) -> c_int;
    pub fn mosaic_device_stop(port: u16) -> c_int;
    pub fn mosaic_device_close(port: u16) -> c_int;
    pub fn mosaic_promiscuous(port: u16, on: c_int) -> c_int;
    pub fn mosaic_link(port: u16, link: *mut MosaicLink) -> c_int;
    pub fn mosaic_stats(port: u16, stats: *mut MosaicStats) -> c_int;
    pub fn mosaic_xstats(port: u16, names: *mut c_char, values: *mut u64, max: u32) -> c_int;
    pub fn mosaic_rss_read(port: u16, key: *mut u8, len: *mut u32, function: *mut c_int) -> c_int;
    pub fn mosaic_rss_write(port: u16, key: *const u8, len: u32) -> c_int;
    pub fn mosaic_reta_write(port: u16, queues: *const u16, size: u16) -> c_int;
    pub fn mosaic_reta_read(port: u16, queues: *mut u16, size: u16) -> c_int;

    pub fn mosaic_rx_burst(
        port: u16,
        queue: u16,
        mbufs: *mut *mut Mbuf,
        frames: *mut MosaicFrame,
        max: u16,
        kind: *mut u32,
    ) -> u16;
    pub fn mosaic_facts(mbufs: *const *mut Mbuf, facts: *mut MosaicFacts, count: u16);
    pub fn mosaic_copy_out(mbuf: *const Mbuf, to: *mut u8, len: u32);
    pub fn mosaic_tx_burst(
        port: u16,
        queue: u16,
        mbufs: *mut *mut Mbuf,
        frames: *const MosaicFrame,
        count: u16,
        forward: u64,
        kind: u32,
        linear: c_int,
        patience: u32,
        sent: *mut MosaicSent,
    );
    pub fn mosaic_checksum_offload(mbuf: *mut Mbuf, headers: *const MosaicHeaders) -> c_int;
    pub fn mosaic_frame_write(
        mbuf: *mut Mbuf,
        bytes: *const u8,
        len: u32,
        frame: *mut MosaicFrame,
    ) -> c_int;
    pub fn mosaic_frame_new(pool: *mut Mempool, bytes: *const u8, len: u32) -> *mut Mbuf;
    pub fn mosaic_free_burst(mbufs: *mut *mut Mbuf, count: u16, kind: u32);
}
