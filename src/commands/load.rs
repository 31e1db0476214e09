//! `rotunda load`: runs many publishers and viewers, and reports delivery, delay and cost.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use rotunda_client::load::{Access, AudienceReport, Entrance, Flow, KindReport, Plan, Report, Second, Stage};
use rotunda_proto::ids::UserId;
use tokio_util::sync::CancellationToken;

use super::join::TICKET_LIFE;
use super::{Quiet, asked_to_stop, load, local_application, sign, start_logging};
use crate::cli;
use crate::open_files::raise_limit;

pub async fn run(arguments: cli::Load) -> anyhow::Result<()> {
    let config = load(&arguments.file)?;
    start_logging(&config, Quiet::Yes);
    let open_files = raise_limit();
    let application = local_application(&config)?;
    let local = format!("ws://127.0.0.1:{}/ws", config.server.port);
    let json = arguments.json.clone();
    let token = arguments.token.clone();
    let plan = plan(arguments, local);
    let needed = plan.sockets() + OTHER_FILES;
    if let Some(limit) = open_files.filter(|limit| *limit < needed) {
        anyhow::bail!("this needs {needed} open files and the limit is {limit}; raise it: ulimit -n {needed}");
    }
    let access = Access {
        app: application.sdk_app_id,
        sign: Box::new(move |user: &UserId| match &token {
            Some(token) => token.clone(),
            None => sign(&application, user, TICKET_LIFE),
        }),
    };
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        asked_to_stop().await;
        asked.cancel();
    });
    println!("{HEAD}");
    let report = rotunda_client::load::run(plan, access, stop, |second| {
        // A closed standard output must not end the run.
        let _gone = writeln!(std::io::stdout(), "{}", line(second));
    })
    .await?;
    print!("{}", summary(&report));
    if let Some(file) = json {
        write_json(&report, &file)?;
    }
    Ok(())
}

fn plan(arguments: cli::Load, local: String) -> Plan {
    let entrance = match (arguments.whip, arguments.whep, arguments.janus) {
        (Some(whip), Some(whep), _) => Entrance::Whip { whip, whep },
        (_, _, Some(url)) => Entrance::Janus { url },
        _ => Entrance::Signaling {
            url: arguments.url.unwrap_or(local),
        },
    };
    Plan {
        entrance,
        room: arguments.room,
        rooms: arguments.rooms,
        publishers: arguments.publishers,
        viewers: arguments.viewers,
        audience: arguments.audience,
        sources: arguments.sources,
        user_prefix: arguments.user_prefix,
        join_rate: arguments.join_rate,
        warm_up: arguments.warm_up,
        seconds: arguments.seconds,
        video: Flow {
            packets_per_second: arguments.video_packets,
            bytes: arguments.video_bytes,
        },
        frame_packets: arguments.frame_packets,
        gop: arguments.gop,
        mutes: arguments.mutes,
        talk_turns: arguments.talk_turns,
        audio: Flow {
            packets_per_second: arguments.audio_packets,
            bytes: arguments.audio_bytes,
        },
        loss: arguments.loss,
        bandwidth: arguments.bandwidth,
        seed: arguments.seed,
        threads: arguments.threads,
        server_pid: arguments.server_pid,
    }
}

/// Files of the runtime, standard streams and libraries.
const OTHER_FILES: u64 = 100;

const HEAD: &str = "    s  stage    publishers  viewers  audience  packets/s   Mbit/s   loss %   delay ms p50    p95    p99   server CPU %";

fn line(second: &Second) -> String {
    let stage = match second.stage {
        Stage::Joining => "joining",
        Stage::WarmUp => "warm-up",
        Stage::Measuring => "measure",
        Stage::Settling => "settle",
    };
    let server = second
        .server_cpu_share
        .map_or_else(|| "-".to_owned(), |share| format!("{:.0}", share * 100.0));
    format!(
        "{:5.0}  {stage:<7}  {:10}  {:7}  {:8}  {:9.0}  {:7.1}  {:7.3}  {:13.2}  {:5.1}  {:5.1}  {server:>13}",
        second.at.as_secs_f64(),
        second.publishers,
        second.viewers,
        second.audience,
        second.packets_per_second,
        second.megabits_per_second,
        second.loss * 100.0,
        second.delay_ms.p50,
        second.delay_ms.p95,
        second.delay_ms.p99,
    )
}

fn summary(report: &Report) -> String {
    let mut text = format!(
        "\nMeasured {:.1} s with {} publishers and {} viewers ({} failed)\n",
        report.measured_seconds, report.publishers_up, report.viewers_up, report.failed
    );
    let mut say = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    if let Some(failure) = &report.first_failure {
        say(format!("  first failure      {failure}"));
    }
    if let Some(audience) = &report.audience {
        say(audience_lines(audience));
    }
    say(format!(
        "  delivered          {} of {} packets, {} lost ({:.4} %)",
        report.delivered,
        report.expected,
        report.lost,
        report.loss * 100.0
    ));
    say(format!(
        "  rate               {:.0} packets/s, {:.1} Mbit/s",
        report.packets_per_second, report.megabits_per_second
    ));
    say(kind("video", &report.video));
    say(kind("audio", &report.audio));
    say(format!("  freezes            {}", report.freezes));
    let join = report.join_ms;
    say(format!(
        "  join               p50 {:.0}  p95 {:.0}  max {:.0} ms",
        join.p50, join.p95, join.max
    ));
    if let (Some(each), Some(share)) = (report.server_cpu_us_per_packet, report.server_cpu_share) {
        say(format!(
            "  server             {each:.2} us of CPU per packet, {:.0} % of a core",
            share * 100.0
        ));
    }
    say(format!(
        "  this tool          {:.0} % of its busiest thread",
        report.tool_cpu_share * 100.0
    ));
    if report.tool_is_saturated() {
        say(
            "  WARNING: this tool was saturated; delays and losses are its own. Use --threads or fewer viewers."
                .to_owned(),
        );
    }
    if let Some(storm) = &report.mutes {
        say(format!(
            "  mutes              {:.1} per second; {} audience members do not know the last state",
            storm.per_second, storm.members_behind
        ));
    }
    if let Some(turns) = report.turns {
        say(format!("  turns to speak     {turns}"));
    }
    if report.foreign > 0 {
        say(format!(
            "  WARNING: {} packets came from others in the room",
            report.foreign
        ));
    }
    text
}

fn audience_lines(audience: &AudienceReport) -> String {
    let (join, reply) = (audience.join_ms, audience.reply_ms);
    let memory = audience
        .server_bytes_per_member
        .map(|bytes| format!("\n  server memory      {:.2} kB per audience member", bytes / 1000.0))
        .unwrap_or_default();
    format!(
        "  audience           {} entered, {:.0} a second; left in {:.1} s\n\
        \x20 audience join      p50 {:.1}  p95 {:.1}  p99 {:.1}  max {:.1} ms; of it enterRoom p50 {:.1}  p95 {:.1}  p99 {:.1} ms\n\
        \x20 audience hears     {:.0} bytes in {:.1} frames a minute, {:.0} bytes at most{memory}",
        audience.members_up,
        audience.joins_per_second,
        audience.leave_seconds,
        join.p50,
        join.p95,
        join.p99,
        join.max,
        reply.p50,
        reply.p95,
        reply.p99,
        audience.bytes_per_member_and_minute,
        audience.frames_per_member_and_minute,
        audience.most_bytes_per_minute,
    )
}

fn kind(name: &str, kind: &KindReport) -> String {
    let delay = kind.delay_ms;
    format!(
        "  {name} delay        p50 {:.2}  p95 {:.2}  p99 {:.2}  max {:.2} ms; {} delivered, {} lost, {} twice",
        delay.p50, delay.p95, delay.p99, delay.max, kind.counts.delivered, kind.counts.lost, kind.counts.duplicates
    )
}

fn write_json(report: &Report, file: &Path) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(report).context("print the result")?;
    std::fs::write(file, json + "\n").with_context(|| format!("write {}", file.display()))
}
