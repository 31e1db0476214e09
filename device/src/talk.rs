//! Talk-back: a viewer's audio to the program.

use std::rc::Rc;

use crate::abi::{self, err};
use crate::audio::{Format, FromOpus};
use crate::calls::Open;
use crate::engine::Engine;
use crate::log::log;
use crate::protocol::{Answer, Refusal};
use crate::requests::play;
use crate::streams::{StreamKey, chain};

/// A visitor's running talk-back.
pub struct Talk {
    channel: u32,
    from_opus: FromOpus,
    seq: u32,
}

impl Talk {
    pub fn channel(&self) -> u32 {
        self.channel
    }
}

impl Engine {
    /// Begins talk-back, in the codec, rate and channels that the program sends itself.
    pub async fn talk(self: &Rc<Self>, visitor: u32, channel: u32) -> Result<Answer, Refusal> {
        self.is_online(channel)?;
        let mut playing = self.streams.of_visitor(visitor).into_iter();
        let known = playing.find(|playing| playing.channel == channel);
        let key = known.unwrap_or(StreamKey::new(visitor, channel, 0));
        play::request_stream(self, key, abi::REQUEST_RECV_STREAM).await?;
        let own = known.and_then(|key| self.streams.channel(key)?.coding.audio);
        let format = match own {
            Some(format) => format,
            None => {
                let info = play::encoding_info(self, key).await?;
                Format::of(&info).map_err(|error| Refusal::new("codec_not_supported", error.to_string()))?
            }
        };
        let from_opus = FromOpus::new(format).map_err(|error| Refusal::new("internal", chain(&error)))?;
        self.end_talk(visitor, None);
        let calls = self.calls.clone();
        let start = move |functions: &crate::calls::Functions| {
            let mut info = format.info();
            // SAFETY: the program promised such a function; what it gets lives through the call.
            let code = unsafe { (functions.start_recv_stream)(visitor, channel, &raw mut info) };
            if code == err::NONE {
                calls.open(Open::Talk { visitor, channel });
            }
            code
        };
        self.calls.agree(start).await?;
        let talk = Talk {
            channel,
            from_opus,
            seq: 0,
        };
        self.visitors.borrow_mut().set_talk(visitor, talk);
        Ok(Answer::done())
    }

    /// Ends a visitor's talk-back (of this channel); answers whether there was one.
    pub fn end_talk(&self, visitor: u32, channel: Option<u32>) -> bool {
        let Some(talk) = self.visitors.borrow_mut().take_talk(visitor, channel) else {
            return false;
        };
        let channel = talk.channel;
        self.calls
            .post_end(move |open| *open == Open::Talk { visitor, channel });
        true
    }

    /// A packet of talk-back.
    pub fn hear(&self, visitor: u32, packet: &[u8]) {
        let mut frames = Vec::new();
        let mut visitors = self.visitors.borrow_mut();
        let Some(talk) = visitors.talk(visitor) else { return };
        if let Err(error) = talk.from_opus.convert(packet, &mut frames) {
            log!(Debug, "a packet of talk-back was not converted: {error}");
        }
        let channel = talk.channel;
        for (pts, mut data) in frames {
            talk.seq = talk.seq.wrapping_add(1);
            let seq = talk.seq;
            let taken = self.calls.post_audio(move |functions| {
                let mut pack = abi::AudioPack {
                    address: data.as_mut_ptr(),
                    length: data.len() as u32,
                    pts,
                    seq,
                };
                let mut packs = [std::ptr::null_mut(); 8];
                packs[0] = &raw mut pack;
                let mut stream = abi::AudioStream { packs, count: 1 };
                // SAFETY: the program promised such a function; what it gets lives through the call.
                unsafe {
                    (functions.recv_stream)(visitor, channel, abi::STREAM_TYPE_AUDIO, (&raw mut stream).cast());
                }
            });
            if !taken {
                log!(Debug, "talk-back was dropped: the program does not keep up");
            }
        }
    }
}
