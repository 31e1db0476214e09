//! Random schedules of calls, of steps that take time, and of nodes that die, in virtual time.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rotunda_proto::ids::{MixId, RoomId, RoomKey};
use rotunda_proto::incarnation::Incarnation;
use rotunda_proto::mix::{AudioEncode, Layout, MixSpec, Template};
use rotunda_proto::mix_task::{Desired, MixTask, Origin, Wish, started, stopped};

use super::*;

fn spec(stream: u8, layout: u8) -> MixSpec {
    MixSpec {
        room: RoomKey {
            app: 7.try_into().unwrap(),
            room: RoomId::Number(1001.try_into().unwrap()),
        },
        stream_id: format!("stream-{stream}").parse().unwrap(),
        audio: AudioEncode {
            sample_rate: 48_000,
            bitrate_kbps: 64,
            channels: 2,
        },
        video: None,
        layout: Layout {
            template: [Template::Float, Template::Grid, Template::ScreenShare][usize::from(layout)],
            ..Layout::default()
        },
        record: None,
        push_urls: Vec::new(),
        task: None,
    }
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Action {
    Start {
        stream: u8,
        layout: u8,
    },
    Stop,
    /// A node goes on by one half of a step: it decides, or carries out.
    Turn {
        node: usize,
    },
    /// Node 1 dies; it never comes back. Node 0 lives for ever.
    Death,
    /// The mix ends by itself, as the room is empty.
    RoomEmpties,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => (0..2u8, 0..3u8).prop_map(|(stream, layout)| Action::Start { stream, layout }),
        2 => Just(Action::Stop),
        12 => (0..2usize).prop_map(|node| Action::Turn { node }),
        1 => Just(Action::Death),
        1 => Just(Action::RoomEmpties),
    ]
}

#[derive(Debug, Clone, PartialEq)]
enum Own {
    Nothing,
    Running(MixId, Box<MixSpec>),
    Ended(MixId),
}

struct Node {
    name: Incarnation,
    own: Own,
    /// Decided by the document of this revision, not carried out yet.
    pending: Option<(Step, Option<(MixTask, u64)>)>,
}

/// The document with the store's revision, and two nodes.
struct World {
    document: Option<(MixTask, u64)>,
    writes: u64,
    nodes: Vec<Node>,
    living: BTreeSet<Incarnation>,
    ids: u64,
    /// The content of the last call.
    wanted: Option<MixSpec>,
}

impl World {
    fn new() -> Self {
        let names = [0, 1].map(|number| Incarnation::new(format!("mcu-{number}").parse().unwrap(), 1));
        Self {
            document: None,
            writes: 0,
            living: names.iter().cloned().collect(),
            nodes: names
                .into_iter()
                .map(|name| Node {
                    name,
                    own: Own::Nothing,
                    pending: None,
                })
                .collect(),
            ids: 0,
            wanted: None,
        }
    }

    fn write(&mut self, task: Option<MixTask>) {
        self.writes += 1;
        self.document = task.map(|task| (task, self.writes));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Start { stream, layout } => {
                self.ids += 1;
                let wish = Wish {
                    id: MixId(self.ids),
                    origin: Origin::Api,
                    started_by: "key".to_owned(),
                    spec: spec(stream, layout),
                };
                let before = self.document.take().map(|(task, _)| task);
                self.write(Some(started(before, &wish)));
                self.wanted = Some(wish.spec);
            }
            Action::Stop => {
                let before = self.document.clone().map(|(task, _)| task);
                if let Ok(after) = stopped(before) {
                    self.write(after);
                }
                self.wanted = None;
            }
            Action::Turn { node } => {
                if self.living.contains(&self.nodes[node].name) {
                    self.turn(node);
                }
            }
            Action::Death => {
                let dead = &mut self.nodes[1];
                self.living.remove(&dead.name);
                dead.own = Own::Nothing;
                dead.pending = None;
            }
            Action::RoomEmpties => self.empty_the_room(),
        }
    }

    fn empty_the_room(&mut self) {
        for node in &mut self.nodes {
            if let Own::Running(id, spec) = &node.own {
                // It ends what it runs. A call that was not carried out yet stands.
                if self.wanted.as_ref() == Some(&**spec) {
                    self.wanted = None;
                }
                node.own = Own::Ended(*id);
            }
        }
    }

    fn turn(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Some((step, seen)) = node.pending.take() else {
            let actual = match &node.own {
                Own::Nothing => Actual::Nothing,
                Own::Running(id, spec) => Actual::Running { id: *id, spec },
                Own::Ended(id) => Actual::Ended { id: *id },
            };
            let task = self.document.as_ref().map(|(task, _)| task);
            let step = next_step(&node.name, Some(&self.living), task, actual);
            if step != Step::Rest {
                node.pending = Some((step, self.document.clone()));
            }
            return;
        };
        let name = node.name.clone();
        match (step, seen) {
            (Step::Claim, Some((task, revision))) => {
                let claimed = MixTask {
                    owner: Some(name),
                    epoch: task.epoch + 1,
                    ..task
                };
                self.compare_and_set(revision, Some(claimed));
            }
            (Step::Start, Some((task, _))) => {
                if let Some(spec) = task.spec() {
                    node.own = Own::Running(task.id, Box::new(spec.clone()));
                }
            }
            (Step::Change, Some((task, _))) => {
                if let (Own::Running(_, running), Some(spec)) = (&mut node.own, task.spec()) {
                    **running = spec.clone();
                }
            }
            (Step::Report, Some((task, revision))) => {
                let reported = MixTask {
                    reached: task.revision,
                    ..task
                };
                self.compare_and_set(revision, Some(reported));
            }
            (Step::Delete, Some((_, revision))) => {
                self.compare_and_set(revision, None);
            }
            (Step::End(_) | Step::Yield, _) => node.own = Own::Nothing,
            (step, seen) => panic!("{step:?} without a document: {seen:?}"),
        }
    }

    fn compare_and_set(&mut self, revision: u64, task: Option<MixTask>) {
        if self.document.as_ref().is_some_and(|(_, now)| *now == revision) {
            self.write(task);
        }
    }

    /// Until nobody has anything to do.
    fn settle(&mut self) {
        for _ in 0..200 {
            for node in 0..self.nodes.len() {
                self.act(Action::Turn { node });
            }
        }
        assert!(
            self.nodes.iter().all(|node| node.pending.is_none()),
            "it does not settle"
        );
    }

    fn running(&self) -> Vec<&MixSpec> {
        let running = self.nodes.iter().filter_map(|node| match &node.own {
            Own::Running(_, spec) => Some(&**spec),
            Own::Nothing | Own::Ended(_) => None,
        });
        running.collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any order of starts and stops, while steps take their time and a node dies: in the end that runs, once, of which the
    /// last call speaks, and nothing after a stop.
    #[test]
    fn in_the_end_the_last_call_holds(
        actions in prop::collection::vec(action().prop_filter("rooms stay", |a| !matches!(a, Action::RoomEmpties)), 0..80)
    ) {
        let mut world = World::new();
        for action in actions {
            world.act(action);
        }
        world.settle();
        let wanted: Vec<&MixSpec> = world.wanted.iter().collect();
        prop_assert_eq!(world.running(), wanted);
        prop_assert_eq!(world.document.is_some(), world.wanted.is_some());
        if let Some((task, _)) = &world.document {
            prop_assert_eq!(task.reached, task.revision);
        }
    }

    /// With rooms that empty at any moment nothing runs twice, and the document goes with the mix.
    #[test]
    fn a_mix_that_ends_by_itself_leaves_nothing_behind(actions in prop::collection::vec(action(), 0..80)) {
        let mut world = World::new();
        for action in actions {
            world.act(action);
        }
        world.settle();
        world.empty_the_room();
        world.settle();
        prop_assert_eq!(world.running(), Vec::<&MixSpec>::new());
        prop_assert!(world.document.is_none());
    }
}

#[test]
fn a_task_of_a_dead_node_is_claimed_and_that_of_a_living_one_is_not() {
    let (me, other) = (
        Incarnation::new("mcu-0".parse().unwrap(), 1),
        Incarnation::new("mcu-1".parse().unwrap(), 1),
    );
    let wish = Wish {
        id: MixId(1),
        origin: Origin::Api,
        started_by: "key".to_owned(),
        spec: spec(0, 0),
    };
    let task = MixTask {
        owner: Some(other.clone()),
        ..started(None, &wish)
    };
    let both: BTreeSet<_> = [me.clone(), other].into();
    let alone: BTreeSet<_> = [me.clone()].into();
    let step = |living| next_step(&me, living, Some(&task), Actual::Nothing);
    assert_eq!(step(Some(&both)), Step::Rest);
    assert_eq!(step(None), Step::Rest, "before the live nodes are known nobody is dead");
    assert_eq!(step(Some(&alone)), Step::Claim);
    let stopping = MixTask {
        desired: Desired::Stop,
        ..task.clone()
    };
    let step = next_step(&me, Some(&alone), Some(&stopping), Actual::Nothing);
    assert_eq!(step, Step::Claim, "somebody has to delete it");
}

#[test]
fn a_node_that_was_declared_dead_ends_what_another_node_carries_on() {
    let me = Incarnation::new("mcu-0".parse().unwrap(), 2);
    let other = Incarnation::new("mcu-1".parse().unwrap(), 1);
    let spec = spec(0, 0);
    let wish = Wish {
        id: MixId(1),
        origin: Origin::Api,
        started_by: "key".to_owned(),
        spec: spec.clone(),
    };
    let task = MixTask {
        owner: Some(other.clone()),
        ..started(None, &wish)
    };
    let living: BTreeSet<_> = [me.clone(), other].into();
    let running = Actual::Running {
        id: MixId(1),
        spec: &spec,
    };
    assert_eq!(next_step(&me, Some(&living), Some(&task), running), Step::Yield);
    let unclaimed = MixTask {
        owner: Some(Incarnation::new("mcu-0".parse().unwrap(), 1)),
        ..task
    };
    let step = next_step(&me, Some(&living), Some(&unclaimed), running);
    assert_eq!(step, Step::Claim, "it goes on with what nobody has claimed");
}
