//! Messages and packets are read as they were written.

use super::*;

fn room() -> RoomKey {
    crate::worker::simulation::room_key()
}

#[test]
fn every_message_is_read_as_it_was_written() {
    let now = rotunda_proto::clock::Clock.now();
    let mut config = str0m::Rtc::builder()
        .clear_codecs()
        .enable_h264(true)
        .enable_opus(true, true);
    let params: Vec<PayloadParams> = config.codec_config().params().to_vec();
    let mut messages = vec![
        RelayMessage::Join {
            room: room(),
            is_answer: true,
            pulls: Some(["sfu-1".parse().unwrap()].into()),
        },
        RelayMessage::Pull {
            room: room(),
            origins: ["sfu-1", "sfu-2"].map(|node| node.parse().unwrap()).into(),
        },
        RelayMessage::Introduced {
            room: room(),
            origins: [].into(),
        },
        RelayMessage::Member {
            room: room(),
            user: "ann".parse().unwrap(),
            serial: u64::MAX,
            origin: Some("sfu-3".parse().unwrap()),
            tracks: vec![Published {
                source: TrackSource::Screen,
                track: TrackIndex::at(7),
                permitted: true,
            }],
        },
        RelayMessage::Gone {
            room: room(),
            user: "ann".parse().unwrap(),
            serial: 3,
        },
        RelayMessage::Forgotten(StreamId(1 << 60)),
        RelayMessage::Keyframe(StreamId(5)),
        RelayMessage::Barred {
            stream: StreamId(5),
            is_barred: true,
        },
        RelayMessage::LayersBarred {
            stream: StreamId(5),
            from: Some(2),
        },
        RelayMessage::Watched {
            track: TrackIndex::at(3),
            layers: vec![Watched {
                stream: StreamId(4),
                spatial: 2,
            }],
        },
        RelayMessage::Take {
            track: TrackIndex::at(3),
            is_taken: true,
            missed: Some(Duration::from_millis(700)),
        },
        RelayMessage::Custom {
            room: room(),
            delivery: Delivery::Unordered,
            bytes: b"\x00\xffhello".as_slice().into(),
        },
    ];
    for demand in [
        Demand::Watched,
        Demand::Off,
        Demand::Unwatched {
            since: now - Duration::from_millis(1500),
        },
        Demand::Waking { since: now },
    ] {
        let layer = Watched {
            stream: StreamId(4),
            spatial: 1,
        };
        messages.push(RelayMessage::Demand { layer, demand });
    }
    for params in params {
        messages.push(RelayMessage::Stream {
            track: TrackIndex::at(9),
            stream: StreamId(8),
            mid: "0".into(),
            rid: Some("q".into()),
            params: Box::new(PayloadParams::new(params.pt(), None, params.spec())),
            heights: Heights::new(Some(720), Some([180, 360, 720, 0])),
        });
    }
    for message in messages {
        let bytes = write_message(now, &message).unwrap();
        let read = read_message(now, &bytes);
        assert_eq!(format!("{:?}", read.unwrap()), format!("{message:?}"));
        for length in 0..bytes.len() {
            assert!(read_message(now, &bytes[..length]).is_none());
        }
    }
    assert!(read_message(now, br#"{"kind":"of_tomorrow","x":1}"#).is_none());
}

#[test]
fn a_packet_is_read_as_it_was_written_and_refused_when_it_cannot_be() {
    let now = rotunda_proto::clock::Clock.now();
    let packet = Packet {
        seq: SeqNo::new(70_000),
        time: 0xffff_fff0,
        marker: true,
        payload: b"payload".as_slice().into(),
        descriptor: Descriptor::read(Codec::Opus, b"payload"),
        dependency: None,
        arrived: now,
        captured: now,
        audio_level: Some(0x80 | 20),
        orientation: Some(3),
    };
    let bytes = write_packet(StreamId(11), &packet, -5);
    assert_eq!(stream_of(&bytes), Some(StreamId(11)));
    let read = |bytes: &[u8]| {
        read_packet(now, bytes, Codec::Opus, None, |captured| {
            assert_eq!(captured, -5);
            now
        })
    };
    assert_eq!(format!("{:?}", read(&bytes).unwrap()), format!("{packet:?}"));
    for length in 0..bytes.len() - packet.payload.len() {
        assert!(read(&bytes[..length]).is_none(), "{length} bytes");
    }
    let far = write_packet(
        StreamId(11),
        &Packet {
            seq: SeqNo::new(MOST_SEQ),
            ..packet
        },
        -5,
    );
    assert!(read(&far).is_none());
}

/// As version 0.1.0 wrote them. Nodes of this version and of the one before it are in one cluster during an update.
const RECORDED: [&str; 14] = [
    r#"{"kind":"join","room":ROOM,"is_answer":false}"#,
    r#"{"kind":"member","room":ROOM,"user":"ann","serial":1764175000000000,"tracks":[{"source":"camera","track":7,"permitted":true}]}"#,
    r#"{"kind":"gone","room":ROOM,"user":"ann","serial":1764175000000000}"#,
    r#"{"kind":"stream","track":9,"stream":8,"mid":"1","rid":"q","codec":{"payload_type":108,"name":"H264","clock_rate":90000,"channels":null,"parameters":"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"},"height":720,"heights_inside":[180,360,720,0]}"#,
    r#"{"kind":"stream","track":9,"stream":9,"mid":"0","rid":null,"codec":{"payload_type":111,"name":"opus","clock_rate":48000,"channels":2,"parameters":"minptime=10;useinbandfec=1"},"height":null,"heights_inside":null}"#,
    r#"{"kind":"forgotten","stream":8}"#,
    r#"{"kind":"demand","stream":8,"spatial":1,"demand":"watched"}"#,
    r#"{"kind":"demand","stream":8,"spatial":1,"demand":{"unwatched":1500}}"#,
    r#"{"kind":"demand","stream":8,"spatial":1,"demand":"off"}"#,
    r#"{"kind":"demand","stream":8,"spatial":1,"demand":{"waking":20}}"#,
    r#"{"kind":"keyframe","stream":8}"#,
    r#"{"kind":"watched","track":9,"layers":[[8,2]]}"#,
    r#"{"kind":"take","track":9,"is_taken":true}"#,
    r#"{"kind":"custom","room":ROOM,"is_ordered":true,"bytes":[0,255]}"#,
];

#[test]
fn messages_of_earlier_versions_are_read_and_written_in_the_same_way() {
    let now = rotunda_proto::clock::Clock.now();
    let room = serde_json::to_string(&room()).unwrap();
    for recorded in RECORDED.map(|message| message.replace("ROOM", &room)) {
        let message = read_message(now, recorded.as_bytes()).unwrap_or_else(|| panic!("{recorded}"));
        let written: serde_json::Value = serde_json::from_slice(&write_message(now, &message).unwrap()).unwrap();
        let before: serde_json::Value = serde_json::from_str(&recorded).unwrap();
        // A later version may write more, which this one skips.
        for (name, value) in before.as_object().unwrap() {
            assert_eq!(written.get(name), Some(value), "{name} of {recorded}");
        }
        let later = recorded.replacen('{', r#"{"of_a_later_version":{"x":1},"#, 1);
        assert!(read_message(now, later.as_bytes()).is_some(), "{later}");
    }
}

#[test]
fn packets_have_the_bytes_of_earlier_versions() {
    let now = rotunda_proto::clock::Clock.now();
    let recorded =
        b"\0\0\0\0\0\0\0\x0b\0\0\0\0\0\x01\x11\x70\xff\xff\xff\xf0\xff\xff\xff\xff\xff\xff\xff\xfb\x07\x94\x03payload";
    let packet = read_packet(now, recorded, Codec::Opus, None, |captured| {
        assert_eq!(captured, -5);
        now
    });
    let packet = packet.unwrap();
    assert_eq!(
        (packet.seq, packet.time, packet.marker),
        (SeqNo::new(70_000), 0xffff_fff0, true)
    );
    assert_eq!((packet.audio_level, packet.orientation), (Some(0x80 | 20), Some(3)));
    assert_eq!(write_packet(StreamId(11), &packet, -5), recorded);
}
