//! What programs print.

/// The number behind a word at the beginning of a line; of several such lines, the last one.
#[track_caller]
pub(crate) fn figure(printed: &str, word: &str) -> u64 {
    let row = printed.lines().rfind(|row| row.starts_with(word)).unwrap();
    row[word.len()..]
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}
