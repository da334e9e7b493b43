//! The `mosaic` command: arguments in, builder called, error to exit status.

mod bench;
mod doctor;
mod outputs;
mod replay;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::control::say;

/// Flows, streams and records from packets.
///
/// Exit status: 0 done, 1 failed, 2 wrong usage. A failure is one line on standard error that names the file, key or
/// shard. The environment variable MOSAIC_LOG sets what is logged to standard error: error, warn (default), info, debug
/// or trace, also by module, as in `mosaic_runtime=debug`.
#[derive(Debug, Parser)]
#[command(name = "mosaic", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Replay(Box<replay::ReplayArgs>),
    Run(run::RunArgs),
    Doctor(doctor::DoctorArgs),
    /// Measure how fast shards are
    Bench(bench::BenchArgs),
}

/// Runs the command that the process's arguments ask for.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("MOSAIC_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match arguments.command {
        Command::Replay(arguments) => status(replay::run(&arguments)),
        Command::Run(arguments) => status(run::run(&arguments)),
        Command::Doctor(arguments) => doctor::run(&arguments).unwrap_or_else(|error| {
            say(format_args!("mosaic: standard output: {error}"));
            ExitCode::FAILURE
        }),
        Command::Bench(arguments) => status(bench::run(arguments)),
    }
}

fn status(result: Result<(), impl std::fmt::Display>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("mosaic: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Arguments::command().debug_assert();
    }
}
