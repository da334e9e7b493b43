//! Ends in the middle of a transfer.

use crate::lab::{B4, Device, Lab};
use crate::load::{Web, assert_web_agrees, ping};
use crate::mosaic::Mosaic;
use crate::namespace::Background;

/// A slow transfer of the large file, once some of it has passed.
fn slow_transfer(lab: &Lab, mosaic: &Mosaic<'_>) -> Background {
    let url = format!("http://{B4}/big");
    let curl = ["curl", "-sS", "--limit-rate", "1M", "-o", "/dev/null", &url];
    let mut curl = lab.a.start(&curl, lab.folder(), "slow");
    mosaic.wait_for("a transfer", |metrics| {
        let passed = metrics.sum("mosaic_stream_bytes_total", &[]);
        (passed > 500_000.0).then_some(())
    });
    assert!(curl.is_running());
    curl
}

fn a_killed_mosaic_starts_again(device: Device) {
    let Some(lab) = Lab::new() else { return };
    let web = Web::start(&lab);
    let mosaic = Mosaic::inline(&lab, device, "");
    let curl = slow_transfer(&lab, &mosaic);
    mosaic.kill();
    drop(curl);
    for _ in 0..2 {
        let mosaic = Mosaic::inline(&lab, device, "");
        ping(&lab, B4, 3);
        let transfers = web.fetch_big(&lab, B4);
        mosaic.at_rest();
        let mut ended = mosaic.end();
        // What is left of the connection before may still be heard.
        let port = transfers[0].local_port;
        ended
            .records
            .retain(|record| record.number("client.port") == port);
        assert_web_agrees(&transfers, &ended);
    }
}

#[test]
fn a_killed_mosaic_starts_again_on_veth() {
    a_killed_mosaic_starts_again(Device::VethQueues);
}

#[test]
fn a_killed_mosaic_starts_again_on_tap() {
    a_killed_mosaic_starts_again(Device::Tap);
}

#[test]
fn sigint_in_the_middle_of_a_transfer_writes_its_record() {
    let Some(lab) = Lab::new() else { return };
    let _web = Web::start(&lab);
    let mosaic = Mosaic::inline(&lab, Device::Veth, "");
    let mut curl = slow_transfer(&lab, &mosaic);
    let ended = mosaic.end();
    assert!(curl.is_running(), "it was in the middle");
    let [record] = ended.of("tcp", 80)[..] else {
        panic!("{:?}", ended.records)
    };
    assert_eq!(
        (record.text("state"), record.text("end")),
        ("S1", "source_end")
    );
    assert!(record.number("s2c.stream_bytes") > 500_000);
}
