use clap::Parser;

use crate::Cli;
use crate::run::run;

/// The defaults of the command line, with these options.
fn plan(options: &str) -> crate::plan::Plan {
    let options = options.split_whitespace();
    Cli::parse_from(["first_frame"].into_iter().chain(options)).plan
}

/// A fifth of the viewers has WebRTC sessions; signaling, placement and trees are real for all of them.
#[tokio::test(start_paused = true)]
async fn viewers_of_seven_nodes_see_a_frame_within_a_second_while_an_inner_node_dies() {
    let plan =
        plan("--viewers 700 --join-rate 50 --real-every 5 --nodes 9 --capacity 100 --workers 2 --fan-out 2 --settle 5");
    let found = run(plan).await.unwrap();
    eprintln!("{found}");
    assert_eq!((found.failed, found.without_frame), (0, 0));
    assert!(found.first_frame.ms.p95 <= 1000.0);
    assert_eq!(found.connected.viewers, 700);
    assert!(found.connected.ms.p95 <= 1000.0);
    let death = found.death.expect("a room on seven nodes has an inner node");
    assert!(death.gap_behind.viewers > 0 && death.gap_behind.ms.max < 1000.0);
    assert!(death.gap_elsewhere.viewers > 0 && death.gap_elsewhere.ms.max < 200.0);
    assert!(death.back.ms.max < 5000.0);
    assert_eq!(death.not_back, 0);
}
