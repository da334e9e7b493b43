//! The `mosaic` command; see [`mosaic::cli`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    mosaic::cli::main()
}
