//! The capture corpus with independent truth, where it is there: `MOSAIC_CORPUS`, by default `../shared/corpus`.
//!
//! The checker lies beside the corpus, in `../tools/check_corpus.py`, and needs Python 3. Without the corpus every test
//! here says that it was skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use mosaic::Runtime;
use mosaic::prelude::Checksums;

const SHARD_COUNTS: [u16; 3] = [1, 2, 4];

#[test]
fn one_shard_tells_the_truth() {
    check_truth(1);
}

#[test]
fn two_shards_tell_the_truth() {
    check_truth(2);
}

#[test]
fn four_shards_tell_the_truth() {
    check_truth(4);
}

fn check_truth(shards: u16) {
    let Some(corpus) = corpus() else { return };
    let checker = corpus.join("../tools/check_corpus.py");
    let output = Command::new("python3")
        .arg(checker)
        .args([
            "--bin",
            env!("CARGO_BIN_EXE_mosaic"),
            "--shards",
            &shards.to_string(),
            "--corpus",
        ])
        .arg(&corpus)
        .output()
        .expect("python3 runs");
    let said = String::from_utf8_lossy(&output.stdout);
    eprintln!(
        "{shards} shards: {}",
        said.lines().last().unwrap_or_default()
    );
    assert!(
        output.status.success(),
        "{shards} shards\n{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Byte for byte, but for the order. In a damaged file, too, the same must have been read before the damage.
#[test]
fn records_are_the_same_for_any_number_of_shards() {
    let Some(corpus) = corpus() else { return };
    let mut faults = Vec::new();
    let mut records = 0;
    for file in captures(&corpus) {
        let [one, two, four] = SHARD_COUNTS.map(|shards| sorted_records(&file, shards));
        records += one.len();
        if one != two || one != four {
            faults.push(file);
        }
    }
    assert!(records > 1000, "only {records} records were compared");
    assert!(
        faults.is_empty(),
        "records depend on the number of shards: {faults:#?}"
    );
}

fn sorted_records(file: &Path, shards: u16) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_mosaic"))
        .args([
            "replay",
            "--conn-log",
            "-",
            "--digest",
            "sha256",
            "--checksums",
            "ignore",
            "--idle-timeout",
            "never",
        ])
        .args(["--shards", &shards.to_string()])
        .arg(file)
        .output()
        .expect("mosaic runs");
    let text = String::from_utf8(output.stdout).expect("records are text");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// Every frame is accounted for, whatever is in it, and so is every packet that went from one shard to another.
#[test]
fn the_books_balance() {
    let Some(corpus) = corpus() else { return };
    let mut faults = Vec::new();
    let (mut balanced, mut handed_over) = (0, 0);
    for file in captures(&corpus) {
        let builder = Runtime::builder()
            .capture(&file)
            .shards(2)
            .checksums(Checksums::Verify);
        // A file that is no capture has no books.
        let Ok(runtime) = builder.start() else {
            continue;
        };
        let report = runtime.wait().expect("every shard ends well");
        let snapshot = report.snapshot();
        handed_over += snapshot.hand_over().handed_out;
        if snapshot.is_balanced() {
            balanced += 1;
        } else {
            faults.push((file, snapshot));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(balanced > 100, "only {balanced} files were looked at");
    assert!(
        handed_over > 1000,
        "only {handed_over} packets went from shard to shard"
    );
}

/// Where the corpus is; says so where it is not.
fn corpus() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let corpus = std::env::var_os("MOSAIC_CORPUS").map_or_else(default, PathBuf::from);
    if corpus.join("manifest.json").is_file() {
        return Some(corpus);
    }
    eprintln!(
        "skipped: no corpus at {}; set MOSAIC_CORPUS to its folder",
        corpus.display()
    );
    None
}

/// Every capture the manifest names, malformed ones too.
fn captures(corpus: &Path) -> Vec<PathBuf> {
    let text =
        std::fs::read_to_string(corpus.join("manifest.json")).expect("manifest of the corpus");
    let manifest: serde_json::Value = serde_json::from_str(&text).expect("manifest is JSON");
    let files = manifest["files"].as_array().expect("files of the manifest");
    files
        .iter()
        .filter_map(|entry| entry["file"].as_str())
        .map(|file| corpus.join(file))
        .collect()
}
