//! Entry points for fuzzing: each reader of network bytes of this crate, by name. Compiled for tests, which replay the saved
//! inputs, and with the feature `fuzzing`.

use std::net::SocketAddr;

use rotunda_client::SendingSession;
use rotunda_proto::clock::Clock;

use crate::request::{AudioType, Human, OfSession, Offer, Record};
use crate::sentences::sentences;
use crate::speech::pcm_stream::PcmStream;
use crate::words::event_stream::EventStream;

/// Takes any bytes; a panic is a finding.
pub type Target = fn(&[u8]);

pub const TARGETS: &[(&str, Target)] = &[
    ("avatar_request", requests),
    ("avatar_offer", offer),
    ("avatar_speech", speech),
    ("avatar_chat", chat),
];

/// Bodies of every route.
fn requests(data: &[u8]) {
    let _offer = Offer::read(data);
    let _asked = OfSession::read(data);
    let _state = AudioType::read(data);
    let _record = Record::read(data);
    if let Ok(human) = Human::read(data) {
        let _question = human.question();
        let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
        if let Ok(sentences) = human.sentences() {
            let said: usize = sentences.iter().map(|sentence| letters(sentence)).sum();
            assert_eq!(said, letters(&human.text), "every letter is spoken");
        }
    }
}

fn offer(data: &[u8]) {
    let Ok(offer) = std::str::from_utf8(data) else { return };
    let local = SocketAddr::from(([127, 0, 0, 1], 9));
    if let Ok((_, answer)) = SendingSession::answer(Clock.now(), &[local], offer) {
        assert!(answer.starts_with("v=0"), "an answer is SDP");
    }
}

/// PCM of an engine, whole and cut in two.
fn speech(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let read = |parts: [&[u8]; 2]| {
        let mut stream = PcmStream::new(16_000);
        let mut out = Vec::new();
        let all = parts.iter().try_for_each(|part| stream.handle_bytes(part, &mut out));
        all.map(|()| out)
    };
    let (start, end) = data.split_at(usize::from(*cut).min(data.len()));
    let (whole, parts) = (read([data, &[]]), read([start, end]));
    if let (Ok(whole), Ok(parts)) = (whole, parts) {
        assert_eq!(whole, parts, "it does not matter where it is cut");
    }
}

/// The stream of a language model.
fn chat(data: &[u8]) {
    let mut events = EventStream::default();
    if events.handle_bytes(data).is_err() {
        return;
    }
    let mut answer = String::new();
    while let Ok(Some(text)) = events.poll_text() {
        answer.push_str(&text);
    }
    let _spoken = sentences(&answer);
}

#[cfg(test)]
#[path = "../../fuzz/src/replay.rs"]
mod replay;
