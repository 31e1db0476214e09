//! Draws the first frame of a mix without a room: what a caller would get.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rotunda_bus::{Request, Requests};
use rotunda_media::draw::Font;
use rotunda_media::picture::{Picture, PictureError, to_png};
use rotunda_proto::ids::{RoomKey, RoomUser, TrackSource};
use rotunda_proto::mix::{MAX_INPUTS, MixSpec, PictureId};
use rotunda_proto::mix_preview::{PreviewMember, PreviewReply, PreviewRequest};
use rotunda_proto::room::TrackState;
use rotunda_store::Store;
use tokio_util::sync::CancellationToken;

use crate::compositor::{Compositor, Shown};
use crate::layout::{Canvas, Member, lay_out};

/// The PNG of a mix with these members; None: it has no video.
///
/// Errors: [`PictureError::Encode`].
pub fn draw(
    spec: &MixSpec,
    members: &[PreviewMember],
    pictures: HashMap<PictureId, Picture>,
    font: Option<Font>,
) -> Result<Option<Vec<u8>>, PictureError> {
    let Some(video) = spec.video else { return Ok(None) };
    let canvas = Canvas {
        width: usize::from(video.width),
        height: usize::from(video.height),
    };
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
    to_png(compositor.compose(|_| Shown::Card, |_| false)).map(Some)
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
        Ok(Ok(Some(file))) => PreviewReply::Png {
            data: STANDARD.encode(file),
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
