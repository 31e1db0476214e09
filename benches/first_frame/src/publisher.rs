//! The publisher: a camera whose keyframes come at the start and on request.

use std::time::Instant;

use anyhow::Context;
use rotunda_client::Received;
use rotunda_client::source::Encoded;
use rotunda_media::codec::VideoCodec;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{TrackSource, UserId};
use rotunda_proto::signaling::{Request, Role};
use rotunda_sfu::simulated::Network;
use tokio::sync::oneshot;

use crate::member::{Client, Media, connect, enter};
use crate::plan::Plan;
use crate::stream::Door;

pub const NAME: &str = "publisher";
/// Bytes of a keyframe and of any other frame.
const KEYFRAME: usize = 9_000;
const FRAME: usize = 1_000;

pub struct Publisher {
    client: Client,
    media: Media,
    /// The SFU node of its session.
    pub node: usize,
}

impl Publisher {
    /// Enters and publishes its camera. `number`: as for [`Media::offer`].
    pub async fn enter(plan: &Plan, door: &Door, network: &Network, number: usize) -> anyhow::Result<Self> {
        let user: UserId = NAME.parse()?;
        let (mut client, _) = enter(plan, door, &user, Role::Anchor).await?;
        let (mut media, offer, lines) = Media::offer(network, number)?;
        let (answer, node) = connect(&mut client, offer, lines).await?;
        media.session.handle_answer(Clock.now(), &answer)?;
        let publish = Request::Publish {
            source: TrackSource::Camera,
            muted: false,
        };
        client.request(publish).await.context("publish")?;
        Ok(Self { client, media, node })
    }

    /// Sends frames until the process ends. `connected`: told when the session is.
    pub async fn run(mut self, plan: &Plan, connected: oneshot::Sender<()>) -> anyhow::Result<()> {
        let (began, mut connected) = (Clock.now(), Some(connected));
        let (mut number, mut wants_keyframe) = (0, true);
        loop {
            let frame_at = began + plan.frame_interval() * number;
            tokio::select! {
                () = self.media.due() => {}
                () = Clock.sleep_until(frame_at) => {
                    self.send(began, frame_at, std::mem::take(&mut wants_keyframe))?;
                    number += 1;
                }
                event = self.client.next_event() => drop(event?),
            }
            self.media.turn(Clock.now())?;
            while let Some(received) = self.media.poll_received() {
                match received {
                    Received::Connected => {
                        wants_keyframe = true;
                        if let Some(connected) = connected.take() {
                            let _nobody_waits = connected.send(());
                        }
                    }
                    Received::KeyframeWanted => wants_keyframe = true,
                    Received::Disconnected => anyhow::bail!("the publisher's session was lost"),
                    Received::Frame { .. } => {}
                }
            }
        }
    }

    fn send(&mut self, began: Instant, captured: Instant, is_keyframe: bool) -> anyhow::Result<()> {
        let ticks = captured.saturating_duration_since(began).as_micros() * 9 / 100;
        let frame = Encoded {
            source: TrackSource::Camera,
            codec: VideoCodec::Vp8,
            data: vp8(is_keyframe).into(),
            ticks: ticks.try_into()?,
            captured,
            level_dbov: None,
        };
        Ok(self.media.session.send(Clock.now(), frame)?)
    }
}

/// RFC 6386 §9.1: the tag of a frame, and of a keyframe the start code and the size; the rest is empty.
fn vp8(is_keyframe: bool) -> Vec<u8> {
    const WIDTH: u16 = 640;
    const HEIGHT: u16 = 360;
    let mut frame = vec![0x10 | u8::from(!is_keyframe), 0x02, 0x00];
    if is_keyframe {
        frame.extend_from_slice(&[0x9d, 0x01, 0x2a]);
        frame.extend_from_slice(&WIDTH.to_le_bytes());
        frame.extend_from_slice(&HEIGHT.to_le_bytes());
    }
    frame.resize(if is_keyframe { KEYFRAME } else { FRAME }, 0);
    frame
}
