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
//! idle = "adaptive"                # or "spin"
//! pin = "auto"                     # or "never"
//! on_panic = "forward"             # or "drop": the packet in flight when an actor panics
//!
//! [packets]
//! checksums = "verify"             # or "ignore"
//! filter = "not port 22"           # pcap-filter; other packets are dropped before anything else
//! key = ["vlan", "tunnel"]         # identifiers that join the flow key; none by default
//! fragments_max = 4096
//! fragment_timeout_s = 30
//!
//! [flows]
//! flows_max = 1048576              # in all, divided over the shards
//! profile = "record"               # or "receiver"
//! midstream = true                 # also flows whose beginning was not seen
//!
//! [streams]
//! overlap = "first"                # or "last": which copy of a byte counts
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

mod file;
mod live;
mod plan;
mod wires;
pub mod words;

pub use file::ConfigError;
pub use live::{
    DeviceName, DpdkPlan, Fate, Hugepages, LivePlan, NotAnalysed, PortPlan, Unwatched, WirePlan,
};
pub(crate) use plan::check;
pub use plan::{Plan, RangeError, ranges};
