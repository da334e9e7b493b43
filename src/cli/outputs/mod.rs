//! What `replay` and `run` write: connection log, streams as files, metrics, summary.

mod conn_log;
mod extract;
mod summary;
mod tally;
mod writer;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use indicatif::HumanCount;
use mosaic_engine::event::Filter;

use self::conn_log::ConnectionLog;
use self::extract::Extractor;
use self::summary::Summary;
pub(super) use self::summary::{Source, Words};
use self::tally::{Tally, TallyActor};
use self::writer::{Behind, Writer};
use crate::control::say;
use crate::metrics::{self, MetricsServer};
use crate::{Builder, Error, Report, Result, Runtime, filter};

/// Arguments about outputs.
#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// Write a record of each flow to PATH as JSON Lines; - is standard output, and then no summary is printed
    #[arg(long, value_name = "PATH", help_heading = "Output")]
    pub(super) conn_log: Option<PathBuf>,

    /// Add a digest of each side's stream to the records
    #[arg(
        long,
        value_enum,
        value_name = "KIND",
        requires = "conn_log",
        help_heading = "Output"
    )]
    digest: Option<DigestKind>,

    /// Serve metrics for Prometheus at http://ADDR/metrics while it runs, as in 127.0.0.1:9464
    #[arg(long, value_name = "ADDR", help_heading = "Output")]
    pub(super) metrics: Option<SocketAddr>,

    /// Print neither summary nor progress nor warnings
    #[arg(long, short, help_heading = "Output")]
    pub(super) quiet: bool,

    /// Only flows whose first packet passes this pcap-filter expression, asked inside of all tunnels
    #[arg(long, value_name = "EXPR", value_parser = filter::flows, help_heading = "Selection")]
    filter: Option<Filter>,
}

/// A digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum DigestKind {
    /// SHA-256 of the bytes of the stream, in order, without holes.
    Sha256,
}

impl OutputArgs {
    /// A connection log on standard output stands there alone.
    fn prints_summary(&self) -> bool {
        !self.quiet && self.conn_log.as_deref() != Some(Path::new("-"))
    }
}

/// Where results go, besides the summary.
pub(super) struct Outputs {
    conn_log: Option<Writer<Vec<u8>>>,
    extract: Option<Writer<extract::Block>>,
    tallies: flume::Receiver<Tally>,
}

impl Outputs {
    /// Opens what the arguments ask for, and the folder of `--extract`, and gives the builder the actors that feed it.
    /// `live`: traffic does not wait for the outputs.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub(super) fn open(
        args: &OutputArgs,
        extract: Option<&Path>,
        live: bool,
        mut builder: Builder,
    ) -> Result<(Self, Builder)> {
        let behind = if live { Behind::Loses } else { Behind::Waits };
        let conn_log = args.conn_log.as_deref();
        let conn_log = conn_log
            .map(|path| conn_log::open(path, behind))
            .transpose()?;
        if let Some(log) = &conn_log {
            let (filter, with_digest, blocks) =
                (args.filter.clone(), args.digest.is_some(), log.blocks());
            builder = builder.actor("connection-log", move |_| {
                ConnectionLog::new(filter.clone(), with_digest, blocks.clone())
            });
        }
        let extract = extract.map(extract::open).transpose()?;
        if let Some(files) = &extract {
            let (filter, blocks) = (args.filter.clone(), files.blocks());
            builder = builder.actor("extract", move |shard| {
                Extractor::new(filter.clone(), shard, blocks.clone())
            });
        }
        let (done, tallies) = flume::unbounded();
        if args.prints_summary() {
            let filter = args.filter.clone();
            builder = builder.actor("summary", move |_| {
                TallyActor::new(filter.clone(), done.clone())
            });
        }
        let outputs = Self {
            conn_log,
            extract,
            tallies,
        };
        Ok((outputs, builder))
    }

    /// Whether something cannot be written any more.
    pub(super) fn has_failed(&self) -> bool {
        self.conn_log.as_ref().is_some_and(Writer::has_failed)
            || self.extract.as_ref().is_some_and(Writer::has_failed)
    }

    /// Waits until everything is written. To be called when the shards have ended.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub(super) fn finish(self) -> Result<Finished> {
        let log = self.conn_log.map_or(Ok(0), Writer::finish);
        let files = self.extract.map_or(Ok(0), Writer::finish);
        let records_lost = log.and_then(|lost| files.map(|_| lost))?;
        let mut tally = Tally::default();
        self.tallies.try_iter().for_each(|part| tally.merge(part));
        Ok(Finished {
            tally,
            records_lost,
        })
    }
}

/// What the outputs came to.
pub(super) struct Finished {
    tally: Tally,
    /// Records that did not reach the connection log because it was behind live traffic.
    records_lost: u64,
}

/// Serves metrics where they are asked for, until the result is dropped.
///
/// # Errors
/// [`Error::Metrics`].
pub(super) fn serve_metrics(
    address: Option<SocketAddr>,
    runtime: &Runtime,
) -> Result<Option<MetricsServer>> {
    let serve = |address| metrics::serve(address, runtime.watch());
    Ok(address.map(serve).transpose()?)
}

/// The summary, and whatever makes the results other than a reader would expect.
///
/// # Errors
/// [`Error::Output`].
pub(super) fn report_to_humans(
    args: &OutputArgs,
    source: &Source,
    words: Words,
    report: &Report,
    finished: &Finished,
) -> Result<()> {
    if args.quiet {
        return Ok(());
    }
    let figures = report.snapshot();
    if args.prints_summary() {
        let summary = Summary {
            source,
            words,
            figures: &figures,
            tally: &finished.tally,
        };
        write!(io::stdout().lock(), "{summary}").map_err(|source| Error::Output {
            path: "standard output".into(),
            source,
        })?;
    }
    for line in summary::bounds_hit(&figures, words) {
        say(format_args!("mosaic: a bound was hit: {line}"));
    }
    if finished.records_lost > 0 {
        say(format_args!(
            "mosaic: {} records were lost because the connection log could not be written fast enough",
            HumanCount(finished.records_lost)
        ));
    }
    for actor in report.actor_panics.iter().filter(|actor| actor.panics > 0) {
        say(format_args!(
            "mosaic: {} panicked {} times: its results are incomplete",
            actor.name, actor.panics
        ));
    }
    Ok(())
}
