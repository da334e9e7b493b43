//! `http_rewrite`: which heads would change, shown on captures.

use std::fs;

use crate::synthetic::connection;
use crate::{capture, refused, run};

/// Heads, changed ones, and those in pieces, of requests and of responses.
fn table(text: &str) -> [[u64; 3]; 2] {
    ["requests", "responses"].map(|name| {
        let row = text
            .lines()
            .find(|line| line.split(' ').next() == Some(name));
        let numbers = row.unwrap().split_whitespace().skip(1);
        let numbers: Vec<u64> = numbers.map(|number| number.parse().unwrap()).collect();
        numbers.try_into().unwrap()
    })
}

/// The recorded programs are curl and nginx; in `lossy` segments come late and repeatedly.
#[test]
fn every_head_of_a_capture() {
    for (name, expected) in [("http", 5), ("lossy", 6)] {
        let text = run(
            "http_rewrite",
            &[
                "--response",
                "Server: something else",
                "--request",
                "User-Agent:",
                &capture(name),
            ],
        );
        let [requests, responses] = table(&text);
        assert_eq!(requests, [expected, expected, 0], "{name}: {text}");
        assert_eq!(responses, [expected, expected, 0], "{name}: {text}");
        let servers = text
            .matches("\"Server: nginx/1.22.1\" to \"Server: something else\"")
            .count() as u64;
        assert_eq!(servers, expected, "{name}: {text}");
    }
}

/// Three requests, one with a body by length and one by chunks, cut at any place and with every two segments exchanged.
#[test]
fn messages_end_where_they_say() {
    const REQUESTS: &str = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 31\r\n\r\nGET /no HTTP/1.1\r\nX: request\r\n\r\n\
        PUT /b HTTP/1.1\r\nX: old\r\nTransfer-Encoding: chunked\r\n\r\n\
        1d;x=y\r\nGET /no HTTP/1.1\r\nX: none\r\n\r\n\r\n0\r\nX: trailer\r\n\r\n\
        GET /c HTTP/1.1\r\nX: old\r\nx: twice\r\n\r\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pieces.pcap");
    for segment_len in [1, 3, 10, 64, 1000] {
        fs::write(&path, connection(REQUESTS.as_bytes(), segment_len)).unwrap();
        let text = run(
            "http_rewrite",
            &["--request", "X: new", path.to_str().unwrap()],
        );
        let [[heads, changed, pieces], _] = table(&text);
        assert_eq!(
            (heads, changed),
            (3, 3),
            "in pieces of {segment_len}: {text}"
        );
        assert!(pieces == 3 || segment_len >= 64, "{text}");
        let lines: Vec<_> = text.lines().take(3).collect();
        assert!(lines[0].ends_with("\"\" to \"X: new\""), "{text}");
        assert!(lines[1].ends_with("\"X: old\" to \"X: new\""), "{text}");
    }
}

#[test]
fn what_says_where_messages_end_is_not_changed() {
    for (header, word) in [
        ("Content-Length: 5", "where messages end"),
        ("transfer-encoding:", "where messages end"),
        ("Server", "a colon is missing"),
        ("A b: c", "no name of a header"),
        ("A: b\r\nC: d", "no control characters"),
    ] {
        let said = refused("http_rewrite", &["--response", header]);
        assert!(said.contains(word), "{said}");
    }
}
