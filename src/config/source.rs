//! The arguments of a program that say where its packets come from.

use std::path::PathBuf;

use super::{ConfigError, Plan};

/// Where packets come from, as arguments of a command line: captures by their names, or `--config FILE`, not both. For programs
/// with [clap](https://docs.rs/clap/4) 4, beside arguments of their own:
///
/// ```
/// use clap::Parser;
/// use mosaic::config::Source;
///
/// /// Counts packets
/// #[derive(Debug, Parser)]
/// struct Args {
///     #[command(flatten)]
///     source: Source,
///     /// Prints the count so often
///     #[arg(long, value_name = "SECONDS")]
///     every: Option<u64>,
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let args = Args::parse_from(["count", "monday.pcap", "--every", "5"]);
/// let plan = args.source.plan_or(["tests/captures/http.pcap"])?;
/// # assert_eq!(plan.captures, [std::path::Path::new("monday.pcap")]);
/// # assert_eq!(args.every, Some(5));
/// let runtime = mosaic::Runtime::builder().plan(plan);
/// # Ok(())
/// # }
/// ```
// `about`: or the text above were the help of programs that have none of their own.
#[derive(Clone, PartialEq, Eq, Default, Debug, clap::Args)]
#[command(about = None, long_about = None)]
pub struct Source {
    /// Captures; without one, some that come with the program
    pub captures: Vec<PathBuf>,
    /// Live ports, from a configuration file of `mosaic run`
    #[arg(long, value_name = "FILE", conflicts_with = "captures")]
    pub config: Option<PathBuf>,
}

impl Source {
    /// What the configuration file says; without one, the captures are read, or `captures` where none is named, and the rest is
    /// as by default ([`Plan::file_or_captures`]).
    ///
    /// # Errors
    /// [`ConfigError`], naming file, line and key. Captures are opened only when the plan is carried out.
    pub fn plan_or(
        &self,
        captures: impl IntoIterator<Item = impl Into<PathBuf>>,
    ) -> Result<Plan, ConfigError> {
        let captures = if self.captures.is_empty() {
            captures.into_iter().map(Into::into).collect()
        } else {
            self.captures.clone()
        };
        Plan::file_or_captures(self.config.as_deref(), captures)
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;
    use clap::{CommandFactory, Parser};

    use super::*;

    // Says nothing about itself.
    #[derive(Debug, Parser)]
    struct Args {
        #[command(flatten)]
        source: Source,
        #[arg(long)]
        verbose: bool,
    }

    const OWN: [&str; 2] = ["own.pcap", "other.pcap"];

    fn read(arguments: &[&str]) -> Result<Source, clap::Error> {
        let args = Args::try_parse_from([&["program"], arguments].concat())?;
        assert_eq!(args.verbose, arguments.contains(&"--verbose"));
        Ok(args.source)
    }

    #[test]
    fn captures_that_are_named_take_the_place_of_others() {
        for (arguments, expected) in [
            (&[] as &[_], &OWN as &[_]),
            (&["--verbose"], &OWN),
            (&["a.pcap"], &["a.pcap"]),
            (&["b.pcap", "--verbose", "a.pcap"], &["b.pcap", "a.pcap"]),
            (&["-"], &["-"]),
        ] {
            let plan = read(arguments).unwrap().plan_or(OWN).unwrap();
            let expected: Vec<PathBuf> = expected.iter().map(Into::into).collect();
            assert_eq!(plan.captures, expected, "{arguments:?}");
        }
    }

    #[test]
    fn a_file_takes_the_place_of_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mosaic.toml");
        let path = path.to_str().unwrap();
        std::fs::write(path, "[source]\ncaptures = [\"a.pcap\"]\n").unwrap();
        let source = read(&["--config", path]).unwrap();
        let plan = source.plan_or(OWN).unwrap();
        assert_eq!(plan.captures, [PathBuf::from("a.pcap")]);
        std::fs::write(path, "[source]\n").unwrap();
        assert!(source.plan_or(OWN).unwrap().captures.is_empty());
        std::fs::write(path, "[sauce]\n").unwrap();
        let error = source.plan_or(OWN).unwrap_err();
        assert!(error.to_string().contains("mosaic.toml:1"), "{error}");
    }

    #[test]
    fn captures_and_a_file_exclude_each_other() {
        for arguments in [
            ["--config", "a.toml", "a.pcap"],
            ["a.pcap", "--config", "a.toml"],
        ] {
            let error = read(&arguments).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ArgumentConflict, "{error}");
        }
    }

    #[test]
    fn what_a_program_says_about_itself_is_its_own() {
        assert!(Args::command().get_about().is_none());
        assert!(Args::command().get_long_about().is_none());
    }
}
