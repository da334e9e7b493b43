//! Arguments of `mosaic run`.

use std::path::PathBuf;

use clap::Args;

use super::super::outputs::OutputArgs;
use crate::Result;
use crate::config::Plan;

/// Watch or forward live traffic as a configuration file says
///
/// Opens the ports that the file names, or its captures, and tracks flows until SIGINT or SIGTERM; then processes what has
/// arrived, ends every flow, and prints a summary. A second signal ends the process at once. The manual page `live` has
/// examples of files.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The configuration, a TOML file
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,

    #[command(flatten)]
    pub(super) output: OutputArgs,
}

impl RunArgs {
    /// Defaults, then the configuration file, then the arguments.
    ///
    /// # Errors
    /// Where the configuration file cannot be used.
    pub(super) fn plan(&self) -> Result<Plan> {
        let mut plan = Plan::default();
        plan.read_file(&self.config)?;
        plan.metrics = self.output.metrics.or(plan.metrics);
        Ok(plan)
    }
}
