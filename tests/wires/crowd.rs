//! Many requests at once, each answer compared with what was asked for.
//!
//! `MOSAIC_REQUESTS` says how many; 480 by default.

use std::fs;

use crate::lab::Lab;
use crate::load::noise;
use crate::namespace::{Namespace, eventually};

const FILES: usize = 16;
/// Requests of one curl, which is bounded in time.
const REQUESTS_EACH: usize = 960;
const AT_ONCE: &str = "60";

/// How many requests are asked for.
pub(crate) fn requests() -> usize {
    let told: usize = std::env::var("MOSAIC_REQUESTS").map_or(480, |text| text.parse().unwrap());
    told.next_multiple_of(2 * FILES)
}

/// Files of different lengths, where nginx finds them.
#[derive(Debug)]
pub(crate) struct Crowd {
    files: Vec<Vec<u8>>,
}

impl Crowd {
    /// Adds the files to what a [`Web`](crate::load::Web) serves.
    pub(crate) fn new(lab: &Lab) -> Self {
        let lens = (0..FILES).map(|number| 100 + number * number * 150);
        let files: Vec<_> = lens.map(noise).collect();
        let folder = lab.path("www/f");
        fs::create_dir(&folder).unwrap();
        for (number, bytes) in files.iter().enumerate() {
            fs::write(folder.join(number.to_string()), bytes).unwrap();
        }
        Self { files }
    }

    /// `count` requests from a namespace to `host`, each on a connection of its own, many at a time. Every answer must be right,
    /// and none may stand still for 30 seconds.
    #[track_caller]
    pub(crate) fn ask(&self, lab: &Lab, from: &Namespace, host: &str, count: usize) {
        self.ask_with(lab, from, host, count, &["-H", "Connection: close"]);
    }

    /// The same with other arguments for curl, which uses connections again unless they say otherwise. Gives what it printed.
    #[track_caller]
    pub(crate) fn ask_with(
        &self,
        lab: &Lab,
        from: &Namespace,
        host: &str,
        count: usize,
        arguments: &[&str],
    ) -> String {
        let (mut left, mut printed) = (count, String::new());
        while left > 0 {
            let each = left.min(REQUESTS_EACH);
            printed += &self.ask_some(lab, from, host, each / FILES, arguments);
            left -= each;
        }
        printed
    }

    #[track_caller]
    fn ask_some(
        &self,
        lab: &Lab,
        from: &Namespace,
        host: &str,
        each: usize,
        arguments: &[&str],
    ) -> String {
        let folder = tempfile::tempdir_in(lab.folder()).unwrap();
        let url = format!("http://{host}/f/[0-{}]?[1-{each}]", FILES - 1);
        let got = folder.path().join("#1-#2");
        let patience = [
            "--connect-timeout",
            "40",
            "--speed-time",
            "30",
            "--speed-limit",
            "1",
        ];
        let curl = [
            "curl",
            "-sS",
            "--fail",
            "-Z",
            "--parallel-immediate",
            "--parallel-max",
            AT_ONCE,
        ];
        let what = ["-o", got.to_str().unwrap(), &url];
        let printed = from.run(&[&curl[..], &patience, arguments, &what].concat());
        for (file, bytes) in self.files.iter().enumerate() {
            for request in 1..=each {
                let got = fs::read(folder.path().join(format!("{file}-{request}"))).unwrap();
                assert!(
                    got == *bytes,
                    "{host}: file {file}, request {request}: {} bytes",
                    got.len()
                );
            }
        }
        printed
    }
}

/// Waits until no end has data that the other has not acknowledged.
#[track_caller]
pub(crate) fn nothing_waits(ends: &[&Namespace]) {
    const LISTEN: &str = "0A";
    let mut waiting = Vec::new();
    let rest = || {
        waiting.clear();
        for end in ends {
            let sockets = end.words("cat /proc/net/tcp /proc/net/tcp6");
            waiting.extend(sockets.lines().filter_map(|line| {
                let fields: Vec<_> = line.split_whitespace().collect();
                let (state, queues) = (fields.get(3)?, fields.get(4)?);
                let (unacknowledged, _) = queues.split_once(':')?;
                let waits = *state != LISTEN && u32::from_str_radix(unacknowledged, 16).ok()? > 0;
                waits.then(|| line.to_owned())
            }));
        }
        waiting.is_empty().then_some(())
    };
    eventually("that everything is acknowledged", rest);
}
