//! The run: the publisher, then viewers on schedule, and the death of an inner node among them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use rotunda_proto::clock::Clock;
use tokio::sync::{oneshot, watch};

use crate::cluster::Cluster;
use crate::findings::{Findings, Result};
use crate::member::Media;
use crate::plan::Plan;
use crate::publisher::Publisher;
use crate::viewer::{Audience, view};

/// The publisher's first frames.
const WARM_UP: Duration = Duration::from_secs(2);

/// On a runtime with a paused clock.
pub async fn run(plan: Plan) -> anyhow::Result<Result> {
    let mut cluster = Cluster::start(&plan).await?;
    let door = cluster.doors.first().context("there is no signaling node")?;
    let publisher = Publisher::enter(&plan, door, &cluster.network, plan.viewers).await?;
    let origin = publisher.node;
    let (connected, is_connected) = oneshot::channel();
    let publishing = plan.clone();
    tokio::spawn(async move {
        if let Err(error) = publisher.run(&publishing, connected).await {
            eprintln!("the publisher has ended: {error:#}");
        }
    });
    is_connected.await.context("the publisher did not connect")?;
    Clock.sleep_until(Clock.now() + WARM_UP).await;

    let (_, offer, lines) = Media::offer(&cluster.network, plan.viewers + 1)?;
    let (kill, death) = watch::channel(None);
    let audience = Arc::new(Audience {
        doors: cluster.doors.clone(),
        network: cluster.network.clone(),
        offer: (offer, lines),
        death,
        findings: Mutex::new(Findings::new((0..plan.viewers).map(|viewer| plan.is_real(viewer)))),
        plan: plan.clone(),
    });
    let began = Clock.now();
    let killed_with = (plan.viewers as f64 * plan.kill_after) as usize;
    for viewer in 0..plan.viewers {
        let due = began + plan.pace().mul_f64(viewer as f64);
        Clock.sleep_until(due).await;
        if viewer == killed_with
            && let Some(branch) = cluster.branch(origin).await?
        {
            let now = Clock.now();
            cluster.kill_sfu(branch.inner);
            kill.send_replace(Some((branch.inner, now)));
            audience.findings().handle_death(now, branch);
        }
        tokio::spawn(view(Arc::clone(&audience), viewer, due));
    }
    Clock.sleep_until(Clock.now() + Duration::from_secs(plan.settle)).await;
    let result = audience.findings().result();
    Ok(result)
}
