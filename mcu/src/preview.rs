//! Draws the first frame of a mix without a room: what a caller would get.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rotunda_bus::{Request, Requests};
use rotunda_media::draw::Font;
use rotunda_media::picture::{Picture, PictureError, to_png};
use rotunda_media::scale::scale_into;
use rotunda_media::video_frame::{VideoFrame, Yuv};
use rotunda_proto::ids::{RoomKey, RoomUser, TrackSource};
use rotunda_proto::mix::{MAX_INPUTS, MixSpec, PictureId};
use rotunda_proto::mix_preview::{MAX_PNG, PreviewMember, PreviewReply, PreviewRequest};
use rotunda_proto::room::TrackState;
use rotunda_store::Store;
use tokio_util::sync::CancellationToken;

use crate::compositor::{Compositor, Shown};
use crate::layout::{Canvas, Member, lay_out};

/// A frame with a side below this is not scaled down.
const SMALLEST: usize = 64;

/// The first frame of a mix.
#[derive(Debug)]
pub struct Drawn {
    /// PNG.
    pub file: Vec<u8>,
    /// Pixels.
    pub width: u16,
    pub height: u16,
}

/// The PNG of a mix with these members; None: it has no video.
///
/// Errors: [`PictureError::Encode`].
pub fn draw(
    spec: &MixSpec,
    members: &[PreviewMember],
    pictures: HashMap<PictureId, Picture>,
    font: Option<Font>,
) -> Result<Option<Drawn>, PictureError> {
    let Some(video) = spec.video else { return Ok(None) };
    let canvas = Canvas::of(video);
    let members: Vec<Member> = members
        .iter()
        .take(2 * MAX_INPUTS)
        .map(|member| self::member(&spec.room, member))
        .collect();
    let mut compositor = Compositor::new(canvas, video.background_rgb, font);
    for (id, picture) in pictures {
        compositor.handle_picture(id, Some(picture));
    }
    compositor.handle_scene(&lay_out(&spec.room, &spec.layout, &members, Some(canvas)));
    to_small_png(compositor.compose(|_| Shown::Card, |_| false)).map(Some)
}

/// Scales the frame down until its file fits into a message.
fn to_small_png(frame: &VideoFrame) -> Result<Drawn, PictureError> {
    let (mut width, mut height) = (frame.width(), frame.height());
    let mut file = to_png(frame)?;
    while file.len() > MAX_PNG && width.min(height) >= SMALLEST {
        (width, height) = (width / 4 * 2, height / 4 * 2);
        let mut smaller = VideoFrame::filled(width, height, Yuv::from_rgb(0));
        let dest = smaller.rect();
        scale_into(&mut smaller, dest, frame, frame.rect());
        file = to_png(&smaller)?;
    }
    Ok(Drawn {
        file,
        width: width as u16,
        height: height as u16,
    })
}

/// Answers requests for previews, one after the other, until `shutdown`.
pub async fn serve(mut requests: Requests, store: Store, shutdown: CancellationToken) {
    loop {
        let request = tokio::select! {
            () = shutdown.cancelled() => return,
            request = requests.next() => request,
        };
        answer(request, &store).await;
    }
}

async fn answer(request: Request, store: &Store) {
    let PreviewRequest { spec, members } = match request.parse() {
        Ok(asked) => asked,
        Err(error) => {
            let reason = error.to_string();
            return request.answer(&PreviewReply::Failed { reason });
        }
    };
    let mut files = Vec::new();
    for id in spec.layout.pictures() {
        // Without the picture the preview has what a mix has: the background colour or the name card.
        if let Ok(Some(picture)) = store.picture(spec.room.app, id.get()).await {
            files.push((id, picture.content));
        }
    }
    let drawn = tokio::task::spawn_blocking(move || {
        let decoded = files
            .into_iter()
            .filter_map(|(id, file)| Some((id, Picture::decode(&file).ok()?)));
        draw(&spec, &members, decoded.collect(), Font::system())
    });
    let reply = match drawn.await {
        Ok(Ok(Some(Drawn { file, width, height }))) => PreviewReply::Png {
            data: STANDARD.encode(file),
            width,
            height,
        },
        Ok(Ok(None)) => PreviewReply::NoVideo,
        Ok(Err(error)) => PreviewReply::Failed {
            reason: error.to_string(),
        },
        Err(error) => PreviewReply::Failed {
            reason: error.to_string(),
        },
    };
    request.answer(&reply);
}

fn member(own: &RoomKey, member: &PreviewMember) -> Member {
    let on = |source: TrackSource| member.sources.contains(&source).then_some(TrackState::On);
    Member {
        id: RoomUser {
            room: RoomKey {
                app: own.app,
                room: member.room.clone().unwrap_or_else(|| own.room.clone()),
            },
            user: member.user.clone(),
        },
        audio: on(TrackSource::Audio),
        camera: on(TrackSource::Camera),
        screen: on(TrackSource::Screen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_whose_file_is_too_large_is_scaled_down() {
        let mut noise = VideoFrame::filled(1280, 720, Yuv::from_rgb(0));
        let mut state = 1_u32;
        for plane in noise.planes_mut() {
            for byte in plane {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (state >> 24) as u8;
            }
        }
        assert!(to_png(&noise).unwrap().len() > MAX_PNG);
        let small = to_small_png(&noise).unwrap();
        assert!(small.file.len() <= MAX_PNG);
        assert_eq!((small.width, small.height), (640, 360));
        let picture = Picture::decode(&small.file).unwrap();
        assert_eq!((picture.rect().width, picture.rect().height), (640, 360));
        let plain = to_small_png(&VideoFrame::filled(1280, 720, Yuv::from_rgb(0))).unwrap();
        assert_eq!((plain.width, plain.height), (1280, 720));
    }
}
