//! How a peer joins: its offer, its session on a worker, its handshake.

use super::*;

impl Simulation {
    /// Joins with all lines of a member.
    pub fn join(&mut self, name: &str, up: Link, down: Link) -> usize {
        self.join_with(name, [up, down], Codec::Vp8, vec![Layer::new(None, 360, FRAME_PACKETS)])
    }

    /// As [`join`](Self::join), with this video codec and no other.
    pub fn join_with_codec(&mut self, name: &str, codec: Codec) -> usize {
        let link = Link::default();
        self.join_with(name, [link, link], codec, vec![Layer::new(None, 360, FRAME_PACKETS)])
    }

    /// As [`join`](Self::join), with a camera of three layers.
    pub fn join_with_simulcast(&mut self, name: &str) -> usize {
        let layers = [("q", 180, 1), ("h", 360, 2), ("f", 720, 4)];
        let layers = layers.map(|(rid, height, packets)| Layer::new(Some(rid), height, packets));
        let link = Link::default();
        self.join_with(name, [link, link], Codec::Vp8, layers.into())
    }

    /// As [`join`](Self::join), with VP9 of three sizes and three rates in one stream, the sizes apart but for keyframes.
    pub fn join_with_layers_in_one_stream(&mut self, name: &str) -> usize {
        let link = Link::default();
        let mut layer = Layer::new(None, 720, 2);
        layer.within = vec![180, 360];
        self.join_with(name, [link, link], Codec::Vp9, vec![layer])
    }

    /// Joins as a viewer of all codecs.
    pub fn join_as_viewer(&mut self, name: &str, down: Link) -> usize {
        self.join_with(name, [Link::default(), down], Codec::Null, Vec::new())
    }

    fn join_with(&mut self, name: &str, [up, down]: [Link; 2], codec: Codec, layers: Vec<Layer>) -> usize {
        let index = self.peers.len();
        let address = SocketAddr::from(([10, 1, (index >> 8) as u8, index as u8], 5000));
        let takes = |one: Codec| codec == one || codec == Codec::Null;
        let mut config = Rtc::builder();
        if self.without_feedback {
            config = config
                .clear_extension_map()
                .set_extension(1, Extension::AudioLevel)
                .set_extension(4, Extension::RtpMid)
                .set_extension(10, Extension::RtpStreamId);
        }
        let mut config = config
            .set_crypto_provider(dtls_keys::crypto_provider())
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, true)
            .enable_vp8(takes(Codec::Vp8))
            .enable_h264(takes(Codec::H264))
            .enable_vp9(takes(Codec::Vp9))
            .enable_av1(takes(Codec::Av1))
            .set_extension(12, dependency_extension());
        for params in config.codec_config().iter_mut() {
            params.set_fb_nack(self.with_audio_nack || params.spec().codec.is_video());
        }
        let mut rtc = config.build(self.now);
        rtc.add_local_candidate(Candidate::host(address, "udp").unwrap());
        let mut changes = rtc.sdp_api();
        let rids: Vec<&str> = layers.iter().filter_map(|layer| layer.rid.as_deref()).collect();
        let simulcast = (!rids.is_empty()).then(|| Simulcast {
            send: rids.iter().map(|rid| SimulcastLayer::new(rid)).collect(),
            recv: Vec::new(),
        });
        let camera = changes.add_media(MediaKind::Video, Direction::SendOnly, None, None, simulcast);
        let mut add = |kind, direction| changes.add_media(kind, direction, None, None, None);
        let microphone = add(MediaKind::Audio, Direction::SendOnly);
        let audio: Vec<Mid> = (0..self.audio_slots)
            .map(|_| add(MediaKind::Audio, Direction::RecvOnly))
            .collect();
        let video: Vec<Mid> = (0..3).map(|_| add(MediaKind::Video, Direction::RecvOnly)).collect();
        let mut channels = Vec::new();
        if self.with_channels {
            let ordered = ChannelConfig {
                label: ORDERED.into(),
                ..ChannelConfig::default()
            };
            let unordered = ChannelConfig {
                label: UNORDERED.into(),
                ordered: false,
                reliability: Reliability::MaxRetransmits { retransmits: 0 },
                ..ChannelConfig::default()
            };
            for config in [ordered, unordered] {
                let label = config.label.clone();
                channels.push((changes.add_channel_with_config(config), label));
            }
        }
        let (offer, pending) = changes.apply().unwrap();
        let names = |mids: &[Mid]| mids.iter().map(ToString::to_string).collect();
        let session = SessionId(index as u64 + 1);
        let user: UserId = name.parse().unwrap();
        let opening = Opening {
            id: session,
            room: self.room.clone(),
            user: Some(user.clone()),
            serial: session.0,
            client: self.client,
            offer: offer.to_sdp_string(),
            lines: Lines {
                microphone: Some(microphone.to_string()),
                camera: Some(camera.to_string()),
                screen: None,
                audio: names(&audio),
                video: names(&video),
            },
            seed: self.seed,
        };
        let (worker, room_workers) = self
            .placement
            .open(session, &self.room, Standing::Newcomer, |worker| {
                self.nodes.is_dead(worker.position())
            })
            .unwrap();
        let worker = worker.position();
        self.tell(room_workers);
        let server = Candidate::host(server(worker), "udp").unwrap();
        let (opened, answer) = Session::open(self.now, opening, &[server]).unwrap();
        self.workers[worker].adopt(self.now, opened).unwrap();
        let answer = str0m::change::SdpAnswer::from_sdp_string(&answer).unwrap();
        rtc.sdp_api().accept_answer(pending, answer).unwrap();
        self.peers.push(Peer {
            user,
            session,
            worker,
            rtc,
            address,
            due: self.now,
            connected: false,
            gone: false,
            sender: None,
            microphone,
            camera,
            slots: audio.iter().chain(&video).copied().collect(),
            audio_slots: audio.len(),
            checks: true,
            up,
            down,
            down_free_at: self.now,
            publishing: Publishing::default(),
            got: BTreeMap::new(),
            heard: BTreeMap::new(),
            keyframe_requests: Vec::new(),
            audio_nack: self.with_audio_nack,
            dependencies: Vec::new(),
            channels,
            messages: Vec::new(),
            layers,
            obeys: true,
            tolerant: false,
            level: None,
        });
        self.drive_peer(index);
        index
    }
}
