//! Programs that talk to each other, and what they report.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::lab::{B4, Lab};
use crate::mosaic::{Ended, Record};
use crate::namespace::{Background, Namespace, eventually};

/// Bytes of the large file.
pub(crate) const FILE_BYTES: usize = 10_000_000;
/// Text of the small one.
const SMALL: &str = "Hello from a network namespace.\n";

/// nginx in B, with `big` and `small` to fetch, and `slow`: the large file at 300 kB a second.
#[derive(Debug)]
pub(crate) struct Web {
    _nginx: Background,
    big: Vec<u8>,
}

/// What curl reports about one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Transfer {
    pub(crate) local_port: u64,
    pub(crate) connects: u64,
    pub(crate) request_bytes: u64,
    pub(crate) header_bytes: u64,
    pub(crate) body_bytes: u64,
}

impl Web {
    pub(crate) fn start(lab: &Lab) -> Self {
        let big = noise(FILE_BYTES);
        let root = lab.path("www");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("big"), &big).unwrap();
        fs::write(root.join("small"), SMALL).unwrap();
        let server = "listen 80; listen [::]:80; listen 81; listen [::]:81; listen 82; listen [::]:82; \
                      location ~ ^/small { try_files /small =404; } \
                      location /slow { try_files /big =404; limit_rate 300k; }";
        let web = Self {
            _nginx: nginx(lab, "nginx", server),
            big,
        };
        wait_for_port(&lab.b, 80);
        web
    }

    /// Fetches the large file from this address and compares it.
    pub(crate) fn fetch_big(&self, lab: &Lab, host: &str) -> Vec<Transfer> {
        let got = lab.path("got");
        let url = format!("http://{host}/big");
        let transfers = fetch(lab, &["-o", got.to_str().unwrap(), &url]);
        self.assert_arrived(&got);
        assert_eq!(transfers[0].body_bytes, FILE_BYTES as u64);
        transfers
    }

    /// Begins to fetch the large file, at 3 MB a second, and returns once some of it has come.
    pub(crate) fn begin_big(&self, lab: &Lab, host: &str) -> Begun<'_> {
        let got = lab.path("slow-got");
        let url = format!("http://{host}/big");
        let curl = ["curl", "-sS", "--limit-rate", "3M", "-o"];
        let curl = [&curl[..], &[got.to_str().unwrap(), &url]].concat();
        let curl = lab.a.start(&curl, lab.folder(), "slow");
        eventually("a transfer", || fs::metadata(&got).is_ok().then_some(()));
        Begun {
            web: self,
            curl,
            got,
        }
    }

    fn assert_arrived(&self, got: &Path) {
        assert!(fs::read(got).unwrap() == self.big, "another file arrived");
    }
}

/// A transfer of the large file that goes on.
#[derive(Debug)]
pub(crate) struct Begun<'w> {
    web: &'w Web,
    curl: Background,
    got: PathBuf,
}

impl Begun<'_> {
    /// Waits until it is over, and compares what has come.
    pub(crate) fn arrives(mut self) {
        assert!(self.curl.wait().success());
        self.web.assert_arrived(&self.got);
    }
}

/// nginx in B, which serves the folder `www`; `server` says where it listens, and more. Who asked stands in `NAME-access.log`.
pub(crate) fn nginx(lab: &Lab, name: &str, server: &str) -> Background {
    let path = lab.path(name);
    let path = path.to_str().unwrap();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {path}-{what};"))
        .join(" ");
    let config = format!(
        "daemon off; master_process off; user root; pid {path}.pid; error_log {path}.log;\nevents {{}}\n\
         http {{\n log_format clients '$remote_addr $remote_port $connection \"$request\" \"$http_user_agent\"';\n access_log {path}-access.log clients; {temporary}\n server {{ root {root}; {server} }}\n}}\n",
        root = lab.path("www").display(),
    );
    fs::write(format!("{path}.conf"), config).unwrap();
    let program = [
        "nginx",
        "-c",
        &format!("{path}.conf"),
        "-e",
        &format!("{path}.log"),
    ];
    lab.b.start(&program, lab.folder(), name)
}

/// `count` small requests, each on a connection of its own.
pub(crate) fn small_requests(lab: &Lab, host: &str, count: usize) -> Vec<Transfer> {
    let url = format!("http://{host}/small?[1-{count}]");
    let got = lab.path("small-got");
    let close = ["-H", "Connection: close"];
    let transfers = fetch(
        lab,
        &[&close[..], &["-o", got.to_str().unwrap(), &url]].concat(),
    );
    assert_eq!(transfers.len(), count);
    assert!(transfers.iter().all(|t| t.body_bytes == SMALL.len() as u64));
    assert_eq!(fs::read_to_string(got).unwrap(), SMALL);
    transfers
}

fn fetch(lab: &Lab, arguments: &[&str]) -> Vec<Transfer> {
    const REPORT: &str = "%{http_code} %{local_port} %{num_connects} %{size_request} %{size_header} %{size_download}\\n";
    // Slow is what bad links make of a transfer; stuck is what nothing comes of for half a minute.
    let curl = [
        "curl", "-sS", "-m", "150", "-y", "30", "-Y", "1", "-w", REPORT,
    ];
    let report = lab.a.run(&[&curl[..], arguments].concat());
    let transfers = report.lines().map(|line| {
        let numbers: Vec<u64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
        let [
            200,
            local_port,
            connects,
            request_bytes,
            header_bytes,
            body_bytes,
        ] = numbers[..]
        else {
            panic!("{line}");
        };
        Transfer {
            local_port,
            connects,
            request_bytes,
            header_bytes,
            body_bytes,
        }
    });
    transfers.collect()
}

/// Records of web connections say what curl says: as many connections, and their bytes in each direction.
pub(crate) fn assert_web_agrees(transfers: &[Transfer], ended: &Ended) {
    let records = ended.of("tcp", 80);
    let connections: u64 = transfers.iter().map(|t| t.connects).sum();
    assert_eq!(records.len() as u64, connections, "connections");
    let mut of_curl: BTreeMap<u64, [u64; 2]> = BTreeMap::new();
    for transfer in transfers {
        let [up, down] = of_curl.entry(transfer.local_port).or_default();
        *up += transfer.request_bytes;
        *down += transfer.header_bytes + transfer.body_bytes;
    }
    let mut recorded: BTreeMap<u64, [u64; 2]> = BTreeMap::new();
    for record in &records {
        let sums = recorded.entry(record.number("client.port")).or_default();
        sums[0] += record.number("c2s.stream_bytes");
        sums[1] += record.number("s2c.stream_bytes");
    }
    assert_eq!(recorded, of_curl, "{:?}", with_gaps(&records));
    for record in &records {
        assert_whole(record);
    }
}

/// Records that lack bytes.
fn with_gaps<'r>(records: &[&'r Record]) -> Vec<&'r Record> {
    let records = records.iter().copied();
    records
        .filter(|record| record.both("gap_bytes") > 0)
        .collect()
}

/// The connection was seen from its SYN to its FINs, without a hole.
pub(crate) fn assert_whole(record: &Record) {
    assert_eq!(
        (record.text("state"), record.text("end")),
        ("SF", "fin"),
        "{record:?}"
    );
    assert_eq!(record.both("gap_bytes"), 0, "{record:?}");
}

/// `count` echo requests and as many answers.
pub(crate) fn ping(lab: &Lab, address: &str, count: u32) {
    let report = lab
        .a
        .words(&format!("ping -n -c {count} -i 0.02 -W 2 {address}"));
    let expected = format!("{count} packets transmitted, {count} received");
    assert!(report.contains(&expected), "{report}");
}

/// A server in Python, in `end`, which prints "ready" once it is; what it prints stands in `server.out`.
pub(crate) fn python_server(lab: &Lab, end: &Namespace, script: &str) -> Background {
    let server = end.start(&["python3", "-c", script], lab.folder(), "server");
    eventually("a server", || {
        let said = fs::read_to_string(lab.path("server.out")).unwrap();
        said.contains("ready").then_some(())
    });
    server
}

/// Waits until somebody in `namespace` listens on the TCP port.
fn wait_for_port(namespace: &Namespace, port: u16) {
    let wanted = format!(":{port:04X}");
    eventually("a server that listens", || {
        let sockets = namespace.words("cat /proc/net/tcp /proc/net/tcp6");
        sockets
            .lines()
            .filter_map(|line| {
                let mut fields = line.split_whitespace().skip(1);
                let (local, _, state) = (fields.next()?, fields.next()?, fields.next()?);
                (state == "0A" && local.ends_with(&wanted)).then_some(())
            })
            .next()
    });
}

/// iperf3's server in B.
pub(crate) fn iperf_server(lab: &Lab) -> Background {
    let server = lab
        .b
        .start(&["iperf3", "-s", "-p", "5201"], lab.folder(), "iperf3");
    wait_for_port(&lab.b, 5201);
    server
}

/// What iperf3's client reports, with these arguments.
pub(crate) fn iperf(lab: &Lab, arguments: &str) -> Value {
    iperf_to(lab, B4, arguments)
}

/// The same towards another address.
pub(crate) fn iperf_to(lab: &Lab, host: &str, arguments: &str) -> Value {
    let program = format!("iperf3 -c {host} -p 5201 -J --connect-timeout 3000 {arguments}");
    // The server takes one client at a time, and may be busy ending with the last one.
    eventually("that iperf3 succeeds", || {
        let output = lab.a.output(&program);
        output
            .status
            .success()
            .then(|| serde_json::from_slice(&output.stdout).unwrap())
    })
}

/// redis-benchmark against a server in B. Connections, and bytes to the server, as the server reports them.
pub(crate) fn redis(lab: &Lab) -> (u64, u64) {
    // As redis-cli sends it: counted before the counter goes back to zero.
    const RESET: &str = "*2\r\n$6\r\nconfig\r\n$9\r\nresetstat\r\n";
    let folder = lab.folder().to_str().unwrap();
    let server = [
        "redis-server",
        "--bind",
        B4,
        "--port",
        "6379",
        "--protected-mode",
        "no",
        "--save",
        "",
        "--dir",
        folder,
    ];
    let _server = lab.b.start(&server, lab.folder(), "redis");
    wait_for_port(&lab.b, 6379);
    let cli = format!("redis-cli -h {B4}");
    lab.a.words(&format!("{cli} config resetstat"));
    lab.a.words(&format!("{cli} set greeting hello"));
    assert_eq!(lab.a.words(&format!("{cli} get greeting")), "hello\n");
    let report = lab.a.words(&format!(
        "redis-benchmark -h {B4} -q -n 2000 -c 10 -P 4 -d 64 -t set,get,lpush"
    ));
    assert_eq!(report.matches("requests per second").count(), 3, "{report}");
    let stats = lab.a.words(&format!("{cli} info stats"));
    let stat = |name: &str| -> u64 {
        let value = stats
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap().trim().parse().unwrap()
    };
    // The statistics were reset by a command of the first connection.
    let connections = stat("total_connections_received") + 1;
    (
        connections,
        stat("total_net_input_bytes") + RESET.len() as u64,
    )
}

/// Bytes without a pattern, always the same.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(len).collect()
}
