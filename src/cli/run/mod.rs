//! `mosaic run`: whatever a configuration file names, until it is told to stop.

mod args;
mod status;

pub(crate) use self::args::RunArgs;
use self::status::StatusLine;
use super::outputs::{self, Outputs, Source, Words};
use crate::control::{Interrupt, say};
use crate::live::About;
use crate::{Builder, Report, Result, Runtime};

/// Runs the command.
///
/// # Errors
/// Where the configuration, a device or an output cannot be used; what could be done was done and reported.
pub(crate) fn run(args: &RunArgs) -> Result<()> {
    let plan = args.plan()?;
    let live = !plan.live.is_empty();
    let builder = Runtime::builder().plan(plan.clone());
    let (outputs, builder) = Outputs::open(&args.output, None, live, builder)?;
    let interrupt = Interrupt::catch()?;
    let report = drive(args, plan.metrics, builder, &outputs, &interrupt)?;
    let finished = outputs.finish()?;
    let source = if live {
        Source::Ports
    } else {
        Source::Captures(plan.captures)
    };
    outputs::report_to_humans(&args.output, &source, Words::Keys, &report, &finished)?;
    report.into_result()
}

/// Runs the shards until a signal comes, the captures end, or an output fails.
fn drive(
    args: &RunArgs,
    metrics: Option<std::net::SocketAddr>,
    builder: Builder,
    outputs: &Outputs,
    interrupt: &Interrupt,
) -> Result<Report> {
    let runtime = builder.start()?;
    let metrics = outputs::serve_metrics(metrics, &runtime)?;
    if !args.output.quiet {
        let shards = runtime.snapshot().shards.len();
        for line in lines(runtime.ports().about(), shards) {
            say(format_args!("mosaic: {line}"));
        }
        if let Some(server) = &metrics {
            say(format_args!(
                "mosaic: metrics at http://{}/metrics",
                server.address()
            ));
        }
    }
    let mut status = StatusLine::new(!args.output.quiet);
    let mut asked = false;
    runtime.drive(|runtime| {
        status.show(|| runtime.snapshot());
        if !asked && (interrupt.is_asked() || outputs.has_failed()) {
            asked = true;
            runtime.stop();
        }
    });
    status.clear();
    let report = runtime.wait();
    drop(metrics);
    report
}

/// What is in use, and what is not as it could be. Said on standard error, since standard output is for results.
fn lines(about: &About, shards: usize) -> Vec<String> {
    let mut lines = Vec::new();
    if !about.ports.is_empty() {
        let pages = if about.uses_hugepages {
            "huge pages"
        } else {
            "ordinary pages"
        };
        let s = if shards == 1 { "" } else { "s" };
        lines.push(format!(
            "{}, buffers in {pages}, {shards} shard{s}",
            about.dpdk
        ));
    }
    for port in &about.ports {
        let s = if port.queues == 1 { "" } else { "s" };
        let rss = match &port.software_rss {
            // Nothing is to be spread.
            _ if shards == 1 => String::new(),
            None => ", RSS symmetric".to_owned(),
            Some(reason) => format!(", RSS in software: {reason}"),
        };
        let checksums = port.checksums.map_or(String::new(), |by| {
            format!(", unfinished checksums finished {by}")
        });
        lines.push(format!(
            "port {}: {} ({}), {} queue{s}{rss}{checksums}",
            port.name, port.device, port.driver, port.queues
        ));
        let warnings = port.warnings.iter();
        lines.extend(warnings.map(|warning| format!("warning: port {}: {warning}", port.name)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{Finisher, PortInfo};

    #[test]
    fn the_introduction_names_devices_and_warnings() {
        assert!(lines(&About::default(), 1).is_empty(), "captures need none");
        let port = |name: &str, queues, software_rss: Option<&str>| PortInfo {
            name: name.into(),
            device: "net_null0".into(),
            driver: "net_null".into(),
            queues,
            software_rss: software_rss.map(Into::into),
            checksums: software_rss.map(|_| Finisher::DeviceTcp),
            warnings: software_rss
                .map(|_| "promiscuous mode is not possible".into())
                .into_iter()
                .collect(),
        };
        let about = About {
            ports: vec![port("left", 2, None), port("right", 1, Some("one queue"))],
            dpdk: "DPDK 22.11.11".into(),
            uses_hugepages: false,
        };
        assert_eq!(
            lines(&about, 2),
            [
                "DPDK 22.11.11, buffers in ordinary pages, 2 shards",
                "port left: net_null0 (net_null), 2 queues, RSS symmetric",
                "port right: net_null0 (net_null), 1 queue, RSS in software: one queue, \
                 unfinished checksums finished of TCP by the device, of UDP in software",
                "warning: port right: promiscuous mode is not possible",
            ]
        );
    }
}
