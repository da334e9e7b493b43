//! Ports on network devices: DPDK behind a safe interface.
//!
//! An [`Eal`] is started once a process, a [`Device`] opened on it by name, and devices put together to [`Wire`]s.
//! [`factories`] gives each shard a factory for its queues; the [`DpdkPort`] that it opens on the shard's thread receives
//! into [`MbufBatch`]es and sends them on.
//!
//! ```no_run
//! use mosaic_dpdk::{Device, DeviceConfig, Eal, EalConfig, MbufBatch, Wire, factories};
//! use mosaic_port::{Port, PortFactory};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let eal = Eal::start(&EalConfig {
//!     vdevs: vec!["net_tap0".into(), "net_tap1".into()],
//!     ..EalConfig::default()
//! })?;
//! let a = Device::open(&eal, &DeviceConfig::new("net_tap0"))?;
//! let b = Device::open(&eal, &DeviceConfig::new("net_tap1"))?;
//! for factory in factories(&[Wire { a, b: Some(b) }], 1).into_iter().flatten() {
//!     // On the shard's thread from here on.
//!     let mut port = factory.open()?;
//!     let mut batch = MbufBatch::default();
//!     loop {
//!         port.rx_burst(&mut batch)?;
//!         port.tx_burst(&mut batch, u64::MAX);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Who may touch what
//! - A queue is polled by one thread: [`factories`] hands each queue out once, until the port that has it is dropped,
//!   and a [`DpdkPort`] stays on its thread.
//! - A packet buffer has one owner, the [`MbufBatch`] it lies in, or a device. Buffers may be freed on any thread, for the
//!   pools take them from any; so batches are `Send`.
//! - A pool outlives its buffers: batches keep the devices of their port alive, and devices the pools of those they
//!   exchange buffers with.
//! - Devices are configured and asked under a lock, one call at a time.
//!
//! # Which shard a packet reaches
//! The engine deals flows out by Toeplitz with the key `6d5a` repeated over 128 buckets, bucket `i` to shard
//! `i % shards`. A device that lets us is given the same key, and entry `i` of its indirection table the queue
//! `i % 128 % queues`; with one queue a shard, what arrives at a shard is then its own. It is not for tables of fewer than
//! 128 entries where the number of queues is no power of two, for packets whose ports the device does not hash
//! (fragments, ICMP), and for devices with another hash: such packets are handed over in software.
//!
//! # Huge pages and privileges
//! Virtual devices that need no network interface work for everybody, without huge pages; `net_tap` and `net_af_packet`
//! need the capability `NET_ADMIN` or `NET_RAW`, PCI devices access to VFIO. Folders that DPDK makes for a process are
//! removed at its end, and those that killed processes left behind at the next start.
#![expect(
    unsafe_code,
    reason = "this crate is the safe side of foreign functions"
)]

mod batch;
mod config;
mod device;
mod drivers;
mod eal;
mod error;
mod info;
mod pool;
mod port;
mod rss;
mod thread;
mod train;
mod tx_checksums;

pub use batch::{Checksum, FrameFacts, MbufBatch};
pub use config::{DeviceConfig, EalConfig, Hugepages};
pub use device::{Device, DeviceStats, Link, Mbufs};
pub use drivers::{drivers, version};
pub use eal::Eal;
pub use error::Error;
pub use info::DeviceInfo;
pub use port::{DpdkFactory, DpdkPort, Wire, factories};
pub use rss::{Rss, RssSupport};
pub use tx_checksums::TxChecksums;
