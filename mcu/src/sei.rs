//! Supplemental enhancement information in the output: which member is where on the canvas, for applications that lay controls over the
//! video or record who was seen. It is JSON in an H.264 "user data unregistered" message (ITU-T H.264 §D.1.7, §D.2.7).

use rotunda_proto::ids::{RoomKey, RoomUser, TrackSource};
use rotunda_proto::mix_layout::{CanvasSize, LayoutRegion, ShownLayout};
use serde::Serialize;

use crate::layout::{Canvas, Scene};

/// Identifies the JSON below.
pub const UUID: [u8; 16] = *b"rotunda-layout-1";
const NAL_SEI: u8 = 6;
const USER_DATA_UNREGISTERED: u8 = 5;
const TRAILING: u8 = 0x80;

#[derive(Serialize)]
struct Message {
    canvas: CanvasSize,
    regions: Vec<Region>,
    revision: u64,
    /// Milliseconds since the program began.
    ts: u64,
}

#[derive(Serialize)]
struct Region {
    #[serde(flatten)]
    region: LayoutRegion,
    /// Loudness of the last moment, 0 to 255, as TRTC and Agora count it.
    volume: u8,
}

/// The layout of a scene that the frame at `millis` of the program is the first to show. `home`: the room of the mix.
pub fn shown(home: &RoomKey, canvas: Canvas, scene: &Scene, millis: u64) -> ShownLayout {
    let regions = scene.placements.iter().map(|placement| LayoutRegion {
        uid: placement.video.user.clone(),
        room: (placement.video.room != *home).then(|| placement.video.room.room.clone()),
        stream: u8::from(placement.video.track == TrackSource::Screen),
        x: placement.rect.x,
        y: placement.rect.y,
        w: placement.rect.width,
        h: placement.rect.height,
        z: placement.z,
    });
    ShownLayout {
        revision: scene.revision,
        program_ms: millis,
        canvas: CanvasSize {
            w: canvas.width,
            h: canvas.height,
        },
        regions: regions.collect(),
    }
}

/// The NAL unit, without a start code or length. `home`: the room of the mix. `volume`: of a member, 0 to 255.
pub fn layout(home: &RoomKey, canvas: Canvas, scene: &Scene, millis: u64, volume: impl Fn(&RoomUser) -> u8) -> Vec<u8> {
    let ShownLayout { canvas, regions, .. } = shown(home, canvas, scene, millis);
    let volumes = scene
        .placements
        .iter()
        .map(|placement| volume(&placement.video.member()));
    let regions = regions.into_iter().zip(volumes);
    let message = Message {
        canvas,
        regions: regions.map(|(region, volume)| Region { region, volume }).collect(),
        revision: scene.revision,
        ts: millis,
    };
    let mut payload = UUID.to_vec();
    // Strings and numbers always become JSON.
    payload.extend(serde_json::to_vec(&message).unwrap_or_default());
    nal(&payload)
}

fn nal(payload: &[u8]) -> Vec<u8> {
    let mut message = vec![USER_DATA_UNREGISTERED];
    let mut size = payload.len();
    while size >= 255 {
        message.push(255);
        size -= 255;
    }
    message.push(size as u8);
    message.extend_from_slice(payload);
    message.push(TRAILING);
    let mut nal = vec![NAL_SEI];
    let mut zeros = 0;
    for byte in message {
        // §7.4.1: three bytes that look like a start code are kept apart.
        if zeros == 2 && byte <= 3 {
            nal.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        nal.push(byte);
    }
    nal
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rotunda_media::video_frame::Rect;
    use rotunda_proto::mix::RenderMode;
    use serde_json::{Value, json};

    use super::*;
    use crate::layout::{Content, Placement};
    use crate::test_ids::{member, room};

    /// The payload of a NAL unit as a reader takes it out.
    fn payload(nal: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut zeros = 0;
        for byte in &nal[1..] {
            if zeros == 2 && *byte == 3 {
                zeros = 0;
                continue;
            }
            zeros = if *byte == 0 { zeros + 1 } else { 0 };
            bytes.push(*byte);
        }
        assert_eq!((nal[0], bytes[0]), (NAL_SEI, USER_DATA_UNREGISTERED));
        let (mut at, mut size) = (1, 0);
        loop {
            size += usize::from(bytes[at]);
            at += 1;
            if bytes[at - 1] != 255 {
                break;
            }
        }
        assert_eq!(bytes[at + size..], [TRAILING]);
        bytes[at..at + size].to_vec()
    }

    #[test]
    fn it_names_canvas_regions_users_volumes_and_time() {
        let scene = Scene {
            revision: 7,
            placements: vec![Placement {
                video: member("ann").track(TrackSource::Screen),
                content: Content::Live,
                rect: Rect {
                    x: 2,
                    y: 4,
                    width: 640,
                    height: 360,
                },
                z: 3,
                render_mode: RenderMode::Crop,
                placeholder: None,
            }],
            ..Scene::default()
        };
        let canvas = Canvas {
            width: 1280,
            height: 720,
        };
        let payload = payload(&layout(&room(), canvas, &scene, 1234, |_| 200));
        assert_eq!(payload[..16], UUID);
        let read: Value = serde_json::from_slice(&payload[16..]).unwrap();
        let region = json!({ "uid": "ann", "stream": 1, "x": 2, "y": 4, "w": 640, "h": 360, "z": 3, "volume": 200 });
        let all = json!({ "canvas": { "w": 1280, "h": 720 }, "regions": [region], "revision": 7, "ts": 1234 });
        assert_eq!(read, all);
    }

    #[test]
    fn a_member_of_another_room_has_its_name() {
        let mut video = member("ann").track(TrackSource::Camera);
        video.room.room = "text:lobby".parse().unwrap();
        let scene = Scene {
            placements: vec![Placement {
                video,
                content: Content::Card,
                rect: Rect {
                    x: 0,
                    y: 0,
                    width: 2,
                    height: 2,
                },
                z: 0,
                render_mode: RenderMode::Crop,
                placeholder: None,
            }],
            ..Scene::default()
        };
        let canvas = Canvas { width: 2, height: 2 };
        let payload = payload(&layout(&room(), canvas, &scene, 0, |_| 0));
        let read: Value = serde_json::from_slice(&payload[16..]).unwrap();
        assert_eq!(
            read["regions"][0]["room"],
            serde_json::to_value(&scene.placements[0].video.room.room).unwrap()
        );
    }

    proptest! {
        #[test]
        fn any_payload_is_read_again_and_looks_like_no_start_code(bytes in prop::collection::vec(0..4_u8, 0..700)) {
            let nal = nal(&bytes);
            prop_assert!(nal.windows(3).all(|three| !matches!(three, [0, 0, 0..=2])));
            prop_assert_eq!(payload(&nal), bytes);
        }
    }
}
