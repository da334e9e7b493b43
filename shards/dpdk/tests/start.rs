//! Starting DPDK, which a process can do once.

use mosaic_dpdk::{Eal, EalConfig, Error, Hugepages};

#[test]
fn it_is_started_once_and_errors_name_the_option() {
    let config = |hugepages, vdevs: &[&str]| EalConfig {
        hugepages,
        vdevs: vdevs.iter().map(|vdev| (*vdev).to_owned()).collect(),
        ..EalConfig::default()
    };
    let error = |config: &EalConfig| Eal::start(config).expect_err("it cannot start");

    // What is wrong before DPDK is asked can be tried again.
    let huge = error(&config(Hugepages::Megabytes(u32::MAX), &[]));
    assert!(
        huge.to_string()
            .starts_with("hugepages: 4294967295 MB asked for")
    );
    let text = error(&config(Hugepages::Off, &["net_\0"]));
    assert!(
        matches!(
            text,
            Error::Text {
                option: "vdevs",
                ..
            }
        ),
        "{text}"
    );

    let affinity = rustix::thread::sched_getaffinity(None).ok();
    let eal = Eal::start(&config(Hugepages::Off, &["net_null0,size=64", "net_ring0"]))
        .expect("it starts");
    assert!(
        affinity == rustix::thread::sched_getaffinity(None).ok(),
        "the thread keeps its affinity"
    );
    let names: Vec<String> = eal
        .devices()
        .into_iter()
        .map(|device| device.name)
        .collect();
    assert_eq!(names, ["net_null0", "net_ring0"]);

    assert_eq!(error(&EalConfig::default()), Error::AlreadyStarted);
    drop(eal);
    assert_eq!(error(&EalConfig::default()), Error::AlreadyStarted);
}
