//! Prints a table of connections: who talked to whom, how far each side's TCP came, how much was sent.
//!
//! ```text
//! cargo run --example flow_monitor -- monday.pcap
//! ```
//!
//! Without an argument it reads every capture of this repository.
#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use std::sync::mpsc::{Sender, channel};

use mosaic::prelude::*;

fn main() -> mosaic::Result<()> {
    let mut captures: Vec<_> = std::env::args().skip(1).collect();
    if captures.is_empty() {
        let here = env!("CARGO_MANIFEST_DIR");
        let names = ["http", "http6", "tls", "redis", "lossy", "vlan", "dns"];
        captures = names
            .map(|name| format!("{here}/tests/captures/{name}.pcap"))
            .into();
    }
    let (rows, table) = channel();
    Runtime::builder()
        .captures(captures)
        .actor("flow-monitor", move |_shard| FlowMonitor {
            rows: rows.clone(),
        })
        .run()?;

    let mut connections: Vec<FlowSummary> = table.try_iter().collect();
    connections.sort_by_key(|connection| connection.first);
    println!(
        "{:6} {:24} {:13} {:24} {:13} {:>9} {:>9}",
        "proto", "client", "state", "server", "state", "sent", "received"
    );
    for connection in &connections {
        print(connection);
    }
    println!("{} connections", connections.len());
    Ok(())
}

/// One on each shard; all send to the same table.
struct FlowMonitor {
    rows: Sender<FlowSummary>,
}

impl Actor for FlowMonitor {
    type Flow = ();

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        shard
            .monitor_stream(None)
            .on(Hook::End, EventSet::CONN_START)
            .open()?;
        Ok(())
    }

    fn on_removed(&mut self, (): &mut (), flow: &mut FlowContext<'_>) {
        // Nobody reads the table any more only where the program is about to end.
        let _ = self.rows.send(flow.summary());
    }
}

fn print(connection: &FlowSummary) {
    let [client, server] = &connection.sides;
    // States are those of TCP; other protocols have none.
    let state = |side: &SideSummary| {
        if connection.proto == Proto::TCP {
            side.state.to_string()
        } else {
            "-".into()
        }
    };
    println!(
        "{:6} {:24} {:13} {:24} {:13} {:>9} {:>9}",
        connection.proto.to_string(),
        connection.client.to_string(),
        state(client),
        connection.server.to_string(),
        state(server),
        client.payload_bytes,
        server.payload_bytes,
    );
}
