//! Configuration: what a runtime can be told.
//!
//! [`Plan`] is the checked result that everything else works with; it starts from defaults, takes over what a TOML file
//! says ([`Plan::read_file`]) and then what the program or the command line says. The file's sections and keys, all
//! optional, units in the names:
//!
//! ```toml
//! [source]
//! captures = ["monday.pcap", "tuesday.pcap"]  # read one after the other, as one source
//!
//! [runtime]
//! shards = 2
//! cores = [0, 1]                   # of the shards; by default pin decides
//! idle = "adaptive"                # or "spin"
//! pin = "auto"                     # or "never"
//! on_panic = "forward"             # or "drop": the packet in flight when an actor panics
//!
//! [packets]
//! checksums = "verify"             # or "ignore"
//! filter = "not port 22"           # pcap-filter; other packets are dropped before anything else
//! key = ["vlan", "tunnel"]         # identifiers that join the flow key; none by default
//! fragments = "pass"               # or "hold": on wires, until their datagram is complete
//! fragments_max = 4096
//! fragment_timeout_s = 30
//!
//! [flows]
//! flows_max = 1048576              # in all, divided over the shards
//! profile = "record"               # or "receiver", which live ports have by default
//! midstream = true                 # also flows whose beginning was not seen
//!
//! [streams]
//! overlap = "first"                # which copy of a byte counts: or "last", "linux", "windows", "bsd" ...
//! side_bytes_max = 1048576
//! out_of_order_bytes_max = 262144
//! holes_max = 64
//! buffered_bytes_max = 1073741824  # in all, divided over the shards
//! gap_grace_ms = 1000
//!
//! [timeouts]                       # seconds, or "never"
//! opening_s = 30
//! established_s = 300
//! closing_s = 60
//! closed_s = 60
//! datagram_s = 60
//!
//! [metrics]
//! listen = "127.0.0.1:9464"
//! ```
//!
//! In place of `[source]`, live ports and the wires they stand in ([`manual::live`](crate::manual::live)):
//!
//! ```toml
//! [dpdk]
//! hugepages = "auto"               # or "off", or a number of megabytes
//! file_prefix = "mosaic"           # by default one for each process
//! eal_args = ["--log-level=lib.eal:info"]
//!
//! [[port]]
//! name = "left"
//! device = "0000:3b:00.0"          # a PCI address, or a virtual device
//! queues = 1                       # by default one for each shard
//! rx_descriptors = 1024            # of each queue
//! tx_descriptors = 1024
//! mtu = 1500                       # bytes; by default the device's own
//! promiscuous = true
//! checksum_offload = "auto"        # or "off": checksums that came unfinished are finished in software
//! mbufs = 16384                    # by default as many as the queues need
//!
//! [[port]]
//! name = "right"
//! device = "net_af_packet0,iface=eth1"
//!
//! [[wire]]
//! mode = "inline"                  # or "tap", with port = "left"
//! ports = ["left", "right"]
//! on_exit = "bypass"               # or "drop": frames that come when no shard looks any more
//! on_overload = "bypass"           # or "drop": frames that come too fast to be looked at
//! filtered = "forward"             # or "drop", as all below: packets that are not analysed
//! not_ip = "forward"
//! malformed = "forward"
//! bad_checksum = "forward"
//! fragments_dropped = "forward"
//! table_full = "forward"
//! ```

mod file;
mod live;
mod plan;
mod source;
mod wires;
pub mod words;

pub use file::ConfigError;
pub use live::{
    ChecksumOffload, DeviceName, DpdkPlan, Fate, Hugepages, LivePlan, NotAnalysed, PortPlan,
    Unwatched, WirePlan,
};
pub(crate) use plan::check;
pub use plan::{Plan, RangeError, ranges};
pub use source::Source;
