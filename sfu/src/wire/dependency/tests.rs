use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// L2T2 with inter-layer prediction at keyframes alone, as browsers write it: templates of key and other frames.
pub(crate) fn l2t2_key() -> Structure {
    let template = |spatial, temporal, indications: [u64; 4], references: &[u8], chains: [u8; 2]| Template {
        spatial,
        temporal,
        indications: Indications(indications.iter().rev().fold(0, |all, one| all << 2 | one)),
        references: references.to_vec(),
        chains: chains.to_vec(),
    };
    Structure {
        first_template: 5,
        targets: 4,
        templates: vec![
            template(0, 0, [2, 2, 2, 2], &[], [0, 0]),
            template(0, 0, [2, 2, 0, 0], &[4], [4, 3]),
            template(0, 1, [0, 1, 0, 0], &[2], [2, 1]),
            template(1, 0, [0, 0, 2, 2], &[1], [1, 1]),
            template(1, 0, [0, 0, 2, 2], &[4], [1, 4]),
            template(1, 1, [0, 0, 0, 1], &[2], [3, 2]),
        ],
        chains: 2,
        protected_by: vec![0, 0, 1, 1],
        resolutions: vec![
            Resolution {
                width: 320,
                height: 180,
            },
            Resolution {
                width: 640,
                height: 360,
            },
        ],
    }
}

/// A packet of the given template, alone in its frame.
pub(crate) fn dependency(structure: &Arc<Structure>, template: u8, frame: u16, carries_structure: bool) -> Dependency {
    Dependency {
        begins_frame: true,
        ends_frame: true,
        template: (structure.first_template + template) % 64,
        frame,
        structure: Arc::clone(structure),
        carries_structure,
        active: None,
        indications: None,
        references: None,
        chains: None,
    }
}

fn written(dependency: &Dependency) -> Vec<u8> {
    let mut bytes = Vec::new();
    dependency.write(dependency.frame, None, &mut bytes);
    bytes
}

#[test]
fn a_structure_and_the_frames_that_go_by_it_are_read_as_they_were_written() {
    let structure = Arc::new(l2t2_key());
    let key = dependency(&structure, 0, 700, true);
    let bytes = written(&key);
    let read = Dependency::read(&bytes, None).unwrap();
    assert_eq!(read, key);
    let next = written(&dependency(&structure, 4, 703, false));
    assert_eq!(next.len(), 3);
    let read = Dependency::read(&next, Some(&read.structure)).unwrap();
    assert_eq!((read.frame, read.template), (703, 9));
    assert!(
        Dependency::read(&next, None).is_none(),
        "nothing is known without a structure"
    );
}

#[test]
fn the_decode_targets_are_the_operating_points() {
    let structure = l2t2_key();
    let points: Vec<_> = (0..4).map(|target| structure.point(target)).collect();
    let point = |spatial, temporal| OperatingPoint { spatial, temporal };
    assert_eq!(points, [point(0, 0), point(0, 1), point(1, 0), point(1, 1)]);
    assert_eq!(structure.targets_within(point(0, 1)), 0b0011);
    assert_eq!(structure.targets_within(point(1, 0)), 0b0101);
    assert_eq!(structure.height(1), Some(360));
}

#[test]
fn a_keyframe_is_a_switch_to_every_layer_and_a_later_frame_to_its_own() {
    let structure = Arc::new(l2t2_key());
    let layer = |template| dependency(&structure, template, 9, false).layer_frame();
    let point = |spatial, temporal| OperatingPoint { spatial, temporal };
    assert!(layer(0).switches.contains(point(1, 1)) && layer(0).switches.contains(point(0, 0)));
    assert!(layer(1).switches.contains(point(0, 1)) && !layer(1).switches.contains(point(1, 0)));
    assert_eq!(layer(5).point, point(1, 1));
}

#[test]
fn the_frame_number_and_the_active_targets_can_be_replaced() {
    let structure = Arc::new(l2t2_key());
    for (template, carries_structure) in [(0, true), (4, false)] {
        let original = dependency(&structure, template, 700, carries_structure);
        let mut bytes = Vec::new();
        original.write(65_000, Some(0b0011), &mut bytes);
        let read = Dependency::read(&bytes, Some(&structure)).unwrap();
        let expected = Dependency {
            frame: 65_000,
            active: Some(0b0011),
            ..original
        };
        assert_eq!(read, expected);
    }
}

fn structures() -> impl Strategy<Value = Structure> {
    let steps = vec(0u8..3, 0..12);
    (0u8..64, 1u8..=32, steps, any::<bool>(), any::<[u8; 3]>()).prop_flat_map(
        |(first_template, targets, steps, with_resolutions, [a, b, c])| {
            let mut layers = vec![[0u8, 0]];
            for step in steps {
                let [spatial, temporal] = layers[layers.len() - 1];
                layers.push(match step {
                    1 if temporal < 7 => [spatial, temporal + 1],
                    2 if spatial < 3 => [spatial + 1, 0],
                    _ => [spatial, temporal],
                });
            }
            let chains = a % (targets + 1).min(5);
            let template = move |[spatial, temporal]: [u8; 2]| {
                let mask = if targets == 32 {
                    u64::MAX
                } else {
                    (1 << (2 * targets)) - 1
                };
                let references = vec(1u8..=16, 0..4);
                let chains = vec(0u8..16, usize::from(chains));
                (any::<u64>(), references, chains).prop_map(move |(indications, references, chains)| Template {
                    spatial,
                    temporal,
                    indications: Indications(indications & mask),
                    references,
                    chains,
                })
            };
            let spatial = layers[layers.len() - 1][0];
            let resolutions = (0..=spatial).filter(|_| with_resolutions).map(move |layer| Resolution {
                width: 1 + u32::from(b) * 256 + u32::from(layer),
                height: 1 + u32::from(c) * 200,
            });
            let resolutions: Vec<_> = resolutions.collect();
            let templates: Vec<_> = layers.into_iter().map(template).collect();
            let protected_by = vec(0..chains.max(1), if chains > 0 { usize::from(targets) } else { 0 });
            (templates, protected_by).prop_map(move |(templates, protected_by)| Structure {
                first_template,
                targets,
                templates,
                chains,
                protected_by,
                resolutions: resolutions.clone(),
            })
        },
    )
}

fn dependencies() -> impl Strategy<Value = Dependency> {
    structures().prop_flat_map(|structure| {
        let structure = Arc::new(structure);
        let targets = u32::from(structure.targets);
        let (some, all) = (u32::MAX >> (32 - targets), u64::MAX >> (64 - 2 * targets));
        let frame = (any::<[bool; 3]>(), 0..structure.templates.len() as u8, any::<u16>());
        let active = proptest::option::of(any::<u32>().prop_map(move |mask| mask & some));
        let indications = proptest::option::of(any::<u64>().prop_map(move |mask| Indications(mask & all)));
        let references = proptest::option::of(vec(1u16..=4096, 0..5));
        let chains = proptest::option::of(vec(any::<u8>(), usize::from(structure.chains)));
        (frame, active, indications, references, chains).prop_map(
            move |(
                ([begins_frame, ends_frame, carries_structure], template, frame),
                active,
                indications,
                references,
                chains,
            )| {
                Dependency {
                    begins_frame,
                    ends_frame,
                    template: (structure.first_template + template) % 64,
                    frame,
                    structure: Arc::clone(&structure),
                    carries_structure,
                    active,
                    indications,
                    references,
                    chains,
                }
            },
        )
    })
}

proptest! {
    #[test]
    fn a_written_descriptor_is_read_again(dependency in dependencies()) {
        let bytes = written(&dependency);
        prop_assert_eq!(bytes.len(), dependency.length(None));
        let read = Dependency::read(&bytes, Some(&dependency.structure));
        prop_assert_eq!(read, Some(dependency));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic_and_what_was_understood_can_be_written(bytes in vec(any::<u8>(), 0..80)) {
        if let Some(read) = Dependency::read(&bytes, Some(&Arc::new(l2t2_key()))) {
            let again = written(&read);
            prop_assert_eq!(Dependency::read(&again, Some(&read.structure)), Some(read));
        }
    }
}
