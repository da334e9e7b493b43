//! Those that print what they see.

use crate::synthetic::connection;
use crate::{capture, run};

/// What stands after the addresses, sorted.
fn found(text: &str) -> Vec<&str> {
    let mut found: Vec<_> = text
        .lines()
        .map(|line| line.splitn(4, ' ').nth(3).unwrap())
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn stream_peek_prints_requests_and_server_names() {
    let text = run("stream_peek", &[]);
    assert_eq!(
        found(&text),
        [
            "GET /file.txt",
            "GET /hello.txt",
            "GET /index.html",
            "GET /missing",
            "POST /upload",
            "TLS alpha.example.test",
            "TLS beta.example.test",
            "TLS beta.example.test",
            "TLS gamma.example.test",
        ]
    );
    assert!(
        text.lines().all(|line| line.contains(" -> 192.0.2.2:")),
        "{text}"
    );
}

#[test]
fn stream_peek_reads_across_loss_and_reordering() {
    let text = run("stream_peek", &[&capture("lossy")]);
    assert!(!found(&text).is_empty());
    assert!(
        found(&text)
            .iter()
            .all(|line| line.starts_with("GET /") || line.starts_with("POST /")),
        "{text}"
    );
}

#[test]
fn stream_peek_puts_requests_together_and_passes_over_bodies() {
    let body = "GET /not-a-request HTTP/1.1\r\n\r\n".repeat(1000);
    let requests = format!(
        "POST /first HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}GET /second HTTP/1.1\r\n\r\nHEAD /third HTTP/1.1\r\n\r\n",
        body.len()
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("requests.pcap");
    for segment_len in [3, 1000] {
        std::fs::write(&path, connection(requests.as_bytes(), segment_len)).unwrap();
        let text = run("stream_peek", &[path.to_str().unwrap()]);
        assert_eq!(
            found(&text),
            ["GET /second", "HEAD /third", "POST /first"],
            "{segment_len}"
        );
    }
}

#[test]
fn stream_peek_gives_up_on_what_is_neither() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("noise.pcap");
    // A head without an end, a TLS record that is none, and something else.
    for noise in ["GET /", "\u{16}\u{3}\u{1}", "SSH-2.0-"] {
        let bytes = noise.to_owned() + &"x".repeat(40_000);
        std::fs::write(&path, connection(bytes.as_bytes(), 1000)).unwrap();
        assert_eq!(
            run("stream_peek", &[path.to_str().unwrap()]),
            "",
            "{noise:?}"
        );
    }
}

#[test]
fn flow_monitor_prints_every_connection() {
    let text = run("flow_monitor", &[&capture("http")]);
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let (head, rest) = rows.split_first().unwrap();
    let (foot, connections) = rest.split_last().unwrap();
    assert_eq!(
        head[..],
        [
            "proto", "client", "state", "server", "state", "sent", "received"
        ]
    );
    assert_eq!(foot[..], ["3", "connections"]);

    // What curl and nginx said they had sent and received (tests/captures/facts/http.txt).
    let mut facts: Vec<_> = connections
        .iter()
        .map(|row| (row[1], row[5], row[6]))
        .collect();
    facts.sort_unstable();
    let told =
        std::fs::read_to_string(capture("http").replace("http.pcap", "facts/http.txt")).unwrap();
    let mut streams: Vec<_> = told
        .lines()
        .filter_map(|line| line.strip_prefix("stream "))
        .map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            (format!("192.0.2.1:{}", words[0]), words[1], words[2])
        })
        .collect();
    streams.sort_unstable();
    let streams: Vec<_> = streams
        .iter()
        .map(|(client, sent, received)| (client.as_str(), *sent, *received))
        .collect();
    assert_eq!(facts, streams);
    for row in connections {
        assert_eq!((row[0], row[3]), ("tcp", "192.0.2.2:80"), "{row:?}");
    }
}

#[test]
fn tracegen_writes_what_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trace.pcap");
    let path = path.to_str().unwrap();
    let arguments = [
        "-o", path, "-c", "10", "-n", "40", "-q", "300", "-r", "20000", "-R", "3", "-X", "1",
    ];
    let text = run("tracegen", &arguments);
    let words: Vec<_> = text.split_whitespace().collect();
    assert_eq!(words[4..], ["connections", "40", "payload-bytes", "812000"]);
    let len: u64 = words[3].parse::<u64>().unwrap() + words[1].parse::<u64>().unwrap() * 16 + 24;
    assert_eq!(
        std::fs::metadata(path).unwrap().len(),
        len,
        "record headers and frames"
    );
    assert_eq!(run("tracegen", &arguments), text, "a seed repeats it");

    let rows = run("flow_monitor", &[path]);
    let complete = rows.lines().filter(|line| line.starts_with("tcp"));
    let sent: u64 = complete
        .map(|line| {
            line.split_whitespace()
                .nth(6)
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .sum();
    assert!(sent >= 40 * 20_000, "repeated bytes count as well: {sent}");
}
