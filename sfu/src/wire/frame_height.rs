//! The frame height from a keyframe's payload, for codecs whose RTP header does not have it.
//!
//! Of a sequence the largest is meant: what a viewer asks for is compared with it.

mod av1;
mod bits;
mod h264;
mod vp9;

pub use av1::av1;
pub use h264::h264;
pub use vp9::vp9;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Of x264: 640x360 in one unit of rows, and 1080 lines interlaced, which is 1088 cropped.
    const PROGRESSIVE: [u8; 25] = [
        0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00,
        0x03, 0x00, 0x32, 0x0f, 0x16, 0x2e, 0x48,
    ];
    const INTERLACED: [u8; 26] = [
        0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x04, 0x4f, 0xde, 0x02, 0x20, 0x00, 0x00, 0x03, 0x00, 0x20,
        0x00, 0x00, 0x06, 0x43, 0xe2, 0xc5, 0xb2, 0xc0,
    ];

    #[test]
    fn h264_says_it_in_its_parameter_set_alone_or_in_an_aggregate() {
        assert_eq!(h264(&PROGRESSIVE), Some(360));
        assert_eq!(h264(&INTERLACED), Some(1080));
        let mut aggregate = vec![0x78, 0, 2, 0x09, 0x10, 0, PROGRESSIVE.len() as u8];
        aggregate.extend_from_slice(&PROGRESSIVE);
        aggregate.extend_from_slice(&[0, 4, 0x68, 0xce, 0x3c, 0x80]);
        assert_eq!(h264(&aggregate), Some(360));
        assert_eq!(h264(&[0x7c, 0x85, 0x88]), None, "a fragment of an IDR");
    }

    #[test]
    fn vp9_says_it_in_the_header_of_a_key_frame() {
        // Of libvpx: 320x180 in profile 0, and in profile 1 as RGB.
        let subsampled = [0x82, 0x49, 0x83, 0x42, 0x00, 0x13, 0xf0, 0x0b, 0x36];
        let rgb = [0xa2, 0x49, 0x83, 0x42, 0xe0, 0x13, 0xf0, 0x0b, 0x36];
        assert_eq!(vp9(&subsampled), Some(180));
        assert_eq!(vp9(&rgb), Some(180));
        assert_eq!(vp9(&[0x86, 0x00, 0x40, 0x92, 0x9c]), None, "no keyframe");
    }

    #[test]
    fn av1_says_it_in_the_sequence_header_that_comes_first() {
        // Of libaom: 1280x720.
        let unit = [
            0x0a, 0x0e, 0x20, 0x00, 0x00, 0x2d, 0x4c, 0xff, 0xb3, 0xcc, 0xaf, 0x92, 0x02, 0x1a, 0x00, 0x40,
        ];
        let alone = [&[0x18][..], &unit].concat();
        assert_eq!(av1(&alone), Some(720));
        // Of two, the first with its length, and without the one of its own.
        let two = [&[0x28, 15, 0x08][..], &unit[2..], &[0x32, 0x00]].concat();
        assert_eq!(av1(&two), Some(720));
        assert_eq!(av1(&[0x90, 0x32]), None, "the rest of a unit");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            for read in [av1, h264, vp9] {
                let _height = read(&bytes);
            }
            if let Some(first) = bytes.first_mut() {
                *first = 0x67;
                let _height = h264(&bytes);
            }
        }
    }
}
