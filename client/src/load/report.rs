//! The result of a run.

use std::time::Duration;

use serde::Serialize;

use super::audience::AudienceTally;
use super::delay::{Delays, Quantiles};
use super::plan::Plan;
use super::tally::{Counts, KindTally, Tally};

/// The result of a run; all values are of the measured time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub parameters: Plan,
    pub measured_seconds: f64,
    pub publishers_up: u64,
    pub viewers_up: u64,
    /// Members that could not join or did not stay.
    pub failed: u64,
    pub first_failure: Option<String>,
    /// Packets that the publishers sent.
    pub sent: u64,
    /// Packets that a perfect run of the plan would have delivered to every viewer.
    pub expected: u64,
    pub delivered: u64,
    /// Missing for a second in a stream that a viewer received. Packets of a stream that never arrived count only
    /// in `expected`.
    pub lost: u64,
    /// Share of delivered and lost together, 0 to 1.
    pub loss: f64,
    pub packets_per_second: f64,
    /// Payloads only.
    pub megabits_per_second: f64,
    pub video: KindReport,
    pub audio: KindReport,
    /// Number of times that a video stopped for more than half a second.
    pub freezes: u64,
    /// Packets of other publishers.
    pub foreign: u64,
    /// From the WebSocket's connect to the first video packet.
    pub join_ms: Quantiles,
    /// CPU time of the server per packet that it forwarded (delivered or lost), µs.
    pub server_cpu_us_per_packet: Option<f64>,
    /// Share of one core; can be more than 1.
    pub server_cpu_share: Option<f64>,
    /// Share of the busiest thread of this tool: near 1, delays and losses are caused by the tool.
    pub tool_cpu_share: f64,
    /// Only with an audience.
    pub audience: Option<AudienceReport>,
    /// Only if publishers were to mute.
    pub mutes: Option<MutesReport>,
    /// Only if publishers took turns speaking: turns that began in the measured time.
    pub turns: Option<u64>,
}

/// A storm of mutes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MutesReport {
    /// Mutes and unmutes of all publishers together.
    pub per_second: f64,
    /// Audience members who did not know 15 s after the last mutes that all cameras were muted.
    pub members_behind: u64,
}

/// Cost and traffic of the audience without media.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AudienceReport {
    pub members_up: u64,
    /// From the first one's connect to the last one's reply.
    pub joins_per_second: f64,
    /// From the WebSocket's connect to the reply to `enterRoom`.
    pub join_ms: Quantiles,
    /// From `enterRoom` to its reply.
    pub reply_ms: Quantiles,
    /// All members at once, at the end.
    pub leave_seconds: f64,
    /// WebSocket frames of the server with their headers, in the measured time.
    pub bytes_per_member_and_minute: f64,
    /// Of the member who received most.
    pub most_bytes_per_minute: f64,
    pub frames_per_member_and_minute: f64,
    /// Growth of the server's resident memory from before the audience to the end of the measured time, per member.
    pub server_bytes_per_member: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KindReport {
    #[serde(flatten)]
    pub counts: Counts,
    /// Share of delivered and lost together, 0 to 1.
    pub loss: f64,
    /// From the publisher's session to the viewer's.
    pub delay_ms: Quantiles,
}

/// The input of [`Report::new`].
pub struct Findings<'a> {
    pub plan: &'a Plan,
    pub time: Duration,
    pub publishers_up: u64,
    pub viewers_up: u64,
    pub failed: u64,
    pub first_failure: Option<String>,
    pub sent: u64,
    pub mutes: u64,
    pub turns: u64,
    pub tally: &'a Tally,
    pub joins: &'a Delays,
    pub server_cpu: Option<Duration>,
    /// Of the busiest thread.
    pub tool_cpu: Duration,
    pub audience: Option<AudienceFindings<'a>>,
}

pub struct AudienceFindings<'a> {
    pub members: u64,
    pub joins: &'a Delays,
    pub replies: &'a Delays,
    pub took: Duration,
    pub left_in: Duration,
    pub sent: AudienceTally,
    /// Resident memory before and after.
    pub server_bytes: Option<(u64, u64)>,
}

impl Report {
    pub fn new(findings: Findings<'_>) -> Self {
        let Findings { plan, tally, time, .. } = findings;
        let seconds = time.as_secs_f64();
        let per_second = |amount: f64| ratio(amount, seconds);
        let counts = tally.counts();
        let forwarded = counts.delivered + counts.lost;
        let behind = findings.audience.as_ref().map(|audience| audience.sent.behind);
        let mutes = (plan.mutes > 0.0).then(|| MutesReport {
            per_second: per_second(findings.mutes as f64),
            members_behind: behind.unwrap_or_default(),
        });
        let cpu_per_packet = |cpu: Duration| ratio(cpu.as_secs_f64() * 1e6, forwarded as f64);
        Self {
            parameters: plan.clone(),
            measured_seconds: seconds,
            publishers_up: findings.publishers_up,
            viewers_up: findings.viewers_up,
            failed: findings.failed,
            first_failure: findings.first_failure,
            sent: findings.sent,
            expected: findings.sent * u64::from(plan.viewers),
            delivered: counts.delivered,
            lost: counts.lost,
            loss: loss(counts),
            packets_per_second: per_second(counts.delivered as f64),
            megabits_per_second: per_second(counts.payload_bytes as f64 * 8.0 / 1e6),
            video: KindReport::new(&tally.video),
            audio: KindReport::new(&tally.audio),
            freezes: tally.freezes,
            foreign: tally.foreign,
            join_ms: findings.joins.summary(),
            server_cpu_us_per_packet: findings.server_cpu.map(cpu_per_packet),
            server_cpu_share: findings.server_cpu.map(|cpu| per_second(cpu.as_secs_f64())),
            tool_cpu_share: per_second(findings.tool_cpu.as_secs_f64()),
            audience: findings
                .audience
                .map(|audience| AudienceReport::new(&audience, seconds)),
            mutes,
            turns: (plan.talk_turns > 0.0).then_some(findings.turns),
        }
    }

    /// True when the tool had no spare CPU time: its results then depend on itself as much as on the server.
    pub fn tool_is_saturated(&self) -> bool {
        self.tool_cpu_share > SATURATED
    }
}

impl AudienceReport {
    fn new(findings: &AudienceFindings<'_>, seconds: f64) -> Self {
        let sent = findings.sent;
        let a_minute = |amount: u64, members: u64| ratio(amount as f64 * 60.0, members as f64 * seconds);
        Self {
            members_up: findings.members,
            joins_per_second: ratio(findings.members as f64, findings.took.as_secs_f64()),
            join_ms: findings.joins.summary(),
            reply_ms: findings.replies.summary(),
            leave_seconds: findings.left_in.as_secs_f64(),
            bytes_per_member_and_minute: a_minute(sent.bytes, sent.members),
            most_bytes_per_minute: a_minute(sent.most_bytes, 1),
            frames_per_member_and_minute: a_minute(sent.frames, sent.members),
            server_bytes_per_member: findings
                .server_bytes
                .map(|(before, after)| ratio(after as f64 - before as f64, findings.members as f64)),
        }
    }
}

impl KindReport {
    fn new(tally: &KindTally) -> Self {
        Self {
            counts: tally.counts,
            loss: loss(tally.counts),
            delay_ms: tally.delays.summary(),
        }
    }
}

/// Share of the expected packets, 0 to 1.
pub fn loss(counts: Counts) -> f64 {
    ratio(counts.lost as f64, (counts.delivered + counts.lost) as f64)
}

fn ratio(of: f64, to: f64) -> f64 {
    if to > 0.0 { of / to } else { 0.0 }
}

const SATURATED: f64 = 0.85;

#[cfg(test)]
mod tests {
    use super::super::plan::tests::plan;
    use super::*;

    #[test]
    fn the_servers_time_is_divided_by_all_forwarded_packets() {
        let mut tally = Tally::default();
        tally.video.counts = Counts {
            delivered: 900,
            lost: 100,
            payload_bytes: 1_000_000,
            ..Counts::default()
        };
        let report = Report::new(Findings {
            plan: &plan(),
            time: Duration::from_secs(2),
            publishers_up: 1,
            viewers_up: 10,
            failed: 0,
            first_failure: None,
            sent: 100,
            mutes: 0,
            turns: 0,
            tally: &tally,
            joins: &Delays::default(),
            server_cpu: Some(Duration::from_millis(10)),
            tool_cpu: Duration::from_millis(1900),
            audience: None,
        });
        assert_eq!(report.server_cpu_us_per_packet, Some(10.0));
        assert_eq!(report.server_cpu_share, Some(0.005));
        assert_eq!(
            (report.loss, report.packets_per_second, report.expected),
            (0.1, 450.0, 1000)
        );
        assert_eq!(report.megabits_per_second, 4.0);
        assert!(report.tool_is_saturated());
    }

    #[test]
    fn the_cost_of_an_audience_is_per_member_and_minute() {
        let mut joins = Delays::default();
        joins.record(Duration::from_millis(10));
        let report = AudienceReport::new(
            &AudienceFindings {
                members: 100,
                joins: &joins,
                replies: &joins,
                took: Duration::from_millis(500),
                left_in: Duration::from_secs(1),
                sent: AudienceTally {
                    members: 50,
                    frames: 100,
                    bytes: 5_000,
                    most_bytes: 200,
                    behind: 0,
                },
                server_bytes: Some((1_000_000, 2_000_000)),
            },
            30.0,
        );
        assert_eq!(report.joins_per_second, 200.0);
        assert_eq!(report.bytes_per_member_and_minute, 200.0);
        assert_eq!(
            (report.frames_per_member_and_minute, report.most_bytes_per_minute),
            (4.0, 400.0)
        );
        assert_eq!(report.server_bytes_per_member, Some(10_000.0));
    }
}
