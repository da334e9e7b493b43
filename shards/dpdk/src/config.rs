//! How the EAL and the devices are set up.

/// How the EAL is started.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EalConfig {
    /// Where packet buffers lie.
    pub hugepages: Hugepages,
    /// Prefix of the EAL's files; by default one of its own for each process.
    pub file_prefix: Option<String>,
    /// PCI addresses of the devices that may be opened. The others are not touched; with none, the bus is not looked at.
    pub allow: Vec<String>,
    /// Virtual devices with their arguments, such as `net_null0,size=64`.
    pub vdevs: Vec<String>,
    /// More arguments for the EAL, after ours.
    pub args: Vec<String>,
}

/// Where packet buffers lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Hugepages {
    /// In huge pages if 256 MB of them are free, otherwise in ordinary memory.
    #[default]
    Auto,
    /// In ordinary memory: at most 1 GiB, taken as it is used. Enough for virtual devices; most NICs need huge pages.
    Off,
    /// In huge pages, so many MB of them, and more when they are used up.
    Megabytes(u32),
}

/// How a device is opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceConfig {
    /// PCI address or name of a virtual device.
    pub name: String,
    /// Queue pairs wished for: one a shard.
    pub queues: u16,
    /// Descriptors of each receive queue.
    pub rx_descriptors: u16,
    /// Descriptors of each send queue.
    pub tx_descriptors: u16,
    /// Largest payload of a frame, in bytes; `None` leaves the device's own.
    pub mtu: Option<u16>,
    /// Whether it receives what is not addressed to it.
    pub promiscuous: bool,
    /// Whether checksums that are not complete are left to it as it sends, if it can finish them.
    pub checksum_offload: bool,
    /// Number of packet buffers; by default enough for all descriptors and for the bursts on their way between shards.
    pub mbufs: Option<u32>,
}

impl DeviceConfig {
    /// One queue, 1,024 descriptors each way, promiscuous, with what it can do for checksums.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            queues: 1,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            mtu: None,
            promiscuous: true,
            checksum_offload: true,
            mbufs: None,
        }
    }
}
