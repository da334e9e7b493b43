//! A tap: a mirror port is watched, and never sent to.

use crate::lab::{B4, Lab};
use crate::load::{Web, assert_web_agrees, ping, small_requests};
use crate::mosaic::Mosaic;

/// What a bridge passes between the ends is copied to `mirror`, whose other end mosaic watches.
fn mirrored() -> Option<Lab> {
    let lab = Lab::new()?;
    lab.bridge("switch", &["left", "right"]);
    lab.m.join("mirror", &lab.m, "watched");
    for port in ["left", "right"] {
        lab.m.words(&format!("tc qdisc add dev {port} clsact"));
        lab.m.words(&format!(
            "tc filter add dev {port} ingress protocol all u32 match u32 0 0 action mirred egress mirror dev mirror"
        ));
    }
    Some(lab)
}

#[test]
fn a_mirror_port_is_watched_and_never_sent_to() {
    let Some(lab) = mirrored() else { return };
    let _web = Web::start(&lab);
    let config = "[runtime]\nshards = 2\n[[port]]\nname = \"mirror\"\ndevice = \"net_af_packet0,iface=watched\"\n\
                  [[wire]]\nport = \"mirror\"\n";
    let mosaic = Mosaic::start(&lab, config);
    ping(&lab, B4, 5);
    let transfers = small_requests(&lab, B4, 100);
    let kernel = lab.m.frames("mirror");
    mosaic.wait_for("that all of it is received", |metrics| {
        let received = metrics.of_port("received_frames_total", "mirror");
        (received >= kernel[1] as f64).then_some(())
    });
    let metrics = mosaic.metrics();
    assert_eq!(metrics.of_port("sent_frames_total", "mirror"), 0.0);
    assert_eq!(metrics.sum("mosaic_forwarded_frames_total", &[]), 0.0);
    let ended = mosaic.end();
    assert_eq!(
        lab.m.frames("mirror")[0],
        0,
        "frames that came out of mosaic"
    );
    assert_web_agrees(&transfers, &ended);
}
