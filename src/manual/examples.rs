//! Which program to start from.
//!
//! Each example is one file under `examples`, to be copied. It says at its head what it does, and runs on captures of the
//! repository without arguments, on others by their names, and on [live ports](super::live) with `--config mosaic.toml`
//! (feature `dpdk`):
//!
//! ```text
//! cargo run --example accounting -- monday.pcap
//! cargo run --features dpdk --example accounting -- --config mosaic.toml
//! ```
//!
//! | example | does | shows |
//! |---|---|---|
//! | `flow_monitor` | a table of connections | the shortest actor: one event, [`on_removed`](crate::prelude::Actor::on_removed) |
//! | `stream_peek` | HTTP request lines, TLS server names | reading a stream piece by piece; stopping when enough is known |
//! | `accounting` | bytes by subscriber | figures of the engine instead of callbacks, timers of flows and shards, ledgers sent off a shard, a table on SIGUSR1 |
//! | `ids` | patterns in streams and datagrams, as EVE JSON | a search whose state is kept by flow and side, datagrams at a hook, a bounded queue to a writer |
//! | `firewall` | accepts or drops connections by rules | verdicts, rules that change while it runs, stopping so that accepted flows cost nothing more |
//! | `nat` | private addresses behind a few public ones | translation, ports whose answers come back to the shard |
//! | `load_balancer` | connections to one address, spread over many servers | translation of both ends, Maglev's table |
//! | `portal` | answers in place of a server, resets connections, leads them to another port | `answer`, `reset`, `translate` |
//! | `tracegen` | writes captures to measure with | |
//!
//! # What they have in common
//!
//! A program that only runs its actors calls [`run`](crate::Builder::run). One that does something meanwhile, as printing a
//! table, calls [`attend`](crate::Builder::attend), which also serves the metrics that its configuration asks for.
//! [`Source`](crate::config::Source) is what stands behind names of captures and `--config`,
//! [`Reminder`](crate::control::Reminder) what stands behind `--every` and SIGUSR1, [`Watched`](crate::control::Watched) what
//! reads rules again when they change.
//!
//! # What is charged
//!
//! `accounting` charges a byte of a TCP stream once: what the receiver has read, holes left out. Repeated bytes stand beside it,
//! keep-alive probes count for nothing; of other protocols the payload of every packet is charged. It does not check that repeated
//! bytes are those of before.
//!
//! # What is found
//!
//! `ids` keeps the state of the search for each side of a connection, not bytes: a pattern is found wherever segments cut it, in
//! any order and repeated; across a hole nothing is joined. How often bytes are looked at does not depend on the number of
//! rules. A rule is reported once for each direction of a connection. `--depth` bounds how far into a stream it looks, as
//! Suricata's reassembly depth does: 1 MiB unless told otherwise.
//!
//! # What is let through
//!
//! `firewall` decides at the packet that opens a connection, by the first rule that matches; then the connection is accepted,
//! and no packet of it is looked at again, or its packets are dropped. New rules are asked about new connections and those that
//! were refused. Rules speak of flows: what becomes of frames without one say the keys of the
//! [wire](super::live#packets-that-are-not-analysed).
//!
//! # What is translated
//!
//! `nat` and `load_balancer` decide once, at the packet that opens a flow, and leave the rest to the engine
//! ([`translate`](crate::prelude::FlowContext::translate)): their actors are stopped, no packet of a translated flow calls them.
//!
//! Answers come to the shard that a hash of *their* addresses names, and a translation whose answers would come to another one is
//! refused. A NAT is free in its choice of a port: each shard of `nat` has a part of the public ports, and takes the next that
//! leads back to it. A load balancer is not, for both the client's address and the server's are given: where the client's own port
//! leads elsewhere, `load_balancer` tries others, always in the same order for the same client, so that servers see right
//! addresses but not always right ports of clients.
//!
//! A public port belongs to one connection, until that leaves the table (`closed_s` after its end). Where none is left new
//! connections are dropped, and it is said. A packet of a connection that left the table before is one of a new flow: from inside
//! it gets a port of its own, which the server answers with a reset; from outside it is dropped.
//!
//! Datagrams that come in fragments are translated where fragments are held (`fragments = "hold"` in `[packets]`,
//! [`live`](super::live#fragments)). Otherwise they do not get through: the fragment that completes one is dropped and counted
//! (`mosaic_untranslated_packets_total`); those before it have left by then, with the addresses they came with. TCP finds out about
//! smaller MTUs, since ICMP errors come back.
//!
//! `load_balancer` follows Maglev (Eisenbud and others, 2016): a table of 65,537 places, shares that differ by one place at most;
//! when a server goes, 1 or 2 of a hundred places change hands besides those it had. Connections stay with their server whatever
//! the file of servers says.
