//! The parts of a packet's payload that forwarding needs: where keyframes start, and the numbers that have to go on when a slot
//! changes its source.

use str0m::format::Codec;

use super::dependency::Dependency;
use super::frame_height;
use super::layers::{LayerFrame, OperatingPoint, OperatingPoints};

/// Spatial layers of one stream that are told apart; browsers send three at most.
pub const SPATIAL_LAYERS: usize = 4;

/// Parsed once a packet, used for every viewer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// A decoder can begin with this packet. Audio: always.
    pub starts_keyframe: bool,
    pub picture_id: Option<PictureId>,
    pub tl0: Option<Tl0>,
    /// Frame height, if this packet has it.
    pub height: Option<u16>,
    /// By spatial layer, lowest first, where this packet says it; 0: there is none.
    pub heights: [u16; SPATIAL_LAYERS],
    /// None: the stream has no layers that could be left out.
    pub layer: Option<LayerFrame>,
}

/// Picture id of VP8 (RFC 7741 §4.2) or VP9 (RFC 9628 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureId {
    pub value: u16,
    pub offset: u8,
    /// 15 bits; else 7, which are left as they are.
    pub wide: bool,
    /// VP8 decoders wait for a missing number, as nothing tells which pictures a picture needs.
    pub counted: bool,
}

/// TL0PICIDX of VP8 and VP9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tl0 {
    pub value: u8,
    pub offset: u8,
}

impl Descriptor {
    /// A payload that cannot be read is a packet without a keyframe.
    pub fn read(codec: Codec, payload: &[u8]) -> Self {
        match codec {
            Codec::Vp8 => vp8(payload).unwrap_or_default(),
            Codec::Vp9 => vp9(payload).unwrap_or_default(),
            Codec::H264 => Self {
                starts_keyframe: starts_h264(payload),
                height: frame_height::h264(payload),
                ..Self::default()
            },
            Codec::H265 => Self {
                starts_keyframe: starts_h265(payload),
                ..Self::default()
            },
            Codec::Av1 => Self {
                // N: the first packet of a coded video sequence (AV1 RTP §4.4).
                starts_keyframe: payload.first().is_some_and(|aggregation| aggregation & 0x08 != 0),
                height: frame_height::av1(payload),
                ..Self::default()
            },
            codec => Self {
                starts_keyframe: codec.is_audio(),
                ..Self::default()
            },
        }
    }

    /// With what the dependency descriptor says of the packet.
    pub fn with(mut self, dependency: Option<&Dependency>) -> Self {
        let Some(dependency) = dependency else {
            return self;
        };
        self.layer = Some(dependency.layer_frame());
        if dependency.carries_structure {
            for (layer, place) in (0..).zip(&mut self.heights) {
                *place = dependency.structure.height(layer).unwrap_or(0);
            }
            let largest = self.heights.into_iter().max().filter(|height| *height > 0);
            self.height = largest.or(self.height);
        }
        self
    }

    /// Writes the viewer's numbers into its copy of the payload.
    pub fn patch(&self, payload: &mut [u8], picture_id: u16, tl0: u8) {
        if let Some(PictureId { offset, wide: true, .. }) = self.picture_id
            && let Some(field) = payload.get_mut(usize::from(offset)..usize::from(offset) + 2)
        {
            field.copy_from_slice(&(0x8000 | picture_id & 0x7fff).to_be_bytes());
        }
        if let Some(Tl0 { offset, .. }) = self.tl0
            && let Some(field) = payload.get_mut(usize::from(offset))
        {
            *field = tl0;
        }
    }
}

fn picture_id(payload: &[u8], offset: usize) -> Option<(PictureId, usize)> {
    let first = *payload.get(offset)?;
    let wide = first & 0x80 != 0;
    let value = if wide {
        u16::from_be_bytes([first & 0x7f, *payload.get(offset + 1)?])
    } else {
        first.into()
    };
    let id = PictureId {
        value,
        offset: u8::try_from(offset).ok()?,
        wide,
        counted: false,
    };
    Some((id, offset + if wide { 2 } else { 1 }))
}

fn vp8(payload: &[u8]) -> Option<Descriptor> {
    let first = *payload.first()?;
    let mut at = 1;
    let mut found = Descriptor::default();
    // TID, and Y: it needs the base layer alone.
    let mut temporal = None;
    if first & 0x80 != 0 {
        let extended = *payload.get(1)?;
        at = 2;
        if extended & 0x80 != 0 {
            let (id, next) = picture_id(payload, at)?;
            found.picture_id = Some(PictureId { counted: true, ..id });
            at = next;
        }
        if extended & 0x40 != 0 {
            found.tl0 = Some(Tl0 {
                value: *payload.get(at)?,
                offset: at as u8,
            });
            at += 1;
        }
        if extended & 0x30 != 0 {
            let index = *payload.get(at)?;
            if extended & 0x20 != 0 {
                temporal = Some((index >> 6, index & 0x20 != 0));
            }
            at += 1;
        }
    }
    // S set, partition 0, and the frame's own first bit clear (RFC 6386 §9.1).
    let begins_frame = first & 0x10 != 0 && first & 0x07 == 0;
    let frame = payload.get(at..)?;
    found.starts_keyframe = begins_frame && frame.first().is_some_and(|byte| byte & 1 == 0);
    // Numbers of 7 bits stay as they are, so that no picture can be dropped.
    if let (Some((temporal, needs_base)), Some(PictureId { wide: true, .. })) = (temporal, found.picture_id) {
        found.layer = Some(LayerFrame {
            point: OperatingPoint { spatial: 0, temporal },
            begins: begins_frame,
            // The marker says it.
            ends: false,
            switches: if found.starts_keyframe {
                OperatingPoints::ALL
            } else {
                OperatingPoints::default()
            },
            needs_base_alone: needs_base,
        });
    }
    if found.starts_keyframe && frame.get(3..6) == Some(&[0x9d, 0x01, 0x2a]) {
        let height = frame.get(8..10)?;
        found.height = Some(u16::from_le_bytes([height[0], height[1]]) & 0x3fff);
    }
    Some(found)
}

fn vp9(payload: &[u8]) -> Option<Descriptor> {
    const ID: u8 = 0x80;
    const INTER: u8 = 0x40;
    const LAYERS: u8 = 0x20;
    const FLEXIBLE: u8 = 0x10;
    const BEGINS: u8 = 0x08;
    const ENDS: u8 = 0x04;
    const STRUCTURE: u8 = 0x02;
    let first = *payload.first()?;
    let mut at = 1;
    let mut found = Descriptor::default();
    if first & ID != 0 {
        let (id, next) = picture_id(payload, at)?;
        found.picture_id = Some(id);
        at = next;
    }
    let mut spatial = 0;
    if first & LAYERS != 0 {
        let indices = *payload.get(at)?;
        spatial = indices >> 1 & 7;
        let switches = match (first & INTER == 0 && spatial == 0, indices & 0x10 != 0) {
            (true, _) => OperatingPoints::ALL,
            // U: later pictures need none before this one that is above it in time.
            (false, true) => OperatingPoints::of_spatial(spatial),
            (false, false) => OperatingPoints::default(),
        };
        found.layer = Some(LayerFrame {
            point: OperatingPoint {
                spatial,
                temporal: indices >> 5,
            },
            begins: first & BEGINS != 0,
            ends: first & ENDS != 0,
            switches,
            needs_base_alone: false,
        });
        at += 1;
        if first & FLEXIBLE == 0 {
            found.tl0 = Some(Tl0 {
                value: *payload.get(at)?,
                offset: at as u8,
            });
            at += 1;
        }
    }
    found.starts_keyframe = first & INTER == 0 && first & BEGINS != 0 && spatial == 0;
    if first & FLEXIBLE != 0 && first & INTER != 0 {
        // Up to three reference indices, each saying whether another follows.
        for _ in 0..3 {
            let more = *payload.get(at)? & 1 != 0;
            at += 1;
            if !more {
                break;
            }
        }
    }
    if first & STRUCTURE != 0 {
        let structure = *payload.get(at)?;
        if structure & 0x10 != 0 {
            // The highest layer is the last.
            let sizes = payload.get(at + 1..at + 5 + 4 * usize::from(structure >> 5))?;
            for (place, size) in found.heights.iter_mut().zip(sizes.chunks_exact(4)) {
                *place = u16::from_be_bytes([size[2], size[3]]);
            }
            let highest = sizes.last_chunk().map(|last| u16::from_be_bytes(*last));
            found.height = highest;
        }
    } else if found.starts_keyframe {
        found.height = frame_height::vp9(payload.get(at..)?);
    }
    Some(found)
}

/// RFC 6184 §5.4, §5.7.1, §5.8: an SPS, an aggregate that begins with one, or the first fragment of an IDR.
fn starts_h264(payload: &[u8]) -> bool {
    const IDR: u8 = 5;
    const SPS: u8 = 7;
    const STAP_A: u8 = 24;
    const FU_A: u8 = 28;
    let kind = |header: &u8| header & 0x1f;
    match payload.first().map(kind) {
        Some(SPS | IDR) => true,
        Some(STAP_A) => payload.get(3).map(kind) == Some(SPS),
        Some(FU_A) => payload
            .get(1)
            .is_some_and(|header| header & 0x80 != 0 && kind(header) == IDR),
        _ => false,
    }
}

/// RFC 7798 §4.4: parameter sets or an IRAP picture, alone, aggregated or as a first fragment.
fn starts_h265(payload: &[u8]) -> bool {
    const AGGREGATE: u8 = 48;
    const FRAGMENT: u8 = 49;
    let opens = |kind: u8| (16..=21).contains(&kind) || (32..=34).contains(&kind);
    let kind = |header: &u8| header >> 1 & 0x3f;
    match payload.first().map(kind) {
        Some(AGGREGATE) => payload.get(4).map(kind).is_some_and(opens),
        Some(FRAGMENT) => payload
            .get(2)
            .is_some_and(|header| header & 0x80 != 0 && opens(header & 0x3f)),
        Some(single) => opens(single),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn h264_key_frames_begin_with_parameter_sets_or_an_idr() {
        let starts = |payload: &[u8]| Descriptor::read(Codec::H264, payload).starts_keyframe;
        assert!(starts(&[0x67, 0x42]));
        assert!(starts(&[0x78, 0x00, 0x0e, 0x67]));
        assert!(starts(&[0x7c, 0x85, 0x88]));
        assert!(!starts(&[0x7c, 0x05, 0x88]), "a later fragment of the IDR");
        assert!(!starts(&[0x41, 0x9a]));
        assert!(!starts(&[]));
    }

    #[test]
    fn vp8_key_frames_have_their_start_bit_numbers_and_size() {
        let key = [
            0x90, 0xe0, 0x81, 0x02, 9, 0x20, 0x50, 0x01, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01,
        ];
        let found = Descriptor::read(Codec::Vp8, &key);
        assert!(found.starts_keyframe);
        assert_eq!(found.height, Some(360));
        assert_eq!(found.picture_id.map(|id| id.value), Some(0x102));
        let mut copy = key;
        found.patch(&mut copy, 0x7abc, 200);
        let again = Descriptor::read(Codec::Vp8, &copy);
        assert_eq!(again.picture_id.map(|id| id.value), Some(0x7abc));
        assert_eq!(again.tl0.map(|tl0| tl0.value), Some(200));
        assert!(!Descriptor::read(Codec::Vp8, &[0x10, 0x51, 0x01]).starts_keyframe);
        assert!(!Descriptor::read(Codec::Vp8, &[0x00, 0x50, 0x01]).starts_keyframe);
    }

    #[test]
    fn vp9_and_av1_and_h265_key_frames_are_known() {
        // Id of 15 bits, begins a frame, with a structure of one layer 640x360.
        let key = [0x8a, 0x81, 0x02, 0x10, 0x02, 0x80, 0x01, 0x68, 0x82];
        let found = Descriptor::read(Codec::Vp9, &key);
        assert!(found.starts_keyframe);
        assert_eq!(
            (found.height, found.picture_id.map(|id| id.value)),
            (Some(360), Some(0x102))
        );
        assert!(!Descriptor::read(Codec::Vp9, &[0xc8, 0x81, 0x02, 0]).starts_keyframe);
        assert!(Descriptor::read(Codec::Av1, &[0x18, 0x0a]).starts_keyframe);
        assert!(!Descriptor::read(Codec::Av1, &[0x10, 0x32]).starts_keyframe);
        assert!(Descriptor::read(Codec::H265, &[0x40, 0x01]).starts_keyframe);
        assert!(Descriptor::read(Codec::H265, &[0x62, 0x01, 0x93]).starts_keyframe);
        assert!(!Descriptor::read(Codec::H265, &[0x02, 0x01]).starts_keyframe);
    }

    #[test]
    fn vp9_packets_say_their_layer_and_where_one_can_go_up() {
        let layer = |payload: &[u8]| Descriptor::read(Codec::Vp9, payload).layer;
        let point = |spatial, temporal| OperatingPoint { spatial, temporal };
        // I, L, F, B: a key picture's base layer, then its second layer, which needs the first (D).
        let base = layer(&[0xb8, 0x81, 0x02, 0x00, 0]).unwrap();
        assert_eq!((base.point, base.begins, base.ends), (point(0, 0), true, false));
        assert!(base.switches.contains(point(2, 2)));
        let second = layer(&[0xbc, 0x81, 0x02, 0x03, 0]).unwrap();
        assert_eq!((second.point, second.begins, second.ends), (point(1, 0), true, true));
        // P, not flexible: TID 1, U, SID 2, and TL0PICIDX after.
        let later = layer(&[0xe8, 0x81, 0x03, 0x34, 7, 0]).unwrap();
        assert_eq!(later.point, point(2, 1));
        assert!(later.switches.contains(point(2, 2)) && !later.switches.contains(point(1, 2)));
        assert!(layer(&[0x88, 0x81, 0x02, 0]).is_none(), "no layer indices");
        // Three layers' sizes.
        let sizes = [0x2a, 0x00, 7, 0x50, 1, 64, 0, 180, 2, 128, 1, 104, 5, 0, 2, 208, 0x82];
        let found = Descriptor::read(Codec::Vp9, &sizes);
        assert_eq!((found.heights, found.height), ([180, 360, 720, 0], Some(720)));
    }

    #[test]
    fn vp8_pictures_say_how_many_of_them_can_be_left_out() {
        // X; I, L, T; picture id of 15 bits, TL0PICIDX, TID 2 with Y; a later picture.
        let read = |index: u8| {
            Descriptor::read(Codec::Vp8, &[0x90, 0xe0, 0x81, 0x02, 9, index, 0x51, 0])
                .layer
                .unwrap()
        };
        assert_eq!((read(0xa0).point.temporal, read(0xa0).needs_base_alone), (2, true));
        assert_eq!((read(0x40).point.temporal, read(0x40).needs_base_alone), (1, false));
        let short = Descriptor::read(Codec::Vp8, &[0x90, 0xe0, 0x02, 9, 0xa0, 0x51, 0]);
        assert!(short.layer.is_none(), "numbers that cannot be written anew");
    }

    #[test]
    fn audio_can_begin_anywhere() {
        assert!(Descriptor::read(Codec::Opus, &[0x78]).starts_keyframe);
    }

    proptest! {
        #[test]
        fn any_payload_is_read_and_patched_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            for codec in [Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H264, Codec::H265] {
                Descriptor::read(codec, &bytes).patch(&mut bytes, 1, 2);
            }
        }
    }
}
