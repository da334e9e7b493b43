//! `mosaic replay`: captures to flows, streams and records.

mod args;
mod conn_log;
mod extract;
mod progress;
mod summary;
mod tally;
mod writer;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use indicatif::HumanBytes;

pub(crate) use self::args::ReplayArgs;
use self::conn_log::ConnectionLog;
use self::extract::Extractor;
use self::progress::Progress;
use self::summary::Summary;
use self::tally::{Tally, TallyActor};
use self::writer::Writer;
use crate::config::Plan;
use crate::control::Interrupt;
use crate::{Builder, Error, Report, Result, Runtime, metrics};

/// Runs the command.
///
/// # Errors
/// Where something could not be read or written; what could be was processed and reported.
pub(crate) fn run(args: &ReplayArgs) -> Result<()> {
    let plan = args.plan()?;
    check_captures(&plan.captures, args.conn_log.as_deref())?;
    let (outputs, builder) = Outputs::open(args, Runtime::builder().plan(plan.clone()))?;
    let interrupt = Interrupt::catch()?;
    let report = drive(args, &plan, builder, &outputs, &interrupt)?;
    let tally = outputs.finish()?;
    report_to_humans(args, &plan, &report, &tally, &interrupt)?;
    report.into_result()
}

/// Runs the shards until the captures end, a signal comes, or an output fails.
fn drive(
    args: &ReplayArgs,
    plan: &Plan,
    builder: Builder,
    outputs: &Outputs,
    interrupt: &Interrupt,
) -> Result<Report> {
    let runtime = builder.start()?;
    let metrics = match plan.metrics {
        Some(address) => {
            let handle = runtime.handle();
            Some(metrics::serve(address, move || handle.snapshots())?)
        }
        None => None,
    };
    let progress = Progress::new(!args.quiet);
    runtime.drive(|runtime| {
        progress.show(|| runtime.snapshot());
        if interrupt.is_asked() || outputs.has_failed() {
            runtime.stop();
        }
    });
    progress.clear();
    let report = runtime.wait();
    drop(metrics);
    report
}

/// Where results go, besides the summary.
struct Outputs {
    conn_log: Option<Writer<Vec<u8>>>,
    extract: Option<Writer<extract::Block>>,
    tallies: flume::Receiver<Tally>,
}

impl Outputs {
    /// Opens what the arguments ask for and gives the builder the actors that feed it.
    fn open(args: &ReplayArgs, mut builder: Builder) -> Result<(Self, Builder)> {
        let conn_log = args.conn_log.as_deref().map(conn_log::open).transpose()?;
        if let Some(log) = &conn_log {
            let (filter, with_digest, blocks) =
                (args.filter.clone(), args.digest.is_some(), log.blocks());
            builder = builder.actor("connection-log", move |_| {
                ConnectionLog::new(filter.clone(), with_digest, blocks.clone())
            });
        }
        let extract = args.extract.as_deref().map(extract::open).transpose()?;
        if let Some(files) = &extract {
            let (filter, blocks) = (args.filter.clone(), files.blocks());
            builder = builder.actor("extract", move |shard| {
                Extractor::new(filter.clone(), shard, blocks.clone())
            });
        }
        let (done, tallies) = flume::unbounded();
        if prints_summary(args) {
            let filter = args.filter.clone();
            builder = builder.actor("summary", move |_| {
                TallyActor::new(filter.clone(), done.clone())
            });
        }
        Ok((
            Self {
                conn_log,
                extract,
                tallies,
            },
            builder,
        ))
    }

    fn has_failed(&self) -> bool {
        self.conn_log.as_ref().is_some_and(Writer::has_failed)
            || self.extract.as_ref().is_some_and(Writer::has_failed)
    }

    /// Waits until everything is written. To be called when the shards have ended.
    fn finish(self) -> Result<Tally> {
        let log = self.conn_log.map_or(Ok(()), Writer::finish);
        let files = self.extract.map_or(Ok(()), Writer::finish);
        log.and(files)?;
        let mut sum = Tally::default();
        self.tallies.try_iter().for_each(|tally| sum.merge(tally));
        Ok(sum)
    }
}

/// A connection log on standard output stands there alone.
fn prints_summary(args: &ReplayArgs) -> bool {
    !args.quiet && args.conn_log.as_deref() != Some(Path::new("-"))
}

/// The summary, and whatever makes the results other than a reader would expect.
fn report_to_humans(
    args: &ReplayArgs,
    plan: &Plan,
    report: &Report,
    tally: &Tally,
    interrupt: &Interrupt,
) -> Result<()> {
    if args.quiet {
        return Ok(());
    }
    let figures = report.snapshot();
    if prints_summary(args) {
        let summary = Summary {
            captures: &plan.captures,
            figures: &figures,
            tally,
        };
        write!(io::stdout().lock(), "{summary}").map_err(|source| Error::Output {
            path: "standard output".into(),
            source,
        })?;
    }
    for line in summary::bounds_hit(&figures) {
        super::say(format_args!("mosaic: a bound was hit: {line}"));
    }
    for actor in report.actor_panics.iter().filter(|actor| actor.panics > 0) {
        super::say(format_args!(
            "mosaic: {} panicked {} times: its results are incomplete",
            actor.name, actor.panics
        ));
    }
    if interrupt.is_asked() {
        let read = match figures.progress() {
            Some((done, total)) => format!(" after {} of {}", HumanBytes(done), HumanBytes(total)),
            None => String::new(),
        };
        super::say(format_args!("mosaic: interrupted{read}"));
    }
    Ok(())
}

/// Refuses captures that cannot be opened, and a log that is one of them, before anything is written.
fn check_captures(captures: &[PathBuf], conn_log: Option<&Path>) -> Result<()> {
    let log = conn_log.and_then(|path| fs::metadata(path).ok());
    for path in captures.iter().filter(|path| *path != Path::new("-")) {
        let refused = |source| {
            Error::Port(mosaic_port::PortError::Io {
                path: path.clone(),
                source,
            })
        };
        let file = fs::metadata(path).map_err(refused)?;
        // Opening a pipe and closing it again would take it from its writer.
        if !file.is_file() {
            continue;
        }
        File::open(path).map_err(refused)?;
        if log
            .as_ref()
            .is_some_and(|log| (log.dev(), log.ino()) == (file.dev(), file.ino()))
        {
            return Err(refused(io::Error::other(
                "is both a capture and the connection log",
            )));
        }
    }
    Ok(())
}
