//! RTCP with a viewer: its feedback is read, and sender reports are written.
//!
//! Source: RFC 3550 §6.4 (reports), RFC 4585 §6 (NACK, PLI), RFC 5104 §4.3.1 (FIR),
//! draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1, draft-alvestrand-rmcat-remb-03 §2.2.

use std::time::Duration;

use str0m::rtp::Ssrc;

use crate::units::Bitrate;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
/// The reference time of transport feedback counts 64 ms.
const REFERENCE_UNIT: i64 = 64_000;
/// Its deltas count 250 us.
const DELTA_UNIT: i64 = 250;
/// A longer round trip is no measurement: the report is old, or the clock is wrong.
const MOST_ROUND_TRIP: Duration = Duration::from_secs(60);
/// Packets that one transport feedback may report on. Browsers send 4 to 20 feedbacks a second, with far fewer packets in each.
const MOST_ARRIVALS: u16 = 16_384;
/// Transport feedback in one compound packet; browsers send one.
const MOST_TRANSPORT: usize = 4;
/// Seconds from 1900 to 1970 (RFC 868).
const NTP_EPOCH: u64 = 2_208_988_800;

/// One part of a compound packet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Feedback<'a> {
    /// How a viewer receives one of the streams that it is sent.
    Reception(Reception),
    /// Packets that the viewer misses.
    Nack { ssrc: Ssrc, lost: NackList<'a> },
    /// PLI or FIR.
    Keyframe { ssrc: Ssrc },
    /// When transport-wide numbered packets arrived.
    Transport(TransportFeedback<'a>),
    /// Receiver estimated maximum bitrate.
    Remb { bitrate: Bitrate },
    /// A packet about what the peer sends (sender report, description, goodbye): it concerns the receiving side.
    AboutSending,
}

/// RFC 3550 §6.4.1, a report block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reception {
    pub ssrc: Ssrc,
    /// Share lost since the last report, of 256.
    pub fraction_lost: u8,
    /// In units of the stream's clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report, and the time since, 1/65536 s.
    pub last_report: u32,
    pub since_last_report: u32,
}

impl Reception {
    /// Round-trip time, for a report that came at `unix` (RFC 3550 §6.4.1, LSR and DLSR). None: the receiver has got no sender report
    /// yet, or the values are impossible.
    pub fn round_trip(&self, unix: Duration) -> Option<Duration> {
        if self.last_report == 0 {
            return None;
        }
        let arrived = (ntp(unix) >> 16) as u32;
        let units = arrived
            .wrapping_sub(self.last_report)
            .wrapping_sub(self.since_last_report);
        let time = Duration::from_secs_f64(f64::from(units) / 65_536.0);
        (time < MOST_ROUND_TRIP).then_some(time)
    }
}

/// Reads a compound packet up to the first malformed part. Transport feedback past the first few is left out, as each of them makes
/// much more work than it has bytes.
pub fn read<'a>(compound: &'a [u8], mut take: impl FnMut(Feedback<'a>)) {
    let mut rest = compound;
    let mut transport = 0;
    while let Some((kind, count, body, next)) = split_packet(rest) {
        rest = next;
        match kind {
            SENDER_REPORT => {
                take(Feedback::AboutSending);
                read_blocks(body.get(24..).unwrap_or_default(), &mut take);
            }
            RECEIVER_REPORT => read_blocks(body.get(4..).unwrap_or_default(), &mut take),
            TRANSPORT_FEEDBACK => {
                let (Some(ssrc), Some(entries)) = (ssrc(body, 4), body.get(8..)) else {
                    continue;
                };
                match count {
                    1 => take(Feedback::Nack {
                        ssrc,
                        lost: NackList(entries),
                    }),
                    15 => {
                        transport += 1;
                        if transport <= MOST_TRANSPORT
                            && let Some(feedback) = TransportFeedback::parse(entries)
                        {
                            take(Feedback::Transport(feedback));
                        }
                    }
                    _ => {}
                }
            }
            PAYLOAD_FEEDBACK => match count {
                1 => {
                    if let Some(ssrc) = ssrc(body, 4) {
                        take(Feedback::Keyframe { ssrc });
                    }
                }
                4 => {
                    for entry in body.get(8..).unwrap_or_default().chunks_exact(8) {
                        if let Some(ssrc) = ssrc(entry, 0) {
                            take(Feedback::Keyframe { ssrc });
                        }
                    }
                }
                15 if body.get(8..12) == Some(b"REMB") => {
                    if let Some(value) = word(body, 12) {
                        let (exponent, mantissa) = (value >> 18 & 0x3f, u64::from(value & 0x3_ffff));
                        let bitrate = Bitrate::bits(mantissa.checked_shl(exponent).unwrap_or(u64::MAX));
                        take(Feedback::Remb { bitrate });
                    }
                }
                // The rest of 15 is an application's.
                15 => take(Feedback::AboutSending),
                _ => {}
            },
            _ => take(Feedback::AboutSending),
        }
    }
}

/// Kind, count or format, body after the first word, the rest.
fn split_packet(bytes: &[u8]) -> Option<(u8, u8, &[u8], &[u8])> {
    let head = bytes.get(..4)?;
    if head[0] >> 6 != 2 {
        return None;
    }
    let length = 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
    let body = bytes.get(4..4 + length)?;
    Some((head[1], head[0] & 0x1f, body, &bytes[4 + length..]))
}

fn read_blocks<'a>(blocks: &'a [u8], take: &mut impl FnMut(Feedback<'a>)) {
    for block in blocks.chunks_exact(24) {
        if let (Some(ssrc), Some(jitter), Some(last), Some(since)) =
            (ssrc(block, 0), word(block, 12), word(block, 16), word(block, 20))
        {
            take(Feedback::Reception(Reception {
                ssrc,
                fraction_lost: block[4],
                jitter,
                last_report: last,
                since_last_report: since,
            }));
        }
    }
}

fn ssrc(bytes: &[u8], at: usize) -> Option<Ssrc> {
    word(bytes, at).map(Ssrc::from)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// RFC 4585 §6.2.1: packet ids with a mask of the 16 that follow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NackList<'a>(&'a [u8]);

impl NackList<'_> {
    pub fn sequences(&self) -> impl Iterator<Item = u16> {
        self.0.chunks_exact(4).flat_map(|entry| {
            let first = u16::from_be_bytes([entry[0], entry[1]]);
            let mask = u16::from_be_bytes([entry[2], entry[3]]);
            let following = (0..16).filter(move |bit| mask >> bit & 1 == 1);
            std::iter::once(first).chain(following.map(move |bit| first.wrapping_add(bit + 1)))
        })
    }
}

/// Arrivals of transport-wide numbered packets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransportFeedback<'a> {
    base: u16,
    count: u16,
    /// Microseconds on the viewer's clock.
    reference: i64,
    chunks: &'a [u8],
}

/// One packet of transport feedback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    pub sequence: u16,
    /// Microseconds on the viewer's clock, which wraps after 12 days; None: not arrived.
    pub at: Option<i64>,
}

impl<'a> TransportFeedback<'a> {
    fn parse(body: &'a [u8]) -> Option<Self> {
        let head = body.get(..8)?;
        // 24 bits, signed.
        let reference = i32::from_be_bytes([head[4], head[5], head[6], 0]) >> 8;
        let count = u16::from_be_bytes([head[2], head[3]]);
        (count <= MOST_ARRIVALS).then(|| Self {
            base: u16::from_be_bytes([head[0], head[1]]),
            count,
            reference: i64::from(reference) * REFERENCE_UNIT,
            chunks: &body[8..],
        })
    }

    /// Appends the arrivals in order of number; those after a malformed part are left out.
    pub fn arrivals(&self, out: &mut Vec<Arrival>) {
        let first = out.len();
        let mut left = usize::from(self.count);
        let mut rest = self.chunks;
        // Symbols first: they are kept in `at` until the deltas are read.
        while left > 0 {
            let Some((chunk, next)) = rest.split_first_chunk::<2>() else {
                out.truncate(first);
                return;
            };
            rest = next;
            let chunk = u16::from_be_bytes(*chunk);
            let (symbols, length, width) = match chunk >> 14 {
                0 | 1 => {
                    let run = usize::from(chunk & 0x1fff).min(left);
                    let symbol = i64::from(chunk >> 13 & 3);
                    for _ in 0..run {
                        push_symbol(out, self.base, first, symbol);
                    }
                    left -= run;
                    // A run of nothing would never end.
                    if run == 0 {
                        out.truncate(first);
                        return;
                    }
                    continue;
                }
                2 => (chunk, 14, 1),
                _ => (chunk, 7, 2),
            };
            let vector = length.min(left);
            for index in 0..vector {
                let shift = 14 - width * (index + 1);
                let symbol = i64::from(symbols >> shift & if width == 1 { 1 } else { 3 });
                push_symbol(out, self.base, first, symbol);
            }
            left -= vector;
        }
        let mut time = self.reference;
        let mut complete = first;
        for arrival in &mut out[first..] {
            let delta = match arrival.at {
                Some(1) => rest.split_first().map(|(delta, next)| (i64::from(*delta), next)),
                Some(2) => rest
                    .split_first_chunk::<2>()
                    .map(|(delta, next)| (i64::from(i16::from_be_bytes(*delta)), next)),
                _ => {
                    arrival.at = None;
                    complete += 1;
                    continue;
                }
            };
            let Some((delta, next)) = delta else {
                break;
            };
            rest = next;
            time += delta * DELTA_UNIT;
            arrival.at = Some(time);
            complete += 1;
        }
        out.truncate(complete);
    }
}

fn push_symbol(out: &mut Vec<Arrival>, base: u16, first: usize, symbol: i64) {
    let sequence = base.wrapping_add((out.len() - first) as u16);
    out.push(Arrival {
        sequence,
        at: Some(symbol),
    });
}

/// A sender report without report blocks (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy)]
pub struct SenderReport {
    pub ssrc: Ssrc,
    /// Since the Unix epoch.
    pub time: Duration,
    pub timestamp: u32,
    pub packets: u32,
    pub octets: u32,
}

impl SenderReport {
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0x80, SENDER_REPORT, 0, 6]);
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&ntp(self.time).to_be_bytes());
        for value in [self.timestamp, self.packets, self.octets] {
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

/// NTP time, 32.32 fixed point (RFC 5905 §6).
pub fn ntp(since_unix_epoch: Duration) -> u64 {
    let seconds = since_unix_epoch.as_secs().wrapping_add(NTP_EPOCH);
    let fraction = (u64::from(since_unix_epoch.subsec_nanos()) << 32) / 1_000_000_000;
    seconds << 32 | fraction
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Vec<Feedback<'_>> {
        let mut found = Vec::new();
        read(bytes, |feedback| found.push(feedback));
        found
    }

    #[test]
    fn a_compound_of_report_nack_and_pli_is_read() {
        let compound = [
            &[0x81, 201, 0, 7, 0, 0, 0, 1][..],
            &[0, 0, 0, 9, 64, 0, 0, 3, 0, 0, 1, 0, 0, 0, 0, 20, 0, 0, 0, 5, 0, 0, 0, 6],
            &[0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 0, 5],
            &[0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9],
        ]
        .concat();
        let found = all(&compound);
        let Feedback::Reception(report) = found[0] else {
            panic!("{found:?}");
        };
        assert_eq!((*report.ssrc, report.fraction_lost, report.jitter), (9, 64, 20));
        let Feedback::Nack { ssrc, lost } = found[1] else {
            panic!("{found:?}");
        };
        assert_eq!(*ssrc, 9);
        assert_eq!(lost.sequences().collect::<Vec<_>>(), [0xffff, 0, 2]);
        assert_eq!(found[2], Feedback::Keyframe { ssrc: 9.into() });
    }

    #[test]
    fn a_report_on_a_sender_report_tells_the_round_trip_time() {
        let sent = Duration::from_millis(1_700_000_000_000);
        let report = Reception {
            ssrc: 9.into(),
            fraction_lost: 0,
            jitter: 0,
            last_report: (ntp(sent) >> 16) as u32,
            // Half a second at the receiver.
            since_last_report: 32_768,
        };
        let time = report.round_trip(sent + Duration::from_millis(580)).unwrap();
        assert!(
            time.abs_diff(Duration::from_millis(80)) < Duration::from_millis(1),
            "{time:?}"
        );
        assert_eq!(report.round_trip(sent), None, "before it can have come");
        let none_seen = Reception {
            last_report: 0,
            ..report
        };
        assert_eq!(none_seen.round_trip(sent), None);
    }

    #[test]
    fn transport_feedback_has_runs_vectors_and_deltas() {
        // Base 10, 5 packets, reference 1 (64 ms); a run of 2 small deltas, then a vector: lost, small, large.
        let body = [
            0,
            0,
            0,
            1,
            0,
            0,
            0,
            2,
            0,
            10,
            0,
            5,
            0,
            0,
            1,
            7,
            0x20,
            0x02,
            0b1100_0110,
            0,
            4,
            8,
            4,
            0xff,
            0xfc,
            0,
        ];
        let mut packet = vec![0x8f, 205, 0, 7];
        packet.extend_from_slice(&body);
        packet.resize(32, 0);
        let found = all(&packet);
        let Feedback::Transport(feedback) = found[0] else {
            panic!("{found:?}");
        };
        let mut arrivals = Vec::new();
        feedback.arrivals(&mut arrivals);
        let expected = [Some(65_000), Some(67_000), None, Some(68_000), Some(67_000)];
        let numbered: Vec<_> = (10..)
            .zip(expected)
            .map(|(sequence, at)| Arrival { sequence, at })
            .collect();
        assert_eq!(arrivals, numbered);
    }

    #[test]
    fn feedback_that_would_be_much_work_is_left_out() {
        // A count of 65535 in nine runs.
        let mut huge = vec![0x8f, 205, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0xff, 0xff, 0, 0, 0, 0];
        huge.resize(40, 0x1f);
        assert_eq!(all(&huge), []);
        let one = [
            0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0,
        ];
        assert_eq!(all(&one.repeat(9)).len(), MOST_TRANSPORT);
    }

    #[test]
    fn a_receiver_s_estimate_is_read() {
        let packet = [
            0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 1, 0x07, 0xd0, 0x00, 0, 0, 0, 9,
        ];
        let bitrate = Bitrate::bits(0x3_d000 << 1);
        assert_eq!(all(&packet), [Feedback::Remb { bitrate }]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut arrivals = Vec::new();
            read(&bytes, |feedback| match feedback {
                Feedback::Transport(transport) => transport.arrivals(&mut arrivals),
                Feedback::Nack { lost, .. } => drop(lost.sequences().count()),
                _ => {}
            });
        }

        #[test]
        fn any_transport_feedback_is_read_without_a_panic(body in proptest::collection::vec(any::<u8>(), 8..200)) {
            let mut arrivals = Vec::new();
            if let Some(feedback) = TransportFeedback::parse(&body) {
                feedback.arrivals(&mut arrivals);
                prop_assert!(arrivals.len() <= usize::from(feedback.count));
            }
        }
    }
}
