//! Where the examples are, once they are built.

use std::path::PathBuf;
use std::process::Command;

/// The program of an example. Cargo builds the examples for some ways of running tests only, and then not always the latest,
/// so that they are built here; where nothing is to be done that takes a moment.
pub(crate) fn example(name: &str) -> PathBuf {
    // target/debug/deps/examples-0123456789abcdef
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--quiet",
        "--offline",
        "--workspace",
        "--examples",
        "--target-dir",
    ]);
    cargo.arg(profile.parent().unwrap());
    // As everything else was built, so that little is left to do.
    if cfg!(feature = "dpdk") {
        cargo.args(["--features", "dpdk"]);
    }
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let built = cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    profile.join("examples").join(name)
}
