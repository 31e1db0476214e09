//! Moves cells from their places to those of another layout, within a quarter of a second.

use rotunda_media::video_frame::Rect;

use super::Placement;
use crate::timeline::Micros;

const LENGTH: Micros = 250_000;

/// The way from one layout to the next.
#[derive(Debug, Clone)]
pub struct Animation {
    /// Where the cells are at the beginning.
    from: Vec<Placement>,
    to: Vec<Placement>,
    begun: Micros,
}

impl Animation {
    /// `from`: the cells as they are shown at `now`, which may be in the middle of another animation.
    pub fn new(from: Vec<Placement>, to: Vec<Placement>, now: Micros) -> Self {
        Self { from, to, begun: now }
    }

    /// The cells at `now`, back to front. A cell that was not there before is at its place at once.
    pub fn placements(&self, now: Micros) -> Vec<Placement> {
        let done = (now - self.begun).clamp(0, LENGTH);
        let place = |placement: &Placement| {
            let before = self.from.iter().find(|other| other.video == placement.video);
            let rect = before.map_or(placement.rect, |before| between(before.rect, placement.rect, done));
            Placement {
                rect,
                ..placement.clone()
            }
        };
        self.to.iter().map(place).collect()
    }

    pub fn is_over(&self, now: Micros) -> bool {
        now - self.begun >= LENGTH
    }
}

/// Slow at both ends, with even edges.
fn between(from: Rect, to: Rect, done: Micros) -> Rect {
    let part = done as f64 / LENGTH as f64;
    let part = part * part * (3.0 - 2.0 * part);
    let edge = |from: usize, to: usize| {
        let at = from as f64 + (to as f64 - from as f64) * part;
        (at.round() as usize) & !1
    };
    let (x, y) = (edge(from.x, to.x), edge(from.y, to.y));
    let (right, bottom) = (
        edge(from.x + from.width, to.x + to.width),
        edge(from.y + from.height, to.y + to.height),
    );
    Rect {
        x,
        y,
        width: right.saturating_sub(x).max(2),
        height: bottom.saturating_sub(y).max(2),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rotunda_proto::mix::RenderMode;

    use super::*;
    use crate::layout::Content;
    use crate::test_ids::camera;

    const CANVAS: usize = 1280;
    const TICK: Micros = 33_333;

    fn placement(number: usize, rect: Rect) -> Placement {
        Placement {
            video: camera(&format!("u{number}")),
            content: Content::Live,
            rect,
            z: number as u32,
            render_mode: RenderMode::Crop,
            placeholder: None,
        }
    }

    prop_compose! {
        fn cell()(x in 0..600_usize, y in 0..300_usize, width in 1..340_usize, height in 1..340_usize) -> Rect {
            Rect { x: 2 * x, y: 2 * y, width: (2 * width).min(CANVAS - 2 * x), height: 2 * height }
        }
    }

    fn layout() -> impl Strategy<Value = Vec<Placement>> {
        prop::collection::vec(prop::option::of(cell()), 6).prop_map(|cells| {
            let cells = cells.into_iter().enumerate();
            cells
                .filter_map(|(number, rect)| Some(placement(number, rect?)))
                .collect()
        })
    }

    fn distance(a: Rect, b: Rect) -> usize {
        let sides = |rect: Rect| [rect.x, rect.y, rect.x + rect.width, rect.y + rect.height];
        sides(a)
            .into_iter()
            .zip(sides(b))
            .map(|(a, b)| a.abs_diff(b))
            .max()
            .unwrap_or(0)
    }

    proptest! {
        #[test]
        fn cells_begin_where_they_are_end_in_their_places_and_have_even_edges_inside_the_canvas(
            from in layout(), to in layout(), now in 0..1_000_000_i64
        ) {
            let animation = Animation::new(from.clone(), to.clone(), now);
            for shown in animation.placements(now) {
                let before = from.iter().find(|other| other.video == shown.video);
                let target = to.iter().find(|other| other.video == shown.video).unwrap();
                prop_assert_eq!(shown.rect, before.map_or(target.rect, |before| before.rect));
            }
            let bottom = from.iter().chain(&to).map(|it| it.rect.y + it.rect.height).max().unwrap_or(0);
            for passed in (0..=LENGTH).step_by(TICK as usize) {
                for shown in animation.placements(now + passed) {
                    let rect = shown.rect;
                    prop_assert!((rect.x | rect.y | rect.width | rect.height) & 1 == 0, "{:?}", rect);
                    prop_assert!(rect.width >= 2 && rect.height >= 2);
                    prop_assert!(rect.x + rect.width <= CANVAS && rect.y + rect.height <= bottom, "{:?}", rect);
                }
            }
            prop_assert!(!animation.is_over(now) && animation.is_over(now + LENGTH));
            prop_assert_eq!(animation.placements(now + LENGTH), to);
        }

        #[test]
        fn an_animation_that_is_interrupted_goes_on_from_where_it_is(
            layouts in prop::collection::vec(layout(), 2..6), ticks in prop::collection::vec(1..6_i64, 5)
        ) {
            let mut now = 0;
            let mut animation = Animation::new(Vec::new(), layouts[0].clone(), now);
            for (to, ticks) in layouts[1..].iter().zip(ticks) {
                now += ticks * TICK;
                let shown = animation.placements(now);
                animation = Animation::new(shown.clone(), to.clone(), now);
                for after in animation.placements(now + TICK) {
                    if let Some(before) = shown.iter().find(|other| other.video == after.video) {
                        let way = to.iter().find(|other| other.video == after.video).unwrap();
                        let whole = distance(before.rect, way.rect);
                        // In the first tick, less than a tenth of the way; and rounding.
                        prop_assert!(distance(before.rect, after.rect) <= whole / 10 + 4);
                    }
                }
            }
        }
    }
}
