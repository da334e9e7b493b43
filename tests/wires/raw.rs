//! A raw monitor in a wire: kernels believe what it changes, and whom it speaks for.

use ::mosaic::prelude::*;

use crate::lab::{B4, Device, Lab};
use crate::load::{Web, ping};
use crate::mosaic::{Mosaic, run_alone};

/// The name of the file with its configuration, for [`a_ghost`].
const CONFIG: &str = "MOSAIC_GHOST_CONFIG";

/// An address that nobody has, and the hardware address that goes with it.
const GHOST: [u8; 4] = [192, 0, 2, 77];
const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 77];

/// Speaks for a host that is not there, and changes what passes.
struct Ghost;

impl Actor for Ghost {
    type Flow = ();

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        shard.monitor_raw(None).every_frame().open()?;
        Ok(())
    }

    fn on_raw(&mut self, shard: &mut ShardContext<'_>, packet: &RawPacket<'_>) -> Verdict {
        if let Some(answer) = packet.frame.and_then(|frame| neighbour(frame.bytes)) {
            shard.inject_frame(Toward::Sender, &answer).unwrap();
            return Verdict::Drop;
        }
        if let Some(reply) = echo(packet.ip()) {
            shard.inject_packet(Toward::Sender, &reply).unwrap();
            return Verdict::Drop;
        }
        let is_v4 = packet.packet.is_some_and(|packet| !packet.key.is_v6());
        if is_v4 {
            let greeting = packet.payload().windows(5).position(|at| at == b"Hello");
            let mut edit = shard.edit().unwrap();
            edit.set_ttl(9).unwrap();
            edit.set_traffic_class(18, 0).unwrap();
            if let Some(at) = greeting {
                edit.overwrite_payload(at, b"J").unwrap();
            }
        }
        Verdict::Forward
    }
}

/// What the ghost says to a frame that asks for its hardware address.
fn neighbour(frame: &[u8]) -> Option<Vec<u8>> {
    let asks = frame.get(12..14) == Some(&[8, 6]) && frame.get(20..22) == Some(&[0, 1]);
    let mut answer = frame.get(..42).filter(|_| asks)?.to_vec();
    if answer[38..42] != GHOST {
        return None;
    }
    answer.copy_within(22..32, 32);
    answer.copy_within(32..38, 0);
    answer[6..12].copy_from_slice(&HARDWARE);
    answer[21] = 2;
    answer[22..28].copy_from_slice(&HARDWARE);
    answer[28..32].copy_from_slice(&GHOST);
    Some(answer)
}

/// What the ghost says to an echo request.
fn echo(request: &[u8]) -> Option<Vec<u8>> {
    let is_asked = request.get(16..20) == Some(&GHOST) && request.get(20) == Some(&8);
    let mut reply = is_asked.then(|| request.to_vec())?;
    reply[12..20].rotate_left(4);
    reply[20] = 0;
    // The type has shrunk by 8, and the sum of the message with it (RFC 1624).
    let (sum, carry) = u16::from_be_bytes([reply[22], reply[23]]).overflowing_add(0x0800);
    reply[22..24].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
    Some(reply)
}

/// No test: what the test below starts in a namespace.
#[test]
#[ignore = "a program that another test starts"]
fn a_ghost() {
    run_alone(CONFIG, "ghost", |_| Ghost);
}

#[test]
fn kernels_believe_what_is_changed_and_sent() {
    let Some(lab) = Lab::new() else { return };
    let _web = Web::start(&lab);
    let config = lab.wire(Device::Veth, "[metrics]\nlisten = \"127.0.0.1:0\"\n");
    let ghost = Mosaic::own_test(&lab, &config, CONFIG, "raw::a_ghost");
    let [a, b, c, d] = GHOST;
    ping(&lab, &format!("{a}.{b}.{c}.{d}"), 5);
    let passed = lab.a.words(&format!("ping -n -c 5 -i 0.02 -W 2 {B4}"));
    assert_eq!(passed.matches(" ttl=9 ").count(), 5, "{passed}");
    // Of unfinished checksums, too: those of TCP between namespaces.
    for _ in 0..5 {
        let url = format!("http://{B4}/small");
        let page = lab.a.run(&["curl", "-sS", "-m", "10", &url]);
        assert_eq!(page, "Jello from a network namespace.\n");
    }
    let books = ghost.at_rest();
    let injected = books.sum("mosaic_injected_frames_total", &[]);
    assert!(injected >= 6.0, "{injected}");
    ghost.end();
}
