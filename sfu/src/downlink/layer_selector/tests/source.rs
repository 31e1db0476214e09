//! A publisher of random layers, whose frames say which frames they need.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::ingress::packet::Packet;
use crate::units::SeqNo;
use crate::wire::dependency::{Dependency, Structure};
use crate::wire::descriptor::{Descriptor, PictureId};
use crate::wire::layers::{LayerFrame, OperatingPoint, OperatingPoints};

/// The way in which a stream describes its layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// A dependency descriptor.
    Dependencies,
    /// VP9's bits P and U.
    Vp9,
    /// VP8's bit Y; no spatial layers.
    Vp8,
}

#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub says: Says,
    pub spatial: u8,
    pub temporal: u8,
    /// Larger pictures need smaller ones at keyframes alone.
    pub key_only: bool,
}

/// A publisher.
pub struct Source {
    shape: Shape,
    start: Instant,
    pub seq: u64,
    pub picture: u32,
    /// Since the keyframe.
    phase: u32,
    frames: u16,
    /// By spatial layer: the newest frame of each temporal layer.
    newest: BTreeMap<(u8, u8), u16>,
}

pub struct Frame {
    pub number: u16,
    pub point: OperatingPoint,
    pub needs: Vec<u16>,
    pub packets: Vec<Arc<Packet>>,
}

impl Source {
    pub fn new(shape: Shape, start: Instant) -> Self {
        Self {
            shape,
            start,
            seq: 60_000,
            picture: 0x7ff0,
            phase: 0,
            frames: 65_500,
            newest: BTreeMap::new(),
        }
    }

    fn temporal(&self) -> u8 {
        let pattern: &[u8] = match self.shape.temporal {
            1 => &[0],
            2 => &[0, 1],
            _ => &[0, 2, 1, 2],
        };
        pattern[self.phase as usize % pattern.len()]
    }

    /// The frame of the same size that one of this temporal layer needs.
    fn before(&self, spatial: u8, temporal: u8) -> Option<u16> {
        let below = if temporal == 0 { 0 } else { temporal - 1 };
        // The newest of those below; of the third layer's, what came last before it.
        let candidates = (0..=below).filter_map(|temporal| self.newest.get(&(spatial, temporal)));
        candidates
            .max_by_key(|number| number.wrapping_sub(self.frames.wrapping_sub(1000)))
            .copied()
    }

    pub fn picture(&mut self, is_key: bool, packets: usize) -> Vec<Frame> {
        if is_key {
            self.phase = 0;
            self.newest.clear();
        }
        let temporal = self.temporal();
        let mut frames = Vec::new();
        for spatial in 0..self.shape.spatial {
            let number = self.frames;
            self.frames = self.frames.wrapping_add(1);
            let mut needs = Vec::new();
            if spatial > 0 && (is_key || !self.shape.key_only) {
                needs.push(number.wrapping_sub(1));
            }
            if !is_key {
                needs.extend(self.before(spatial, temporal));
            }
            let point = OperatingPoint { spatial, temporal };
            let is_last = spatial + 1 == self.shape.spatial;
            let layer = self.layer_frame(point, &needs, is_key);
            let packets = (0..packets)
                .map(|at| self.packet(layer, number, [at == 0, at + 1 == packets, is_last], is_key))
                .collect();
            frames.push(Frame {
                number,
                point,
                needs,
                packets,
            });
        }
        for spatial in 0..self.shape.spatial {
            let number = frames[usize::from(spatial)].number;
            self.newest.insert((spatial, temporal), number);
        }
        self.phase += 1;
        self.picture += 1;
        frames
    }

    fn layer_frame(&self, point: OperatingPoint, needs: &[u16], is_key: bool) -> LayerFrame {
        let Shape { says, key_only, .. } = self.shape;
        let opens = is_key && point.spatial == 0;
        let mut switches = OperatingPoints::default();
        match says {
            Says::Dependencies => {
                let every = (0..4).flat_map(|spatial| (0..4).map(move |temporal| OperatingPoint { spatial, temporal }));
                for target in every.filter(|target| point.is_within(*target)) {
                    let same =
                        target.spatial == point.spatial && (point.temporal == 0 || target.temporal > point.temporal);
                    if same || is_key && target.spatial >= point.spatial {
                        switches.insert(target);
                    }
                }
            }
            Says::Vp9 if opens => switches = OperatingPoints::ALL,
            Says::Vp9 if point.temporal == 0 => switches = OperatingPoints::of_spatial(point.spatial),
            Says::Vp8 if opens => switches = OperatingPoints::ALL,
            _ => {}
        }
        let needs_base_alone = says == Says::Vp8 && needs.iter().all(|need| self.newest.get(&(0, 0)) == Some(need));
        assert!(!key_only || says != Says::Vp8);
        LayerFrame {
            point,
            switches,
            needs_base_alone,
            ..LayerFrame::default()
        }
    }

    fn packet(
        &mut self,
        layer: LayerFrame,
        number: u16,
        [begins, ends, is_last]: [bool; 3],
        is_key: bool,
    ) -> Arc<Packet> {
        self.seq += 1;
        let is_vp8 = self.shape.says == Says::Vp8;
        let dependency = Dependency {
            begins_frame: begins,
            ends_frame: ends,
            template: 0,
            frame: number,
            structure: Arc::new(Structure::default()),
            carries_structure: false,
            active: None,
            indications: None,
            references: None,
            chains: None,
        };
        Arc::new(Packet {
            seq: SeqNo::new(self.seq),
            time: self.picture * 3000,
            marker: ends && is_last,
            payload: vec![0; 10].into(),
            descriptor: Descriptor {
                starts_keyframe: is_key && begins && layer.point.spatial == 0,
                picture_id: Some(PictureId {
                    value: self.picture as u16 & 0x7fff,
                    offset: 2,
                    wide: true,
                    counted: is_vp8,
                }),
                layer: Some(LayerFrame {
                    begins,
                    ends: ends && !is_vp8,
                    ..layer
                }),
                ..Descriptor::default()
            },
            dependency: (self.shape.says == Says::Dependencies).then(|| Box::new(dependency)),
            arrived: self.start,
            captured: self.start,
            audio_level: None,
            orientation: None,
        })
    }
}
