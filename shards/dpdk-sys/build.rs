//! Finds the installed libdpdk with pkg-config, and compiles the shim against its headers.

use std::process::Command;

/// The oldest version the shim knows.
const OLDEST: &str = "22.11";

fn main() {
    for file in ["shim/shim.c", "shim/shim.h"] {
        println!("cargo::rerun-if-changed={file}");
    }
    match pkg_config::Config::new()
        .atleast_version(OLDEST)
        .probe("libdpdk")
    {
        Ok(library) => compile(&library),
        Err(error) => {
            let found = match error {
                pkg_config::Error::ProbeFailure { .. } => "libdpdk was not found, or is older than",
                _ => "pkg-config could not be asked for libdpdk of at least version",
            };
            println!(
                "cargo::error={found} {OLDEST}: install the package libdpdk-dev (and pkg-config), or build without \
                 `--features dpdk`"
            );
        }
    }
}

fn compile(library: &pkg_config::Library) {
    cc::Build::new()
        .file("shim/shim.c")
        .includes(&library.include_paths)
        .flags(machine_flags())
        .std("gnu11")
        .opt_level(3)
        .warnings(true)
        .extra_warnings(true)
        // Of DPDK's own inline functions.
        .flag_if_supported("-Wno-unused-parameter")
        .flag_if_supported("-Wno-deprecated-declarations")
        .compile("mosaic_dpdk_shim");
}

/// The instruction set that the headers' inline functions need, such as `-march=corei7`; the crate `pkg-config` keeps
/// only include paths and definitions.
fn machine_flags() -> Vec<String> {
    let program = std::env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let output = Command::new(program)
        .args(["--cflags-only-other", "libdpdk"])
        .output()
        .expect("pkg-config answered a moment ago");
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .filter(|flag| flag.starts_with("-m"))
        .map(str::to_owned)
        .collect()
}
