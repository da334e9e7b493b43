//! Live ports: what they are and what they count.
//!
//! A configuration with [ports and wires](crate::config::LivePlan) runs on DPDK devices, where this mosaic was built with
//! the cargo feature `dpdk`. [`Ports`] watches them from any thread.

#[cfg(feature = "dpdk")]
mod dpdk;

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "dpdk")]
pub(crate) use self::dpdk::{eal_config, start};

#[cfg(not(feature = "dpdk"))]
use crate::{Builder, Error, Result, Runtime};

/// Refuses: there is nothing to open devices with.
#[cfg(not(feature = "dpdk"))]
pub(crate) fn start(_: Builder) -> Result<Runtime> {
    Err(Error::NoDpdk)
}

/// The open ports of a running stack.
#[derive(Clone)]
pub struct Ports {
    about: Arc<About>,
    read: Arc<dyn Fn() -> Vec<PortFigures> + Send + Sync>,
}

/// What the ports are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct About {
    /// In the order of the configuration.
    pub ports: Vec<PortInfo>,
    /// Version of DPDK; empty without ports.
    pub dpdk: String,
    /// Whether packet buffers lie in huge pages.
    pub uses_hugepages: bool,
}

/// What one port is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortInfo {
    /// Its name in the configuration.
    pub name: String,
    /// What DPDK calls the device.
    pub device: String,
    /// The driver.
    pub driver: String,
    /// Queue pairs in use.
    pub queues: u16,
    /// `None`: the device brings both directions of a flow to one queue. Otherwise why it does not: packets then change
    /// shards in software.
    pub software_rss: Option<String>,
    /// Who finishes checksums of frames that leave through it; `None` where none do.
    pub checksums: Option<Finisher>,
    /// What is not as it could be.
    pub warnings: Vec<String>,
}

/// Who finishes the checksums of TCP and UDP that their sender left to a network card.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finisher {
    /// The device.
    Device,
    /// The device those of TCP, the shard those of UDP.
    DeviceTcp,
    /// The device those of UDP, the shard those of TCP.
    DeviceUdp,
    /// The shard.
    Shard,
}

impl fmt::Display for Finisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Device => "by the device",
            Self::DeviceTcp => "of TCP by the device, of UDP in software",
            Self::DeviceUdp => "of UDP by the device, of TCP in software",
            Self::Shard => "in software",
        })
    }
}

/// Figures of one port, since it was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PortFigures {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Whether there is a link.
    pub link_up: bool,
    /// Frames received.
    pub received_frames: u64,
    /// Bytes of those frames.
    pub received_bytes: u64,
    /// Frames sent.
    pub sent_frames: u64,
    /// Bytes of those frames.
    pub sent_bytes: u64,
    /// Frames lost because the receive queues were full: the shards did not keep up.
    pub missed_frames: u64,
    /// Frames lost because no packet buffer was free.
    pub no_buffer_frames: u64,
    /// Frames received with errors.
    pub receive_errors: u64,
    /// Frames that could not be sent.
    pub send_errors: u64,
    /// Packet buffers in all.
    pub mbufs: u64,
    /// Packet buffers in use, those that wait in receive queues included.
    pub mbufs_in_use: u64,
}

impl Ports {
    /// Ports that are `about`, with figures from `read`.
    pub fn new(about: About, read: impl Fn() -> Vec<PortFigures> + Send + Sync + 'static) -> Self {
        Self {
            about: Arc::new(about),
            read: Arc::new(read),
        }
    }

    /// What they are.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Their figures at this moment.
    pub fn figures(&self) -> Vec<PortFigures> {
        (self.read)()
    }
}

/// No ports.
impl Default for Ports {
    fn default() -> Self {
        Self::new(About::default(), Vec::new)
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}
