//! `mosaic replay`: captures to flows, streams and records.

mod args;
mod progress;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use indicatif::HumanBytes;

pub(crate) use self::args::ReplayArgs;
use self::progress::Progress;
use super::outputs::{self, Outputs, Source, Words};
use crate::config::Plan;
use crate::control::{Interrupt, say};
use crate::{Builder, Error, Report, Result, Runtime};

/// Runs the command.
///
/// # Errors
/// Where something could not be read or written; what could be was processed and reported.
pub(crate) fn run(args: &ReplayArgs) -> Result<()> {
    let plan = args.plan()?;
    if !plan.live.is_empty() {
        return Err(Error::NotForReplay);
    }
    check_captures(&plan.captures, args.output.conn_log.as_deref())?;
    let builder = Runtime::builder().plan(plan.clone());
    let (outputs, builder) = Outputs::open(&args.output, args.extract.as_deref(), false, builder)?;
    let interrupt = Interrupt::catch()?;
    let report = drive(args, &plan, builder, &outputs, &interrupt)?;
    let finished = outputs.finish()?;
    let source = Source::Captures(plan.captures);
    outputs::report_to_humans(&args.output, &source, Words::Options, &report, &finished)?;
    if interrupt.is_asked() && !args.output.quiet {
        report_interruption(&report);
    }
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
    let metrics = outputs::serve_metrics(plan.metrics, &runtime)?;
    let progress = Progress::new(!args.output.quiet);
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

/// What a run that was ended early has read.
fn report_interruption(report: &Report) {
    let read = match report.snapshot().progress() {
        Some((done, total)) => format!(" after {} of {}", HumanBytes(done), HumanBytes(total)),
        None => String::new(),
    };
    say(format_args!("mosaic: interrupted{read}"));
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
