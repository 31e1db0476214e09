//! Text in every script that the system has a font for: bidirectional, shaped, and with a fallback from font to font.

use ab_glyph::{Font as _, FontRef, PxScale, ScaleFont as _, point};
use fontdb::{Database, ID};
use rustybuzz::{Direction, UnicodeBuffer};
use unicode_bidi::BidiInfo;

use crate::draw::blend;
use crate::video_frame::{VideoFrame, Yuv};

/// Families in the order in which they are tried. All others come after them.
const PREFERRED: [&str; 12] = [
    "DejaVu Sans",
    "Noto Sans",
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Noto Emoji",
];
/// Longest text that is drawn, characters: names are shorter.
const MAX_CHARS: usize = 256;

/// The fonts of the system, ready to draw with.
pub struct Font {
    fonts: Database,
    /// In the order in which they are tried.
    order: Vec<ID>,
}

/// A glyph of one font at its place, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Glyph {
    font: ID,
    id: u16,
    x: f32,
    y: f32,
}

impl Font {
    /// The system's fonts; None where there is none with outlines (package `fonts-dejavu-core`; `fonts-noto-cjk` for Chinese,
    /// Japanese and Korean).
    pub fn system() -> Option<Self> {
        let mut fonts = Database::new();
        fonts.load_system_fonts();
        let rank = |family: &str| PREFERRED.iter().position(|preferred| *preferred == family);
        let mut faces: Vec<(usize, bool, ID)> = fonts
            .faces()
            .filter(|face| !face.monospaced)
            .map(|face| {
                let rank = face.families.iter().filter_map(|(family, _)| rank(family)).min();
                let is_regular = face.style == fontdb::Style::Normal && face.weight == fontdb::Weight::NORMAL;
                (rank.unwrap_or(PREFERRED.len()), !is_regular, face.id)
            })
            .collect();
        faces.sort_by_key(|(rank, is_special, _)| (*rank, *is_special));
        let order: Vec<ID> = faces
            .into_iter()
            .map(|(_, _, id)| id)
            .filter(|id| has_outlines(&fonts, *id))
            .collect();
        (!order.is_empty()).then_some(Self { fonts, order })
    }

    /// Width of a text in pixels; `pixels` is the height of a line.
    pub fn width(&self, text: &str, pixels: f32) -> f32 {
        self.lay_out(text, pixels).1
    }

    /// Draws a text with its top left corner at (x, y); what is outside the frame is cut off.
    pub fn label(&self, frame: &mut VideoFrame, text: &str, x: usize, y: usize, pixels: f32, colour: Yuv) {
        let (glyphs, _) = self.lay_out(text, pixels);
        let ascent = self
            .order
            .first()
            .and_then(|first| self.with_font(*first, |font, _| font.as_scaled(PxScale::from(pixels)).ascent()));
        let baseline = y as f32 + ascent.unwrap_or(pixels);
        for glyph in glyphs {
            self.with_font(glyph.font, |font, _| {
                let place = point(x as f32 + glyph.x, baseline + glyph.y);
                let glyph = ab_glyph::GlyphId(glyph.id).with_scale_and_position(PxScale::from(pixels), place);
                let Some(outline) = font.outline_glyph(glyph) else {
                    return;
                };
                let corner = outline.px_bounds().min;
                outline.draw(|dx, dy, coverage| {
                    blend(frame, corner.x + dx as f32, corner.y + dy as f32, coverage, colour);
                });
            });
        }
    }

    /// The glyphs from left to right, and their width.
    fn lay_out(&self, text: &str, pixels: f32) -> (Vec<Glyph>, f32) {
        let text: String = text
            .chars()
            .filter(|letter| !letter.is_control())
            .take(MAX_CHARS)
            .collect();
        let bidi = BidiInfo::new(&text, None);
        let (mut glyphs, mut pen) = (Vec::new(), 0.0);
        for paragraph in &bidi.paragraphs {
            let (levels, runs) = bidi.visual_runs(paragraph, paragraph.range.clone());
            for run in runs {
                let is_rtl = levels.get(run.start).is_some_and(|level| level.is_rtl());
                let mut pieces = self.pieces(text.get(run).unwrap_or_default());
                if is_rtl {
                    pieces.reverse();
                }
                for (font, piece) in pieces {
                    self.shape(font, piece, is_rtl, pixels, &mut pen, &mut glyphs);
                }
            }
        }
        (glyphs, pen)
    }

    /// Cuts a text where another font is needed.
    fn pieces<'a>(&self, text: &'a str) -> Vec<(ID, &'a str)> {
        let mut pieces: Vec<(ID, &str)> = Vec::new();
        let (mut start, mut current) = (0, None);
        for (at, letter) in text.char_indices() {
            let font = match current {
                // Marks, joiners and variation selectors belong to the letter before them.
                Some(font) if is_joined(letter) || self.has(font, letter) => font,
                _ => match self.order.iter().copied().find(|font| self.has(*font, letter)) {
                    Some(font) => font,
                    None => match current.or(self.order.first().copied()) {
                        Some(font) => font,
                        None => continue,
                    },
                },
            };
            if let Some(before) = current.filter(|before| *before != font) {
                pieces.extend(text.get(start..at).map(|piece| (before, piece)));
                start = at;
            }
            current = Some(font);
        }
        pieces.extend(current.zip(text.get(start..)));
        pieces
    }

    fn shape(&self, font: ID, text: &str, is_rtl: bool, pixels: f32, pen: &mut f32, glyphs: &mut Vec<Glyph>) {
        self.with_font(font, |outlines, face| {
            let mut buffer = UnicodeBuffer::new();
            buffer.push_str(text);
            buffer.guess_segment_properties();
            buffer.set_direction(match is_rtl {
                true => Direction::RightToLeft,
                false => Direction::LeftToRight,
            });
            let scale = PxScale::from(pixels).y / outlines.height_unscaled();
            let shaped = rustybuzz::shape(face, &[], buffer);
            for (info, place) in shaped.glyph_infos().iter().zip(shaped.glyph_positions()) {
                glyphs.push(Glyph {
                    font,
                    id: u16::try_from(info.glyph_id).unwrap_or_default(),
                    x: *pen + place.x_offset as f32 * scale,
                    y: -(place.y_offset as f32) * scale,
                });
                *pen += place.x_advance as f32 * scale;
            }
        });
    }

    fn has(&self, font: ID, letter: char) -> bool {
        self.with_font(font, |font, _| font.glyph_id(letter).0 != 0) == Some(true)
    }

    fn with_font<T>(&self, id: ID, work: impl FnOnce(&FontRef<'_>, &rustybuzz::Face<'_>) -> T) -> Option<T> {
        let with_data = |data: &[u8], index: u32| {
            let font = FontRef::try_from_slice_and_index(data, index).ok()?;
            let face = rustybuzz::Face::from_slice(data, index)?;
            Some(work(&font, &face))
        };
        self.fonts.with_face_data(id, with_data)?
    }
}

/// Coloured emoji are bitmaps without outlines: nothing would be drawn of them.
fn has_outlines(fonts: &Database, id: ID) -> bool {
    let has = |data: &[u8], index: u32| {
        let face = rustybuzz::ttf_parser::Face::parse(data, index).ok()?;
        let tables = face.tables();
        Some(tables.glyf.is_some() || tables.cff.is_some())
    };
    fonts.with_face_data(id, has).flatten() == Some(true)
}

fn is_joined(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}' | '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn font() -> Font {
        Font::system().unwrap()
    }

    #[test]
    fn arabic_letters_are_joined_and_go_from_right_to_left() {
        let font = font();
        let (joined, _) = font.lay_out("\u{633}\u{644}\u{627}\u{645}", 30.0);
        let alone: Vec<Glyph> = "\u{633}\u{644}\u{627}\u{645}"
            .chars()
            .map(|letter| font.lay_out(&letter.to_string(), 30.0).0[0])
            .collect();
        let ids: Vec<u16> = joined.iter().map(|glyph| glyph.id).collect();
        assert!(joined.windows(2).all(|pair| pair[0].x <= pair[1].x));
        // Meem, the last letter, comes first from the left; seen takes its initial form.
        assert_eq!(ids.first(), Some(&alone[3].id));
        assert_ne!(ids.last(), Some(&alone[0].id));
    }

    #[test]
    fn a_name_of_two_scripts_keeps_the_order_of_each() {
        let font = font();
        let (glyphs, width) = font.lay_out("ab \u{5d0}\u{5d1}", 30.0);
        let id = |letter: &str| font.lay_out(letter, 30.0).0[0].id;
        let ids: Vec<u16> = glyphs.iter().map(|glyph| glyph.id).collect();
        assert_eq!(ids, ["a", "b", " ", "\u{5d1}", "\u{5d0}"].map(id));
        assert!(width > glyphs.last().unwrap().x);
    }

    #[test]
    fn letters_without_a_font_cost_their_place_and_lose_no_other() {
        let font = font();
        let (glyphs, width) = font.lay_out("a\u{10fffd}b", 20.0);
        assert_eq!(glyphs.len(), 3);
        assert!(width > 0.0);
        let mut frame = VideoFrame::filled(64, 32, Yuv::BLACK);
        font.label(&mut frame, "a\u{0}\n\u{4f60}b", 0, 0, 20.0, Yuv::WHITE);
        assert!(frame.y().iter().any(|value| *value > 100));
    }

    #[test]
    fn the_width_grows_with_the_size() {
        let font = font();
        let (small, large) = (font.width("Ann", 10.0), font.width("Ann", 20.0));
        assert!((large / small - 2.0).abs() < 0.05, "{small} {large}");
    }
}
