//! Whatever members and callers do, the program stays whole: a schedule that looks random, in virtual time.

use super::*;

const MEMBERS: u8 = 4;
const SECONDS: Micros = 90;
/// A live video is at most so much older than its play-out.
const OLDEST: Micros = 300_000;

struct Chance(u32);

impl Chance {
    fn below(&mut self, most: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 16) % most
    }
}

/// A room, the wanted mix, and what has been shown since when.
struct Room {
    core: MixCore,
    spec: MixSpec,
    present: Vec<Option<Sender>>,
    muted: [bool; MEMBERS as usize],
    shown: Vec<(Micros, Scene)>,
    revision: u64,
}

impl Room {
    fn new() -> Self {
        let spec = spec(640, 360);
        Self {
            core: MixCore::new(&spec, DELAY, None).unwrap(),
            spec,
            present: (0..MEMBERS).map(|_| None).collect(),
            muted: [false; MEMBERS as usize],
            shown: Vec::new(),
            revision: 0,
        }
    }

    /// A sender that begins now, with a keyframe.
    fn sender(&self, id: u8) -> Sender {
        let now = self.core.poll_timeout();
        Sender {
            sent_frames: (now * 15 / 1_000_000 + 1) as u32,
            sent_packets: (now / 20_000 + 1) as u32,
            ..Sender::new(id)
        }
    }

    fn act(&mut self, chance: &mut Chance) {
        let id = chance.below(MEMBERS.into()) as u8;
        let at = usize::from(id);
        match chance.below(8) {
            0..=2 => {
                self.present[at] = match self.present[at].take() {
                    Some(_) => None,
                    None => Some(self.sender(id)),
                };
                self.muted[at] = false;
            }
            3 | 4 if self.present[at].is_some() => {
                self.muted[at] ^= true;
                self.present[at] = Some(self.sender(id));
            }
            5 => {
                let templates = [Template::Grid, Template::Float, Template::ScreenShare];
                self.spec.layout.template = templates[chance.below(3) as usize];
            }
            6 => {
                let video = self.spec.video.as_mut().unwrap();
                (video.width, video.height) = [(640, 360), (480, 270), (640, 480)][chance.below(3) as usize];
                video.bitrate_kbps = 500 + 100 * chance.below(10);
            }
            7 => self.spec.audio.bitrate_kbps = [48, 64, 96][chance.below(3) as usize],
            _ => {}
        }
        self.core.handle_spec(&self.spec).unwrap();
        let members: Vec<Member> = self
            .present
            .iter()
            .zip(self.muted)
            .filter_map(|(sender, is_muted)| {
                let mut member = sender.as_ref()?.member();
                if is_muted {
                    member.camera = Some(TrackState::Muted);
                }
                Some(member)
            })
            .collect();
        self.revision += 1;
        let scene = Scene {
            revision: self.revision,
            ..lay_out(
                &self.spec.room,
                &self.spec.layout,
                &members,
                self.spec.video.map(Canvas::of),
            )
        };
        self.shown.push((self.core.poll_timeout(), scene.clone()));
        self.core.handle_scene(scene);
    }

    fn run(&mut self, until: Micros) -> Vec<Arc<Frame>> {
        let mut frames = Vec::new();
        while self.core.poll_timeout() < until {
            let now = self.core.poll_timeout();
            for (sender, is_muted) in self.present.iter_mut().zip(self.muted) {
                let samples = sender.iter_mut().flat_map(|sender| sender.samples(now - 20_000));
                for sample in samples.filter(|sample| !is_muted || sample.source.track == TrackSource::Audio) {
                    self.core.handle_sample(&sample);
                }
            }
            self.core.handle_tick(now).unwrap();
            frames.extend(std::iter::from_fn(|| self.core.poll_frame()));
        }
        frames
    }

    fn scene_at(&self, at: Micros) -> Option<&Scene> {
        let shown = self.shown.iter().rev().find(|(since, _)| *since <= at);
        shown.map(|(_, scene)| scene)
    }
}

#[test]
fn whatever_members_and_callers_do_the_program_stays_whole() {
    let mut room = Room::new();
    let mut chance = Chance(11);
    let mut frames = Vec::new();
    let mut at = 0;
    while at < SECONDS * 1_000_000 {
        room.act(&mut chance);
        // Some come in the same tick, some seconds later.
        at += Micros::from(chance.below(4)) * 500_000;
        frames.extend(room.run(at));
    }

    let video = times(&frames, Track::Video);
    assert!(
        video.windows(2).all(|pair| pair[1] - pair[0] == 6_000),
        "each tick has its frame"
    );
    let audio = times(&frames, Track::Audio);
    // Another bitrate is another encoder, which begins where the one before ends: at most 20 ms may lie between.
    assert!(
        audio
            .windows(2)
            .all(|pair| (1_024..=1_024 + 960).contains(&(pair[1] - pair[0]))),
        "audio has no gap"
    );
    let seen = decode(&frames);
    assert_eq!(seen.len(), video.len(), "each frame is decoded");
    let mut read = [0; MEMBERS as usize];
    for (frame, pts) in seen.iter().zip(video) {
        let at = (pts * 100 / 9) as Micros + 10;
        let scene = room.scene_at(at).unwrap();
        let sizes = (frame.width(), frame.height());
        for placement in scene.live() {
            let Rect { x, y, width, height } = placement.rect;
            assert!(
                x + width <= sizes.0 && y + height <= sizes.1,
                "{placement:?} in {sizes:?}"
            );
            let is_covered = scene.placements.iter().any(|other| other.z > placement.z);
            let Some(mark) = mark::read(frame.y(), frame.width(), placement.rect).filter(|_| !is_covered) else {
                continue;
            };
            assert_eq!(
                placement.video.user.as_str(),
                format!("u{}", mark.id),
                "each in its own cell"
            );
            read[usize::from(mark.id)] += 1;
            let age = at - Micros::from(mark.count) * 1_000_000 / 15 - DELAY;
            assert!(age <= OLDEST, "u{} at {at} is {age} us old", mark.id);
        }
    }
    assert!(read.iter().all(|frames| *frames > 50), "{read:?}");
}
