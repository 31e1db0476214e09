use rotunda_proto::clock::Clock;
use str0m::media::{Direction, MediaKind};

use super::*;

/// An offer with a microphone and a line for what is heard.
fn offer() -> (String, Lines) {
    let mut rtc = Rtc::builder().clear_codecs().enable_opus(true, true).build(Clock.now());
    rtc.add_local_candidate(Candidate::host("10.1.0.1:5000".parse().unwrap(), "udp").unwrap());
    let mut changes = rtc.sdp_api();
    let [microphone, heard] = [Direction::SendOnly, Direction::RecvOnly].map(|direction| {
        changes
            .add_media(MediaKind::Audio, direction, None, None, None)
            .to_string()
    });
    let lines = Lines {
        microphone: Some(microphone),
        audio: vec![heard],
        ..Lines::default()
    };
    (changes.apply().unwrap().0.to_sdp_string(), lines)
}

fn open(offer: &str, lines: Lines) -> (Session, String) {
    let opening = Opening {
        id: SessionId(1),
        room: crate::worker::simulation::room_key(),
        user: Some("ann".parse().unwrap()),
        serial: 1,
        client: Client::Signaled,
        offer: offer.to_owned(),
        lines,
        seed: 1,
    };
    let server = Candidate::host("10.0.0.1:4000".parse().unwrap(), "udp").unwrap();
    Session::open(Clock.now(), opening, &[server]).unwrap()
}

#[test]
fn a_client_that_offers_stereo_is_answered_with_stereo_at_the_first_offer_and_at_a_restart() {
    let (mono, lines) = offer();
    let (_, answer) = open(&mono, lines.clone());
    assert!(!answer.contains("stereo"), "{answer}");
    let both = mono.replace("a=fmtp:111 ", "a=fmtp:111 stereo=1;sprop-stereo=1;");
    assert_eq!(both.matches("sprop-stereo=1").count(), 2, "{both}");
    let (mut session, answer) = open(&both, lines);
    let again = session.restart(&both).unwrap();
    for answer in [answer, again] {
        let formats: Vec<&str> = answer.lines().filter(|line| line.starts_with("a=fmtp:111")).collect();
        let [microphone, heard] = formats[..] else {
            panic!("{answer}");
        };
        assert!(microphone.ends_with(";stereo=1"), "{microphone}");
        assert!(heard.ends_with(";sprop-stereo=1"), "{heard}");
    }
}
