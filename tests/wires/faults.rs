//! Inline, between links that lose, repeat and reorder.

use crate::lab::{A4, B4, Device, Lab};
use crate::load::{Web, assert_web_agrees, small_requests};
use crate::mosaic::Mosaic;

const FAULTS: &str = "--loss 0.02 --duplicate 0.01 --reorder 0.05 --delay 0.001";

fn what_is_lost_on_the_way_is_repeated(device: Device) {
    let Some(lab) = Lab::through(FAULTS) else {
        return;
    };
    let web = Web::start(&lab);
    let mosaic = Mosaic::inline(&lab, device, "");
    let mut transfers = web.fetch_big(&lab, B4);
    transfers.extend(small_requests(&lab, B4, 20));
    // Of connections that ended, the last acknowledgement may have been lost: its FIN comes again.
    mosaic.at_rest();
    let ended = mosaic.end();
    assert_web_agrees(&transfers, &ended);
    let all = |field: &str| -> u64 { ended.records.iter().map(|r| r.both(field)).sum() };
    let web = ended.of("tcp", 80);
    assert!(web.iter().any(|record| record.text("client.addr") == A4));
    let sum = |field: &str| -> u64 { web.iter().map(|record| record.number(field)).sum() };
    assert!(all("packets") > 7_000);
    // Of some 7,000 segments of the file one in fifty is lost behind mosaic, and one in fifty before.
    assert!(
        sum("s2c.retransmissions") > 50,
        "{}",
        sum("s2c.retransmissions")
    );
    assert!(sum("s2c.out_of_order") > 50, "{}", sum("s2c.out_of_order"));
    assert!(sum("s2c.retransmitted_bytes") > 50_000);
}

#[test]
fn what_is_lost_on_the_way_is_repeated_veth() {
    what_is_lost_on_the_way_is_repeated(Device::VethQueues);
}

#[test]
fn what_is_lost_on_the_way_is_repeated_tap() {
    what_is_lost_on_the_way_is_repeated(Device::Tap);
}
