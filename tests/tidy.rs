//! The house rules, held by a test: who may depend on whom, where `unsafe` may stand, how long things may get.
//!
//! Every check collects its faults and names them all. Text checks work on formatted source (`cargo fmt --check` holds
//! that), line by line, and do without a parser.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, TargetKind};

/// Which of our crates may name which others: crate, for its code, for its tests only.
const EDGES: &[(&str, &[&str], &[&str])] = &[
    (
        "mosaic",
        &[
            "mosaic-runtime",
            "mosaic-engine",
            "mosaic-port",
            "mosaic-dpdk",
        ],
        &["mosaic-sim"],
    ),
    (
        "mosaic-runtime",
        &["mosaic-engine", "mosaic-port"],
        &["mosaic-sim"],
    ),
    ("mosaic-engine", &["mosaic-port"], &["mosaic-sim"]),
    ("mosaic-port", &[], &[]),
    ("mosaic-sim", &["mosaic-engine", "mosaic-port"], &[]),
    ("mosaic-dpdk", &["mosaic-dpdk-sys", "mosaic-port"], &[]),
    ("mosaic-dpdk-sys", &[], &[]),
];

/// Everything the data plane's pure crates are built from. A line here is a decision, not a convenience.
const EXTERNAL: &[(&str, &[&str])] = &[
    ("mosaic-engine", &["arrayvec", "bitflags", "thiserror"]),
    ("mosaic-port", &["arrayvec", "rustix", "thiserror"]),
];

/// Crates that only one of ours may name: whoever mentions them writes that crate's kind of code.
const CONFINED: &[(&str, &str)] = &[
    ("glommio", "mosaic-runtime"),
    ("rtrb", "mosaic-runtime"),
    ("pcap", "mosaic"),
    ("cc", "mosaic-dpdk-sys"),
    ("pkg-config", "mosaic-dpdk-sys"),
];

/// The files and folders in which `unsafe` may stand.
const UNSAFE_ALLOWED: &[&str] = &[
    "shards/port/src/large_pages.rs",
    "shards/port/src/prefetch.rs",
    "shards/dpdk/src/",
    "shards/dpdk-sys/src/",
];
/// The crates that are there for it.
const UNSAFE_CRATES: &[&str] = &["mosaic-dpdk", "mosaic-dpdk-sys"];

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
const FILE_BYTES_MAX: u64 = 1_000_000;

/// Files longer than [`FILE_LINES_MAX`], with the length they may have. Only ever shrinks.
const LONG_FILES: &[(&str, usize)] = &[];
/// Functions longer than [`FUNCTION_LINES_MAX`], as `file name`, with the length they may have. Only ever shrinks.
const LONG_FUNCTIONS: &[(&str, usize)] = &[];

const TOP_LEVEL: &[&str] = &[
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    "README.md",
    "clippy.toml",
    "dashboards",
    "deny.toml",
    "examples",
    "rustfmt.toml",
    "shards",
    "src",
    "tests",
];

/// What must not be found in any text: notes to oneself, places of one machine, package registries.
const FORBIDDEN_TEXT: &[&str] = &[
    "TODO",
    "FIXME",
    "/root/",
    "/home/",
    "/Users/",
    "/work/",
    "registry.",
    "artifactory",
    "index.crates.io",
];

#[test]
fn our_crates_depend_on_each_other_as_designed() {
    let metadata = metadata();
    let mut faults = Faults::default();
    let mut edges_seen = 0;
    for package in &metadata.packages {
        let name = package.name.as_str();
        let Some((_, code, tests)) = EDGES.iter().find(|(of, ..)| *of == name) else {
            faults.add(format_args!("{name} is not in the list of our crates"));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|d| d.path.is_some()) {
            edges_seen += 1;
            let to = dependency.name.as_str();
            let allowed = code.contains(&to)
                || (dependency.kind == DependencyKind::Development && tests.contains(&to));
            // A crate's integration tests may ask for its own features.
            if !allowed && to != name {
                faults.add(format_args!("{name} must not depend on {to}"));
            }
        }
    }
    assert_eq!(
        metadata.packages.len(),
        EDGES.len(),
        "crates in the workspace"
    );
    assert!(edges_seen >= 8, "only {edges_seen} edges were looked at");
    faults.none();
}

#[test]
fn pure_crates_depend_on_nothing_but_the_list() {
    let metadata = metadata();
    for (name, expected) in EXTERNAL {
        let package = metadata
            .packages
            .iter()
            .find(|p| p.name.as_str() == *name)
            .expect("crate in the workspace");
        let mut found: Vec<&str> = package
            .dependencies
            .iter()
            .filter(|d| d.kind != DependencyKind::Development && d.path.is_none())
            .map(|d| d.name.as_str())
            .collect();
        found.sort_unstable();
        assert_eq!(&found, expected, "external dependencies of {name}");
    }
}

#[test]
fn confined_crates_stay_where_they_are() {
    let metadata = metadata();
    let mut faults = Faults::default();
    for (confined, home) in CONFINED {
        let users: Vec<&str> = metadata
            .packages
            .iter()
            .filter(|p| p.dependencies.iter().any(|d| d.name == *confined))
            .map(|p| p.name.as_str())
            .collect();
        if users.iter().any(|user| user != home) {
            faults.add(format_args!(
                "{confined} is for {home} only, used by {users:?}"
            ));
        }
    }
    faults.none();
}

#[test]
fn every_profile_unwinds() {
    let manifest = toml_file("Cargo.toml");
    let profiles = manifest["profile"].as_table().expect("[profile] table");
    assert!(
        profiles.contains_key("release") && profiles.contains_key("dev"),
        "release and dev are stated"
    );
    for (name, profile) in profiles {
        let panic = profile.get("panic").and_then(toml::Value::as_str);
        assert_eq!(
            panic,
            Some("unwind"),
            "profile.{name}: a panic of an actor must not end the process"
        );
    }
}

#[test]
fn crates_inherit_lints_and_package_fields() {
    let mut faults = Faults::default();
    for manifest_path in manifests() {
        let manifest = toml_file(&manifest_path);
        let inherits = |table: &str, key: Option<&str>| {
            let value = manifest
                .get(table)
                .and_then(|t| key.map_or(Some(t), |key| t.get(key)));
            value
                .and_then(|v| v.get("workspace"))
                .and_then(toml::Value::as_bool)
                == Some(true)
        };
        if !inherits("lints", None) {
            faults.add(format_args!(
                "{manifest_path}: [lints] workspace = true is missing"
            ));
        }
        for key in ["version", "edition", "rust-version", "license"] {
            if !inherits("package", Some(key)) {
                faults.add(format_args!(
                    "{manifest_path}: {key}.workspace = true is missing"
                ));
            }
        }
    }
    faults.none();
}

#[test]
fn unsafe_code_stands_only_where_allowed() {
    let mut faults = Faults::default();
    let metadata = metadata();
    let safe_crates = metadata
        .packages
        .iter()
        .filter(|p| !UNSAFE_CRATES.contains(&p.name.as_str()));
    for package in safe_crates {
        for target in package.targets.iter().filter(|t| {
            t.kind
                .iter()
                .any(|k| matches!(k, TargetKind::Lib | TargetKind::Bin))
        }) {
            let root = fs::read_to_string(&target.src_path).expect("crate root");
            let denial = if package.name.as_str() == "mosaic-port" {
                "#![deny(unsafe_code)]"
            } else {
                "#![forbid(unsafe_code)]"
            };
            if !root.contains(denial) {
                faults.add(format_args!("{}: {denial} is missing", target.src_path));
            }
        }
    }
    let allowed = |path: &str| UNSAFE_ALLOWED.iter().any(|place| path.starts_with(place));
    for source in rust_sources().filter(|s| !allowed(&s.path)) {
        for (number, line) in source.code_lines() {
            if [
                "unsafe {",
                "unsafe fn",
                "unsafe impl",
                "unsafe extern",
                "unsafe trait",
            ]
            .iter()
            .any(|word| line.contains(word))
            {
                faults.add(format_args!(
                    "{}:{number}: unsafe code belongs to {UNSAFE_ALLOWED:?}",
                    source.path
                ));
            }
        }
    }
    faults.none();
}

#[test]
fn the_engine_has_no_std() {
    let root = read("shards/engine/src/lib.rs");
    assert!(root.contains("#![no_std]"), "the engine is no_std");
}

#[test]
fn files_and_functions_stay_small() {
    let mut faults = Faults::default();
    for source in product_sources() {
        let lines = source.product_lines().count();
        check_length(
            &mut faults,
            "file",
            &source.path,
            lines,
            FILE_LINES_MAX,
            LONG_FILES,
        );
        for function in functions(source.product_lines()) {
            let name = format!("{} {}", source.path, function.name);
            check_length(
                &mut faults,
                "function",
                &name,
                function.lines,
                FUNCTION_LINES_MAX,
                LONG_FUNCTIONS,
            );
        }
    }
    for (name, _) in LONG_FILES.iter().chain(LONG_FUNCTIONS) {
        let file = name.split(' ').next().unwrap_or(name);
        if !root().join(file).exists() {
            faults.add(format_args!(
                "{name}: is gone, take it off the list of exceptions"
            ));
        }
    }
    faults.none();
}

fn check_length(
    faults: &mut Faults,
    what: &str,
    name: &str,
    lines: usize,
    max: usize,
    exceptions: &[(&str, usize)],
) {
    match exceptions.iter().find(|(of, _)| *of == name) {
        Some(_) if lines <= max => faults.add(format_args!(
            "{name}: short enough now, take it off the list of exceptions"
        )),
        Some((_, allowed)) if lines > *allowed => {
            faults.add(format_args!("{name}: grew from {allowed} to {lines} lines"))
        }
        None if lines > max => faults.add(format_args!(
            "{name}: this {what} has {lines} lines, {max} are the limit"
        )),
        _ => {}
    }
}

#[test]
fn accessors_are_not_called_get() {
    let mut faults = Faults::default();
    for source in rust_sources() {
        for (number, line) in source.code_lines() {
            if line.contains("fn get_") {
                faults.add(format_args!(
                    "{}:{number}: name it by what it gives",
                    source.path
                ));
            }
        }
    }
    faults.none();
}

#[test]
fn texts_hold_no_private_notes_and_no_places_of_one_machine() {
    let mut faults = Faults::default();
    for path in repository_files()
        .into_iter()
        .filter(|p| is_text(p) && p != "tests/tidy.rs" && p != "Cargo.lock")
    {
        for (number, line) in read(&path).lines().enumerate() {
            for word in FORBIDDEN_TEXT.iter().filter(|word| line.contains(*word)) {
                faults.add(format_args!("{path}:{}: {word}", number + 1));
            }
        }
    }
    faults.none();
}

#[test]
fn dependencies_come_from_crates_io() {
    let lock = read("Cargo.lock");
    let sources: Vec<&str> = lock
        .lines()
        .filter(|line| line.starts_with("source = "))
        .collect();
    assert!(!sources.is_empty(), "Cargo.lock names sources");
    for source in sources {
        assert_eq!(
            source,
            "source = \"registry+https://github.com/rust-lang/crates.io-index\""
        );
    }
}

#[test]
fn files_are_at_most_a_megabyte() {
    let mut faults = Faults::default();
    for path in repository_files() {
        let bytes = fs::metadata(root().join(&path)).expect("file").len();
        if bytes > FILE_BYTES_MAX {
            faults.add(format_args!("{path}: {bytes} bytes"));
        }
    }
    faults.none();
}

#[test]
fn the_top_level_is_as_designed() {
    let mut faults = Faults::default();
    for path in repository_files() {
        let first = path.split('/').next().unwrap_or(&path);
        if !TOP_LEVEL.contains(&first) {
            faults.add(format_args!(
                "{first}: not part of the house, see the list of the top level"
            ));
        }
    }
    for expected in TOP_LEVEL {
        if !root().join(expected).exists() {
            faults.add(format_args!("{expected}: missing"));
        }
    }
    faults.none();
}

#[test]
fn links_between_documents_resolve() {
    let mut faults = Faults::default();
    let mut seen = 0;
    for path in repository_files()
        .into_iter()
        .filter(|p| p.ends_with(".md"))
    {
        let folder = root().join(&path).parent().expect("folder").to_path_buf();
        for target in link_targets(&read(&path)) {
            seen += 1;
            if !folder.join(&target).exists() {
                faults.add(format_args!(
                    "{path}: link to {target}, which does not exist"
                ));
            }
        }
    }
    assert!(seen > 0, "no link was looked at");
    faults.none();
}

#[test]
fn commands_of_the_readme_exist() {
    let makefile = read("Makefile");
    let readme = read("README.md");
    let code = code_of(&readme);
    let arguments = |program: &str| -> Vec<&str> {
        let calls = code.iter().filter_map(|line| line.strip_prefix(program));
        calls
            .map(leading_word)
            .filter(|word| !word.is_empty())
            .collect()
    };
    let targets = arguments("make ");
    let commands = [arguments("mosaic "), arguments("target/release/mosaic ")].concat();
    assert!(
        targets.contains(&"demo") && targets.contains(&"test"),
        "the README shows make demo and make test"
    );
    assert!(!commands.is_empty(), "the README shows a mosaic command");
    let mut faults = Faults::default();
    for target in targets {
        if !makefile.lines().any(|line| {
            line.strip_prefix(target)
                .is_some_and(|rest| rest.starts_with(':'))
        }) {
            faults.add(format_args!("make {target}: no such target"));
        }
    }
    for command in commands {
        let help = std::process::Command::new(env!("CARGO_BIN_EXE_mosaic"))
            .args([command, "--help"])
            .output()
            .expect("mosaic runs");
        if !help.status.success() {
            faults.add(format_args!("mosaic {command}: no such command"));
        }
    }
    faults.none();
}

// --- what the checks look at ------------------------------------------------------------------------------------------

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn toml_file(path: &str) -> toml::Table {
    read(path)
        .parse()
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn manifests() -> Vec<String> {
    let found: Vec<String> = repository_files()
        .into_iter()
        .filter(|p| p.ends_with("Cargo.toml") && !p.starts_with("tests/fuzz/"))
        .collect();
    assert_eq!(found.len(), EDGES.len(), "manifests");
    found
}

/// Every file of the repository, relative to its root; not what builds, fuzzers and editors leave beside it.
fn repository_files() -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("folder of the repository") {
            let entry = entry.expect("entry of a folder");
            let path = folder.join(entry.file_name());
            let name = path.to_str().expect("names are UTF-8").to_owned();
            if is_left_over(&name) {
                continue;
            }
            if entry.file_type().expect("file type").is_dir() {
                folders.push(path);
            } else {
                files.push(name);
            }
        }
    }
    assert!(files.len() > 50, "only {} files found", files.len());
    files.sort_unstable();
    files
}

fn is_left_over(path: &str) -> bool {
    const IGNORED: &[&str] = &[
        "target",
        "tests/fuzz/target",
        "tests/fuzz/artifacts",
        "tests/fuzz/coverage",
    ];
    let hidden = path.starts_with('.') && !path.starts_with(".ci") && path != ".gitignore";
    hidden || IGNORED.contains(&path) || path.ends_with(".profraw") || path.ends_with("__pycache__")
}

fn is_text(path: &str) -> bool {
    let is_seed = path.starts_with("tests/fuzz/corpus/");
    !is_seed
        && !["pcap", "pcapng", "bin", "png"]
            .iter()
            .any(|extension| path.ends_with(&format!(".{extension}")))
}

struct Source {
    path: String,
    text: String,
}

/// All Rust files but this one.
fn rust_sources() -> impl Iterator<Item = Source> {
    let paths = repository_files()
        .into_iter()
        .filter(|p| p.ends_with(".rs") && p != "tests/tidy.rs");
    paths.map(|path| Source {
        text: read(&path),
        path,
    })
}

/// Rust files that are not tests.
fn product_sources() -> impl Iterator<Item = Source> {
    rust_sources().filter(|s| {
        !s.path.contains("tests/") && !s.path.ends_with("/tests.rs") && !s.path.contains("benches/")
    })
}

impl Source {
    /// Numbered lines without comments.
    fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(i, line)| (i + 1, line.split("//").next().unwrap_or(line)))
    }

    /// Lines up to the tests at the end of the file.
    fn product_lines(&self) -> impl Iterator<Item = &str> {
        let lines = self.text.lines().collect::<Vec<_>>();
        let tests = lines
            .windows(2)
            .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {"));
        let end = tests.unwrap_or(lines.len());
        lines.into_iter().take(end)
    }
}

#[derive(Debug, PartialEq)]
struct Function {
    name: String,
    lines: usize,
}

/// Functions with a body of more than one line: in formatted source they end at the closing brace of their indentation.
fn functions<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Function> {
    let mut found: Vec<Function> = Vec::new();
    let mut open: Vec<(usize, usize, String)> = Vec::new(); // indentation, first line, name
    for (number, line) in lines.enumerate() {
        let code = line.trim_start();
        let indentation = line.len() - code.len();
        if let Some(name) = function_name(code) {
            open.push((indentation, number, name.to_owned()));
        }
        let Some((of, first, _)) = open.last() else {
            continue;
        };
        if indentation == *of && (code.ends_with('}') || code.ends_with(';')) {
            let lines = number - first + 1;
            found.extend(open.pop().map(|(_, _, name)| Function { name, lines }));
        }
    }
    found
}

/// The name, where a line of code begins a function.
fn function_name(code: &str) -> Option<&str> {
    let (before, after) = code.split_once("fn ")?;
    let qualifiers = ["pub", "const", "async", "unsafe", "extern", "default"];
    let plain = before.split_whitespace().all(|word| {
        qualifiers.iter().any(|q| word.starts_with(q))
            || word.starts_with("in ")
            || word.starts_with('"')
    });
    plain
        .then(|| leading_word(after))
        .filter(|name| !name.is_empty())
}

fn leading_word(text: &str) -> &str {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(text.len());
    &text[..end]
}

/// What a Markdown text sets as code: the lines of fenced blocks, without a prompt, and spans between backticks.
fn code_of(text: &str) -> Vec<&str> {
    let mut code = Vec::new();
    for (i, part) in text.split("```").enumerate() {
        if i % 2 == 1 {
            code.extend(
                part.lines()
                    .skip(1)
                    .map(|line| line.trim_start_matches("$ ")),
            );
        } else {
            code.extend(part.split('`').skip(1).step_by(2));
        }
    }
    code
}

/// Files that a Markdown text links to, without anchors.
fn link_targets(text: &str) -> Vec<String> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let files =
        targets.filter(|t| !t.contains("://") && !t.starts_with('#') && !t.starts_with("mailto:"));
    files
        .map(|t| t.split('#').next().unwrap_or(t).to_owned())
        .collect()
}

#[derive(Default)]
struct Faults {
    text: String,
}

impl Faults {
    fn add(&mut self, fault: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.text, "  {fault}");
    }

    #[track_caller]
    fn none(self) {
        assert!(self.text.is_empty(), "\n{}", self.text);
    }
}

// --- that the checks can fail -----------------------------------------------------------------------------------------

#[test]
fn functions_are_measured() {
    let text = "impl A {\n    pub(crate) fn long(\n        &self,\n    ) -> u8 {\n        if x {\n        }\n        1\n    }\n\n    const fn one(&self) -> u8 { 1 }\n    fn nothing(&self) {}\n    fn declared();\n}\n\nfn outer() {\n    fn inner() {\n    }\n}\n";
    let measured = functions(text.lines());
    let expected = [
        ("long", 7),
        ("one", 1),
        ("nothing", 1),
        ("declared", 1),
        ("inner", 2),
        ("outer", 4),
    ];
    assert_eq!(
        measured,
        expected.map(|(name, lines)| Function {
            name: name.to_owned(),
            lines
        })
    );
}

#[test]
fn length_exceptions_only_shrink() {
    let verdict = |lines, exceptions: &[(&str, usize)]| {
        let mut faults = Faults::default();
        check_length(&mut faults, "file", "a.rs", lines, 10, exceptions);
        faults.text.is_empty()
    };
    assert!(verdict(10, &[]) && !verdict(11, &[]));
    assert!(
        verdict(11, &[("a.rs", 12)]) && !verdict(13, &[("a.rs", 12)]),
        "may not grow"
    );
    assert!(
        !verdict(10, &[("a.rs", 12)]),
        "an exception that is no longer needed goes"
    );
}

#[test]
fn links_are_found() {
    let text = "see [a](shards/engine#top), [b](https://example.test/x) and [c](#here)";
    assert_eq!(link_targets(text), ["shards/engine"]);
}

#[test]
fn code_in_documents_is_found() {
    let text = "be sure to make sense, `make test` or\n```sh\n$ make demo\nmosaic replay x\n```\nand `make help`";
    assert_eq!(
        code_of(text),
        ["make test", "make demo", "mosaic replay x", "make help"]
    );
}

#[test]
fn tests_at_the_end_do_not_count() {
    let source = Source {
        path: String::new(),
        text: "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n".into(),
    };
    assert_eq!(source.product_lines().count(), 1);
}
