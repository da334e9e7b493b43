//! The `mosaic` command; see [`mosaic::cli`].

fn main() -> std::process::ExitCode {
    mosaic::cli::main()
}
