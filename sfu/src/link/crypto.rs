//! Keys of a link, and the protection of its datagrams.
//!
//! Each side makes an X25519 key for one link. The keys of the two directions come out of the shared secret, the cluster's secret and
//! everything that the two sides have told each other (HKDF, RFC 5869). So a peer without the cluster's secret has no keys, and neither
//! has somebody who gets to know the secret afterwards. Datagrams are protected by AES-128-GCM; the counter of each is its nonce.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand::SystemRandom;
use rotunda_proto::sfu::LinkEnd;
use rotunda_proto::ticket::ClusterSecret;
use thiserror::Error;

use super::datagram::{HEADER, Header};

/// Bytes that protection adds.
pub const TAG: usize = 16;
const KEY: usize = 16;
/// Of 64 counters each.
const WORDS: usize = 32;

/// Why there are no keys, or a datagram was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LinkError {
    #[error("no key could be made")]
    Randomness,
    #[error("the other node's key is malformed")]
    Key,
    #[error("the datagram is too short")]
    Short,
    #[error("the datagram is not authentic")]
    Authentication,
    #[error("the datagram was received before, or is too old to know")]
    Replayed,
    #[error("the datagram is malformed")]
    Malformed,
}

/// The side of a link that asks for it, and the side that is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Asking,
    Asked,
}

/// This side's key before the other side's is known.
pub struct OwnKey {
    private: EphemeralPrivateKey,
    public: Vec<u8>,
}

impl OwnKey {
    pub fn generate() -> Result<Self, LinkError> {
        let private =
            EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).map_err(|_| LinkError::Randomness)?;
        let public = private.compute_public_key().map_err(|_| LinkError::Randomness)?;
        Ok(Self {
            private,
            public: public.as_ref().to_vec(),
        })
    }

    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// `asking` and `asked`: the two ends as they were told, this one included.
    pub fn agree(
        self,
        side: Side,
        asking: &LinkEnd,
        asked: &LinkEnd,
        secret: &ClusterSecret,
    ) -> Result<(Sealer, Opener), LinkError> {
        let other = match side {
            Side::Asking => asked,
            Side::Asked => asking,
        };
        let peer = UnparsedPublicKey::new(&X25519, &other.key);
        agree_ephemeral(self.private, peer, LinkError::Key, |shared| {
            keys(side, shared, asking, asked, secret)
        })
    }
}

/// `shared`: the secret that the keys of both sides make.
fn keys(
    side: Side,
    shared: &[u8],
    asking: &LinkEnd,
    asked: &LinkEnd,
    secret: &ClusterSecret,
) -> Result<(Sealer, Opener), LinkError> {
    let transcript = transcript(asking, asked);
    let extracted = Salt::new(HKDF_SHA256, &secret.derive("sfu link")).extract(shared);
    let key = |direction: &[u8]| {
        let info = [b"rotunda sfu link 1\n".as_slice(), direction, transcript.as_slice()];
        let mut bytes = [0; KEY];
        let expanded = extracted.expand(&info, Length(KEY));
        expanded
            .and_then(|expanded| expanded.fill(&mut bytes))
            .map_err(|_| LinkError::Key)?;
        let key = UnboundKey::new(&AES_128_GCM, &bytes).map_err(|_| LinkError::Key)?;
        Ok(LessSafeKey::new(key))
    };
    let (asking, asked) = (key(b"asking\n")?, key(b"asked\n")?);
    let (seal, open) = match side {
        Side::Asking => (asking, asked),
        Side::Asked => (asked, asking),
    };
    Ok((
        Sealer { key: seal, counter: 0 },
        Opener {
            key: open,
            seen: ReplayWindow::default(),
        },
    ))
}

/// What both ends have told, each part with its length, so that no two transcripts are equal.
fn transcript(asking: &LinkEnd, asked: &LinkEnd) -> Vec<u8> {
    let mut bytes = Vec::new();
    for end in [asking, asked] {
        let node = end.node.to_string();
        let (worker, link) = (end.worker.to_be_bytes(), end.link.to_be_bytes());
        for part in [node.as_bytes(), &worker, &link, &end.key] {
            bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
            bytes.extend_from_slice(part);
        }
    }
    bytes
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Protects the datagrams of one direction.
pub struct Sealer {
    key: LessSafeKey,
    counter: u64,
}

impl Sealer {
    /// Protects the datagram whose body is `body`, for the end that knows the link by `link`.
    pub fn seal(&mut self, link: u32, mut body: Vec<u8>) -> Vec<u8> {
        let counter = self.counter;
        self.counter += 1;
        let header = Header { link, counter }.write();
        // Fails only for bodies of gigabytes; a tag of zeros is refused by every receiver.
        let sealed = self
            .key
            .seal_in_place_separate_tag(nonce(counter), Aad::from(&header), &mut body);
        let tag: [u8; TAG] = sealed
            .ok()
            .and_then(|tag| tag.as_ref().try_into().ok())
            .unwrap_or_default();
        let mut datagram = Vec::with_capacity(HEADER + body.len() + TAG);
        datagram.extend_from_slice(&header);
        datagram.extend_from_slice(&body);
        datagram.extend_from_slice(&tag);
        datagram
    }
}

/// Opens the datagrams of one direction, each once.
pub struct Opener {
    key: LessSafeKey,
    seen: ReplayWindow,
}

impl Opener {
    /// The body of a datagram.
    pub fn open(&mut self, datagram: &[u8]) -> Result<Vec<u8>, LinkError> {
        let header = Header::read(datagram).ok_or(LinkError::Short)?;
        if !self.seen.is_new(header.counter) {
            return Err(LinkError::Replayed);
        }
        let (clear, sealed) = datagram.split_at(HEADER);
        let mut body = sealed.to_vec();
        let opened = self
            .key
            .open_in_place(nonce(header.counter), Aad::from(clear), &mut body)
            .map_err(|_| LinkError::Authentication)?;
        let length = opened.len();
        body.truncate(length);
        self.seen.note(header.counter);
        Ok(body)
    }
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// The newest counters that came, one bit each.
#[derive(Debug, Default)]
struct ReplayWindow {
    /// One more than the highest counter.
    next: u64,
    bits: [u64; WORDS],
}

impl ReplayWindow {
    const SIZE: u64 = 64 * WORDS as u64;

    fn is_new(&self, counter: u64) -> bool {
        if counter >= self.next {
            return counter < u64::MAX;
        }
        let (word, bit) = Self::place(counter);
        self.next - counter <= Self::SIZE && self.bits[word] & bit == 0
    }

    /// Of an authentic datagram.
    fn note(&mut self, counter: u64) {
        // The places of the counters between have been used by older ones.
        let passed = counter.saturating_sub(self.next).min(Self::SIZE);
        for between in counter - passed..counter {
            if between >= self.next {
                let (word, bit) = Self::place(between);
                self.bits[word] &= !bit;
            }
        }
        let (word, bit) = Self::place(counter);
        self.bits[word] |= bit;
        self.next = self.next.max(counter + 1);
    }

    fn place(counter: u64) -> (usize, u64) {
        let at = counter % Self::SIZE;
        ((at / 64) as usize, 1 << (at % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::super::datagram::Frame;
    use super::*;

    fn end(name: &str, key: &OwnKey) -> LinkEnd {
        LinkEnd {
            node: name.parse().unwrap(),
            worker: 1,
            link: 7,
            key: key.public().to_vec(),
            addresses: Vec::new(),
        }
    }

    type Ends = ((Sealer, Opener), (Sealer, Opener));

    fn agreed(secrets: [&str; 2]) -> Ends {
        let (one, two) = (OwnKey::generate().unwrap(), OwnKey::generate().unwrap());
        let (asking, asked) = (end("sfu-1", &one), end("sfu-2", &two));
        let secrets = secrets.map(ClusterSecret::new);
        (
            one.agree(Side::Asking, &asking, &asked, &secrets[0]).unwrap(),
            two.agree(Side::Asked, &asking, &asked, &secrets[1]).unwrap(),
        )
    }

    #[test]
    fn a_datagram_is_opened_once_and_only_as_it_was_sent() {
        let ((mut seal, mut back), (_, mut open)) = agreed(["ours", "ours"]);
        let datagram = seal.seal(7, b"body".to_vec());
        for at in 0..datagram.len() {
            let mut bent = datagram.clone();
            bent[at] ^= 1;
            assert!(open.open(&bent).is_err(), "byte {at}");
        }
        assert_eq!(
            back.open(&datagram),
            Err(LinkError::Authentication),
            "its own direction"
        );
        assert_eq!(open.open(&datagram).unwrap(), b"body");
        assert_eq!(open.open(&datagram), Err(LinkError::Replayed));
        assert_eq!(open.open(&datagram[..9]), Err(LinkError::Short));
    }

    #[test]
    fn a_peer_without_the_secret_of_the_cluster_opens_nothing() {
        let ((mut seal, _), (_, mut open)) = agreed(["ours", "theirs"]);
        let datagram = seal.seal(7, b"body".to_vec());
        assert_eq!(open.open(&datagram), Err(LinkError::Authentication));
    }

    #[test]
    fn a_malformed_key_is_refused() {
        let own = OwnKey::generate().unwrap();
        let asking = end("sfu-1", &own);
        let mut asked = asking.clone();
        asked.key = vec![1; 31];
        let agreed = own.agree(Side::Asking, &asking, &asked, &ClusterSecret::new("ours"));
        assert_eq!(agreed.err(), Some(LinkError::Key));
    }

    /// The datagram was made by another program, after the description of the format.
    #[test]
    fn a_datagram_is_protected_as_by_earlier_versions() {
        let end = |name: &str, worker, link, key: u8| LinkEnd {
            node: name.parse().unwrap(),
            worker,
            link,
            key: vec![key; 32],
            addresses: Vec::new(),
        };
        let (asking, asked) = (end("sfu-1", 0, 100, 1), end("sfu-2", 3, 101, 2));
        let shared: Vec<u8> = (0..32).collect();
        let secret = ClusterSecret::new("secret");
        let side = |side| keys(side, &shared, &asking, &asked, &secret).unwrap();
        let recorded = b"\
            \xf1\x00\x00\x00\x65\x00\x00\x00\x00\x00\x00\x00\x00\xcf\x6b\xfb\
            \x72\x82\xcf\x2d\xc0\x6d\x55\xec\xb9\xc6\xdf\x1d\x42\x51\x99\xc8\
            \x08\x22\x75\xde\x49\xed\x70\xaa\xe5\x48\x8f\x80\x77\xa8\
            ";
        let mut body = 0x0102_0304_0506_0708_u64.to_be_bytes().to_vec();
        Frame::Next { number: 12 }.write(&mut body);
        let (_, mut open) = side(Side::Asked);
        assert_eq!(open.open(recorded).unwrap(), body);
        let (mut seal, _) = side(Side::Asking);
        assert_eq!(seal.seal(101, body), recorded);
    }

    #[test]
    fn the_replay_window_takes_late_datagrams_once() {
        let mut window = ReplayWindow::default();
        let mut accept = |counter| {
            let is_new = window.is_new(counter);
            if is_new {
                window.note(counter);
            }
            is_new
        };
        assert!(accept(5) && accept(3) && !accept(3) && !accept(5));
        assert!(accept(5000) && !accept(4), "too old to know");
        assert!(accept(4999) && !accept(4999) && accept(5000 - 2047));
        assert!(accept(1 << 40) && accept((1 << 40) - 5) && !accept((1 << 40) - 5));
        assert!(!accept(u64::MAX), "the counter would not go on");
    }
}
