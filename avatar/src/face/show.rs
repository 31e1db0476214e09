//! Which face is seen: speech shows the one that moves its lips, silence the clip of the state.

use std::sync::Arc;

use rotunda_media::scale::scale_into;
use rotunda_media::video_frame::{VideoFrame, Yuv};
use thiserror::Error;
use tokio::runtime::Handle;

use super::clips::Playing;
use super::renderer::{Renderer, RendererConfig};
use super::{Clips, Drawn, Face};
use crate::config::Config;
use crate::session::Piece;

/// `audiotype`s that need no clip: the rendered face, and the silent state.
const RENDERED: u32 = 0;
const SILENT: u32 = 1;

/// Why a state is not shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no clip for audiotype {audiotype}; there are 0, 1{} (avatar.face.clips)", list(.known))]
pub struct StateError {
    audiotype: u32,
    known: Vec<u32>,
}

fn list(known: &[u32]) -> String {
    known.iter().map(|number| format!(", {number}")).collect()
}

/// The content of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Renderer,
    Drawn,
    Idle,
    Clip,
}

/// See the [module](self).
pub struct Show {
    clips: Arc<Clips>,
    drawn: Drawn,
    renderer: Option<Renderer>,
    idle: Option<Playing>,
    state: u32,
    clip: Option<Playing>,
    canvas: VideoFrame,
    is_speech: bool,
}

impl Show {
    pub fn new(clips: Arc<Clips>, renderer: Option<Renderer>, width: u16, height: u16) -> Self {
        Self {
            idle: clips.idle(),
            clips,
            drawn: Drawn::default(),
            renderer,
            state: RENDERED,
            clip: None,
            canvas: VideoFrame::filled(width.into(), height.into(), Yuv::BLACK),
            is_speech: false,
        }
    }

    /// That of the settings. `runtime`: for the renderer.
    pub fn of(config: &Config, clips: Arc<Clips>, runtime: &Handle) -> Self {
        let renderer = config.face.has_renderer().then(|| {
            let renderer = RendererConfig {
                command: config.face.renderer_command.clone(),
                socket: config.face.renderer_socket.clone(),
                width: config.width.into(),
                height: config.height.into(),
            };
            Renderer::new(renderer, runtime.clone())
        });
        Self::new(clips, renderer, config.width, config.height)
    }

    /// Shows another state. `reinit`: its clip begins anew, also where it is shown already.
    pub fn set_state(&mut self, audiotype: u32, reinit: bool) -> Result<(), StateError> {
        if audiotype == self.state && !reinit {
            return Ok(());
        }
        self.clip = match audiotype {
            RENDERED | SILENT => None,
            _ => Some(self.clips.state(audiotype).ok_or_else(|| StateError {
                audiotype,
                known: self.clips.known(),
            })?),
        };
        if audiotype <= SILENT && reinit {
            self.idle = self.clips.idle();
        }
        self.state = audiotype;
        Ok(())
    }

    /// 20 ms pass: what is heard of the state's clip while nobody speaks.
    pub fn clip_piece(&mut self) -> Option<Piece> {
        if let Some(idle) = &mut self.idle {
            idle.next_piece();
        }
        self.clip.as_mut().and_then(Playing::next_piece)
    }

    /// The 20 ms that are heard after the renderer's delay.
    pub fn feed(&mut self, piece: &Piece) {
        if let Some(renderer) = &mut self.renderer {
            renderer.feed(piece);
        }
    }

    /// The 20 ms that are heard now.
    pub fn hear(&mut self, piece: &Piece) {
        self.is_speech = piece.is_speech;
        // The lips do not move with a clip's own audio.
        self.drawn.hear(if piece.is_speech { piece } else { &Piece::SILENCE });
    }

    /// The frame of now; called after every second piece. `number`: counts frames, those that were left out included.
    pub fn paint(&mut self, number: u64) -> (&VideoFrame, Seen) {
        let seen = self.choose(number);
        (&self.canvas, seen)
    }

    fn choose(&mut self, number: u64) -> Seen {
        // Always asked, so that it does not fall behind unseen.
        let rendered = match &mut self.renderer {
            Some(renderer) => renderer.paint(number, &mut self.canvas),
            None => false,
        };
        if !self.is_speech {
            if put(self.clip.as_mut(), &mut self.canvas) {
                return Seen::Clip;
            }
            if put(self.idle.as_mut(), &mut self.canvas) {
                return Seen::Idle;
            }
        }
        if rendered {
            return Seen::Renderer;
        }
        // A renderer that fails is replaced by the idle clip.
        if self.renderer.is_some() && put(self.idle.as_mut(), &mut self.canvas) {
            return Seen::Idle;
        }
        self.drawn.paint(&mut self.canvas);
        Seen::Drawn
    }
}

fn put(clip: Option<&mut Playing>, canvas: &mut VideoFrame) -> bool {
    let Some(frame) = clip.and_then(Playing::frame) else {
        return false;
    };
    let whole = canvas.rect();
    scale_into(canvas, whole, frame, frame.rect());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_state_is_refused_by_name_and_changes_nothing() {
        let mut show = Show::new(Arc::new(Clips::default()), None, 64, 64);
        assert!(show.set_state(1, true).is_ok());
        let error = show.set_state(7, true).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no clip for audiotype 7; there are 0, 1 (avatar.face.clips)"
        );
        assert_eq!(show.state, 1);
        assert_eq!(show.paint(0).1, Seen::Drawn);
    }
}
