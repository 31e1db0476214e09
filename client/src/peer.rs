//! The client's end of a WebRTC session: drives `str0m`, and keeps its output until it is polled. Sans-IO.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use rotunda_proto::payload_types::{self, PayloadTypeReused};
use str0m::change::{SdpAnswer, SdpApi, SdpOffer, SdpPendingOffer};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig, RtcError};
use thiserror::Error;

/// Why the session failed.
#[derive(Debug, Error)]
pub enum MediaError {
    #[error("the local address cannot be an ICE candidate")]
    Candidate(#[source] str0m::error::IceError),
    #[error("the session has no m-line to offer")]
    NoOffer,
    #[error("apply the server's offer")]
    Offer(#[source] str0m::error::SdpError),
    #[error("apply the server's answer")]
    Answer(#[source] str0m::error::SdpError),
    #[error(transparent)]
    PayloadType(#[from] PayloadTypeReused),
    #[error("drive the WebRTC session")]
    Rtc(#[from] RtcError),
}

/// See the [module](self).
pub struct Peer {
    /// Large: futures that hold a peer are moved through several calls.
    rtc: Box<Rtc>,
    local: SocketAddr,
    pending: Option<SdpPendingOffer>,
    events: VecDeque<Event>,
    transmits: VecDeque<Transmit>,
    next_timeout: Instant,
}

impl Peer {
    /// `local`: the UDP socket's address as the server sees it.
    pub fn new(now: Instant, local: SocketAddr, config: RtcConfig) -> Result<Self, MediaError> {
        let mut rtc = Box::new(config.build(now));
        rtc.add_local_candidate(Candidate::host(local, "udp").map_err(MediaError::Candidate)?);
        Ok(Self {
            rtc,
            local,
            pending: None,
            events: VecDeque::new(),
            transmits: VecDeque::new(),
            next_timeout: now,
        })
    }

    /// Adds another local address as candidate; its datagrams are for [`handle_datagram_at`](Self::handle_datagram_at).
    pub fn add_address(&mut self, local: SocketAddr) -> Result<(), MediaError> {
        self.rtc
            .add_local_candidate(Candidate::host(local, "udp").map_err(MediaError::Candidate)?);
        Ok(())
    }

    /// Offers the m-lines that `add` adds; returns the offer together with the result of `add`.
    pub fn offer<T>(&mut self, add: impl FnOnce(&mut SdpApi<'_>) -> T) -> Result<(String, T), MediaError> {
        let mut changes = self.rtc.sdp_api();
        let added = add(&mut changes);
        let (offer, pending) = changes.apply().ok_or(MediaError::NoOffer)?;
        self.pending = Some(pending);
        Ok((offer.to_sdp_string(), added))
    }

    pub fn handle_answer(&mut self, now: Instant, answer: &str) -> Result<(), MediaError> {
        payload_types::check(answer)?;
        let answer = SdpAnswer::from_sdp_string(answer).map_err(MediaError::Answer)?;
        if let Some(pending) = self.pending.take() {
            self.rtc.sdp_api().accept_answer(pending, answer)?;
        }
        self.handle_timeout(now)
    }

    /// Processes the server's offer and returns an answer that receives everything the server sends.
    pub fn handle_offer(&mut self, now: Instant, offer: &str) -> Result<String, MediaError> {
        payload_types::check(offer)?;
        let offer = SdpOffer::from_sdp_string(offer).map_err(MediaError::Offer)?;
        let answer = self.rtc.sdp_api().accept_offer(offer)?;
        self.handle_timeout(now)?;
        Ok(answer.to_sdp_string())
    }

    /// Ignores datagrams that do not belong to this session.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Result<(), MediaError> {
        self.handle_datagram_at(now, from, self.local, bytes)
    }

    /// A datagram that came to this address of ours.
    pub fn handle_datagram_at(
        &mut self,
        now: Instant,
        from: SocketAddr,
        local: SocketAddr,
        bytes: &[u8],
    ) -> Result<(), MediaError> {
        if let Ok(receive) = Receive::new(Protocol::Udp, from, local, bytes) {
            let input = Input::Receive(now, receive);
            if self.rtc.accepts(&input) {
                self.rtc.handle_input(input)?;
                // str0m holds one packet: drain it before the next one.
                self.drain()?;
            }
        }
        Ok(())
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), MediaError> {
        self.rtc.handle_input(Input::Timeout(now))?;
        self.drain()
    }

    /// Ends the session; the last packets are in [`poll_transmit`](Self::poll_transmit).
    pub fn close(&mut self, now: Instant) {
        let _ending_anyway = self.rtc.close();
        let _ending_anyway = self.handle_timeout(now);
    }

    /// Events in the order in which they happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub fn poll_timeout(&self) -> Instant {
        self.next_timeout
    }

    /// For writing; the written data leaves with the next [`handle_timeout`](Self::handle_timeout).
    pub fn rtc(&mut self) -> &mut Rtc {
        &mut self.rtc
    }

    fn drain(&mut self) -> Result<(), MediaError> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => {
                    self.next_timeout = at;
                    return Ok(());
                }
                Output::Transmit(transmit) => self.transmits.push_back(transmit),
                Output::Event(event) => self.events.push_back(event),
            }
        }
    }
}
