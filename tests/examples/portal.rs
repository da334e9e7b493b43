//! `portal` on captures, where nothing can be sent.

#[test]
fn what_cannot_be_done_is_counted() {
    let printed = crate::run(
        "portal",
        &["--answer", "/", "--reset", "81", &crate::capture("http")],
    );
    assert!(
        printed.starts_with("answered  0\nreset     0\nled       0\nidle      0\ncould not "),
        "{printed}"
    );
    assert!(
        !printed.ends_with("could not 0\n"),
        "requests were recognised"
    );
}
