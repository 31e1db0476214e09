//! What a task wants to receive: what its scene shows and lets be heard, and no more.

use rotunda_proto::ids::UserId;
use rotunda_proto::mix::PictureRef;

use crate::layout::{Content, Scene};

/// See the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    pub sounds: Vec<UserId>,
    pub pictures: Vec<PictureWant>,
}

/// One picture and how high its biggest cell is, pixels: a bigger simulcast layer is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureWant {
    pub picture: PictureRef,
    pub max_height: u16,
}

impl Wants {
    pub fn of(scene: &Scene) -> Self {
        let mut pictures: Vec<PictureWant> = Vec::new();
        for placement in scene
            .placements
            .iter()
            .filter(|placement| placement.content == Content::Picture)
        {
            let max_height = u16::try_from(placement.rect.height).unwrap_or(u16::MAX);
            match pictures.iter_mut().find(|want| want.picture == placement.picture) {
                Some(want) => want.max_height = want.max_height.max(max_height),
                None => pictures.push(PictureWant {
                    picture: placement.picture.clone(),
                    max_height,
                }),
            }
        }
        Self {
            sounds: scene.heard.clone(),
            pictures,
        }
    }
}
