//! `examples/portal.rs` between namespaces: kernels and programs believe what it makes.

use std::fs;

use crate::lab::{B4, B6, Device, Lab};
use crate::load::Web;
use crate::mosaic::Mosaic;

/// What curl gets: its exit status, the status of HTTP, and how many bytes.
fn request(lab: &Lab, url: &str) -> (i32, String) {
    let format = "%{http_code} %{size_download} %{num_connects}";
    let output = lab
        .a
        .command(&[
            "curl",
            "-sS",
            "-m",
            "10",
            "-o",
            "/dev/null",
            "-w",
            format,
            url,
        ])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), said)
}

/// Sockets of a namespace that are not listening.
fn sockets(lab: &Lab, end: &crate::namespace::Namespace) -> usize {
    let _ = lab;
    end.words("ss -Htn state connected exclude time-wait")
        .lines()
        .count()
}

fn believed(device: Device) {
    let Some(lab) = Lab::new() else { return };
    let web = Web::start(&lab);
    let arguments = [
        "--answer",
        "/small-closed",
        "--reset",
        "81",
        "--lead",
        "82=80",
    ];
    let portal = Mosaic::example(&lab, device, "portal", &arguments);
    for host in [B4.to_owned(), format!("[{B6}]")] {
        for _ in 0..5 {
            let (status, said) = request(&lab, &format!("http://{host}/small-closed"));
            assert_eq!((status, &said[..6]), (0, "403 64"), "answered here: {said}");
            // Refused at once, not by a timeout.
            let (status, _) = request(&lab, &format!("http://{host}:81/small"));
            assert_eq!(status, 7, "curl: could not connect");
            let (status, said) = request(&lab, &format!("http://{host}:82/small"));
            assert_eq!((status, &said[..3]), (0, "200"), "{said}");
        }
        // A large file through a translated connection, byte by byte.
        web.fetch_big(&lab, &format!("{host}:82"));
        web.fetch_big(&lab, &host);
    }
    // What the server was asked: what was answered in its place it never saw.
    let log = fs::read_to_string(lab.path("nginx-access.log")).unwrap();
    assert!(!log.contains("closed"), "{log}");
    for end in [&lab.a, &lab.b] {
        crate::namespace::eventually("closed sockets", || (sockets(&lab, end) == 0).then_some(()));
    }
    let metrics = portal.at_rest();
    assert!(metrics.sum("mosaic_injected_frames_total", &[]) >= 40.0);
    assert_eq!(metrics.dropped("no_room"), 0.0);
    assert_eq!(metrics.sum("mosaic_untranslated_packets_total", &[]), 0.0);
    let ended = portal.end();
    for line in ["answered  10", "reset     10", "could not 0"] {
        assert!(ended.summary.contains(line), "{}", ended.summary);
    }
}

#[test]
fn kernels_believe_resets_and_answers_and_see_no_translation() {
    believed(Device::Veth);
}

#[test]
fn also_between_queues() {
    believed(Device::VethQueues);
}
