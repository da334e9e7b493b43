use mosaic_engine::actor::FlowId;
use mosaic_engine::flow::FlowKey;
use mosaic_port::Timestamp;

use super::*;

fn flow(proto: Proto) -> FlowSummary {
    let client = Endpoint {
        addr: [192, 0, 2, 1].into(),
        port: 40_000,
    };
    let server = Endpoint {
        addr: [198, 51, 100, 7].into(),
        port: 80,
    };
    FlowSummary {
        id: FlowId {
            shard: 3,
            index: 5,
            generation: 7,
        },
        key: FlowKey::v4(0xc000_0201, 0xc633_6407, 40_000, 80, proto, 0).0,
        proto,
        client,
        server,
        client_by: ClientBy::Syn,
        first: Timestamp::from_nanos(1_700_000_000_000_000_001),
        last: Timestamp::from_nanos(1_700_000_001_500_000_001),
        round_trips: [None; 2],
        sides: [SideSummary::default(); 2],
        established: false,
        end: None,
        history: ArrayString::new(),
        encapsulation: Encapsulation::default(),
    }
}

fn line(record: &ConnectionRecord) -> String {
    let mut out = Vec::new();
    record.append_to(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_tcp_line_byte_for_byte() {
    let mut flow = flow(Proto::TCP);
    flow.established = true;
    flow.end = Some(EndReason::Fin);
    flow.history.push_str("ShADaDfF");
    flow.encapsulation.layers.extend([
        Layer::Vlan(10),
        Layer::Ip([10, 0, 0, 1].into(), [10, 0, 0, 2].into()),
        Layer::Vxlan(5001),
        Layer::Vlan(20),
    ]);
    flow.sides[0] = SideSummary {
        packets: 6,
        ip_bytes: 400,
        payload_bytes: 78,
        stream_bytes: 78,
        syn: 1,
        fin: 1,
        state: State::TimeWait,
        ..SideSummary::default()
    };
    flow.sides[1] = SideSummary {
        packets: 5,
        ip_bytes: u64::MAX,
        payload_bytes: 1460,
        stream_bytes: 1000,
        gap_bytes: 460,
        gaps: 1,
        late_bytes: 2,
        retransmissions: 3,
        retransmitted_bytes: 4,
        out_of_order: 5,
        keep_alives: 6,
        zero_windows: 7,
        overlap_differs_bytes: 8,
        invalid: 9,
        syn: 1,
        fin: 1,
        rst: 0,
        state: State::Closed,
    };
    let expected = concat!(
        r#"{"start":1700000000.000000001,"duration":1.500000000,"proto":"tcp","#,
        r#""client":{"addr":"192.0.2.1","port":40000},"server":{"addr":"198.51.100.7","port":80},"client_by":"syn","#,
        r#""community_id":"1:4159nVsKtonfAfFAIRXgL/+NDLE=","state":"SF","established":true,"end":"fin","#,
        r#""history":"ShADaDfF","c2s":{"packets":6,"ip_bytes":400,"payload_bytes":78,"stream_bytes":78,"gap_bytes":0,"#,
        r#""gaps":0,"late_bytes":0,"retransmissions":0,"retransmitted_bytes":0,"out_of_order":0,"keep_alives":0,"#,
        r#""zero_windows":0,"overlap_differs_bytes":0,"invalid":0,"state":"TIME-WAIT","#,
        r#""sha256":"e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3"},"#,
        r#""s2c":{"packets":5,"ip_bytes":18446744073709551615,"payload_bytes":1460,"stream_bytes":1000,"#,
        r#""gap_bytes":460,"gaps":1,"late_bytes":2,"retransmissions":3,"retransmitted_bytes":4,"out_of_order":5,"#,
        r#""keep_alives":6,"zero_windows":7,"overlap_differs_bytes":8,"invalid":9,"state":"CLOSED"},"#,
        r#""vlans":[10,20],"tunnels":[{"type":"ip","src":"10.0.0.1","dst":"10.0.0.2"},{"type":"vxlan","id":5001}]}"#,
        "\n",
    );
    let record = ConnectionRecord::new(&flow, [Some(Digest([0xe3; 32])), None]);
    assert_eq!(line(&record), expected);
}

#[test]
fn a_datagram_line_has_no_stream() {
    let mut flow = flow(Proto::UDP);
    flow.sides[0].packets = 1;
    let text = line(&ConnectionRecord::new(&flow, [None; 2]));
    assert!(
        text.contains(r#""proto":"udp""#) && text.contains(r#""state":"S0""#),
        "{text}"
    );
    assert!(
        text.contains(r#""c2s":{"packets":1,"ip_bytes":0,"payload_bytes":0}"#),
        "{text}"
    );
    assert!(
        !text.contains("shard") && text.contains(r#""vlans":[],"tunnels":[]"#),
        "{text}"
    );
}

#[test]
fn states_are_named_as_zeek_names_them() {
    // (client SYN FIN RST, server SYN FIN RST, server packets, end, history) -> state
    let cases = [
        ([1, 0, 0], [0, 0, 0], 0, None, "S", "S0"),
        ([1, 0, 0], [1, 0, 0], 1, None, "Sh", "S1"),
        ([1, 1, 0], [1, 1, 0], 2, Some(EndReason::Fin), "ShFf", "SF"),
        ([1, 0, 0], [0, 0, 1], 1, Some(EndReason::Reset), "Sr", "REJ"),
        ([1, 1, 0], [1, 0, 0], 1, None, "ShF", "S2"),
        ([1, 0, 0], [1, 1, 0], 1, None, "Shf", "S3"),
        (
            [1, 0, 1],
            [1, 0, 1],
            2,
            Some(EndReason::Reset),
            "ShRr",
            "RSTO",
        ),
        (
            [1, 0, 1],
            [1, 0, 1],
            2,
            Some(EndReason::Reset),
            "ShrR",
            "RSTR",
        ),
        (
            [1, 0, 1],
            [1, 0, 0],
            2,
            Some(EndReason::Reset),
            "ShDdTtGg",
            "RSTO",
        ),
        (
            [1, 0, 1],
            [0, 0, 0],
            0,
            Some(EndReason::Reset),
            "SR",
            "RSTOS0",
        ),
        (
            [0, 0, 0],
            [1, 0, 1],
            1,
            Some(EndReason::Reset),
            "hr",
            "RSTRH",
        ),
        ([1, 1, 0], [0, 0, 0], 0, None, "SF", "SH"),
        ([0, 0, 0], [1, 1, 0], 1, None, "hf", "SHR"),
        ([0, 0, 0], [0, 0, 0], 1, None, "Dd", "OTH"),
        ([1, 0, 0], [0, 0, 0], 1, None, "Sd", "OTH"),
    ];
    for (client, server, server_packets, end, history, state) in cases {
        let mut flow = flow(Proto::TCP);
        for (side, [syn, fin, rst]) in flow.sides.iter_mut().zip([client, server]) {
            (side.syn, side.fin, side.rst) = (syn, fin, rst);
        }
        flow.sides[1].packets = server_packets;
        flow.end = end;
        flow.history.push_str(history);
        assert_eq!(
            ConnectionRecord::new(&flow, [None; 2]).state,
            state,
            "{history}"
        );
    }
}

#[test]
fn every_layer_has_a_tunnel_entry_except_vlans() {
    let layers = [
        (Layer::Mpls(16), r#"{"type":"mpls","id":16}"#),
        (Layer::Pppoe(1), r#"{"type":"pppoe","id":1}"#),
        (Layer::Gre(0), r#"{"type":"gre","id":0}"#),
        (Layer::Geneve(2), r#"{"type":"geneve","id":2}"#),
        (Layer::Gtp(3), r#"{"type":"gtp","id":3}"#),
        (Layer::Teredo, r#"{"type":"teredo"}"#),
        (Layer::Erspan(4), r#"{"type":"erspan","id":4}"#),
        (Layer::Ayiya, r#"{"type":"ayiya"}"#),
        (Layer::L2tp(5, 6), r#"{"type":"l2tp","id":6,"tunnel_id":5}"#),
        (Layer::Other("wlan"), r#"{"type":"wlan"}"#),
    ];
    for (layer, text) in layers {
        assert_eq!(
            serde_json::to_string(&TunnelRecord::new(&layer).unwrap()).unwrap(),
            text
        );
    }
    assert_eq!(TunnelRecord::new(&Layer::Vlan(1)), None);
}
