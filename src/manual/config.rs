//! What can be set, and where.
//!
//! Settings come from three places; later ones win: defaults, a TOML file, the program or the command line. All of them end in
//! a [`Plan`](crate::config::Plan), whose values are checked once; no other part of mosaic reads settings. The page
//! [`config`](mod@crate::config) lists the file's sections and keys.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use mosaic::config::Plan;
//!
//! let file = std::env::temp_dir().join(format!("mosaic-manual-{}.toml", std::process::id()));
//! std::fs::write(&file, "[runtime]\nshards = 2\n\n[timeouts]\nestablished_s = \"never\"\n")?;
//! let mut plan = Plan::default();
//! plan.read_file(&file)?;
//! assert_eq!(plan.shards, 2);
//! assert_eq!(plan.shard.timeouts.established_ns, None);
//!
//! std::fs::write(&file, "[runtime]\nshard = 2\n")?;
//! let refused = Plan::default().read_file(&file).unwrap_err().to_string();
//! assert!(refused.contains(":2:"), "file, line and key are named: {refused}");
//! # std::fs::remove_file(file)?;
//! # Ok(()) }
//! ```
//!
//! Ports and wires for live traffic have a page of their own: [`live`](super::live).
//!
//! # What to think about
//!
//! - **Checksums** are verified by default: a packet with a wrong one never reached anybody's TCP. Captures taken on the host that
//!   sent the packets have unfinished checksums; use `--checksums ignore` for those.
//! - **Timeouts** depend on the state of the flow. `--idle-timeout SECONDS` sets that of open connections and shortens
//!   the others where they are longer; `never` keeps every flow until its addresses and ports open again, the table is full, or the
//!   capture ends.
//! - **Bounds** ending in `flows_max`, `buffered_bytes_max` and `fragments_max` are totals, divided over the shards.
//! - **Fragments** pass a wire as they come, unless `fragments = "hold"` lets them wait for their datagram
//!   ([`live`](super::live#fragments)): a NAT for more than TCP wants that.
//! - **The key** of a flow is its innermost addresses, ports and protocol. Where equal addresses are used behind different
//!   VLANs or tunnels, let their identifiers join: `key = ["vlan", "tunnel"]`.
//! - **The profile** decides which segments add bytes. `record`, for captures, takes every captured byte at a sensible
//!   offset; `receiver` takes only what a receiver would accept (RFC 9293, 5961, 7323).
