//! `examples/portal.rs` between namespaces: kernels and programs believe what it makes.

use std::fs;

use crate::lab::{B4, B6, Device, Lab};
use crate::load::{Web, python_server};
use crate::mosaic::Mosaic;
use crate::namespace::eventually;

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
        eventually("closed sockets", || (sockets(&lab, end) == 0).then_some(()));
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

/// Both ends learn that a connection is over on which nobody has said anything for two seconds; one that is in use stays.
#[test]
fn idle_connections_are_reset_at_both_ends() {
    let Some(lab) = Lab::new() else { return };
    let portal = Mosaic::example(&lab, Device::VethQueues, "portal", &["--idle", "2"]);
    let server = "import socket, threading\n\
                  server = socket.create_server((\"\", 7777), backlog=64)\n\
                  print(\"ready\", flush=True)\n\
                  def serve(peer):\n\
                  \x20 try:\n\
                  \x20   while part := peer.recv(100): peer.sendall(part)\n\
                  \x20   print(\"closed\\n\", end=\"\", flush=True)\n\
                  \x20 except ConnectionResetError: print(\"reset\\n\", end=\"\", flush=True)\n\
                  while True: threading.Thread(target=serve, args=(server.accept()[0],)).start()\n";
    let _server = python_server(&lab, &lab.b, server);
    let said = || fs::read_to_string(lab.path("server.out")).unwrap();
    // Ten that say something once, and one that goes on for longer.
    let client = format!(
        "import socket, time\n\
         peers = [socket.create_connection((\"{B4}\", 7777)) for _ in range(11)]\n\
         for peer in peers: peer.settimeout(30); peer.sendall(b\"hello\"); assert peer.recv(100) == b\"hello\"\n\
         for _ in range(10):\n\
         \x20 time.sleep(0.5); peers[0].sendall(b\"more\"); assert peers[0].recv(100) == b\"more\"\n\
         for peer in peers[1:]:\n\
         \x20 try: print(\"closed\" if not peer.recv(100) else \"data\")\n\
         \x20 except ConnectionResetError: print(\"reset\")\n\
         peers[0].close()\n"
    );
    let client = lab.a.run(&["python3", "-c", &client]);
    assert_eq!(client, "reset\n".repeat(10));
    eventually("what the server has seen", || {
        let said = said();
        let of = |word: &str| said.lines().filter(|line| *line == word).count();
        (of("reset") == 10 && of("closed") == 1).then_some(())
    });
    let ended = portal.end();
    for line in ["idle      10", "could not 0"] {
        assert!(ended.summary.contains(line), "{}", ended.summary);
    }
}
