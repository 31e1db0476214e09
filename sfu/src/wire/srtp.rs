//! SRTP and SRTCP with the keys of a DTLS handshake, in place and without allocation.
//!
//! Source: RFC 3711 (AES-CM and HMAC-SHA1), RFC 7714 (AES-GCM), RFC 5764 §4.2 (keys out of DTLS).

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use str0m::crypto::SrtpProvider;
use str0m::crypto::dtls::SrtpProfile;
use str0m::rtp::Ssrc;
use thiserror::Error;

use crate::units::SeqNo;

/// Bytes that protection adds to an RTP packet at most.
pub const MAX_TAG: usize = 16;
/// Header of an RTCP packet, which stays readable.
const RTCP_HEADER: usize = 8;
/// The SRTCP index and its encryption flag (RFC 3711 §3.4).
const RTCP_INDEX: usize = 4;
const ENCRYPTED: u32 = 0x8000_0000;
/// SSRCs of one peer whose replay window is kept; reports of further ones are refused.
const MAX_REPORTERS: usize = 64;

/// Why a packet was not protected or not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SrtpError {
    #[error("the handshake chose a profile that is not known")]
    Profile,
    #[error("the keying material is too short")]
    KeyingMaterial,
    #[error("the packet is too short")]
    Short,
    #[error("the packet is not authentic")]
    Authentication,
    #[error("the packet was received before")]
    Replayed,
}

/// The keying material of a DTLS handshake.
pub struct Material {
    pub bytes: Vec<u8>,
    pub profile: SrtpProfile,
    /// This side was the DTLS client.
    pub active: bool,
}

/// Protects the packets of one side: RTP of any number of streams, and RTCP.
pub struct Sender {
    rtp: Cipher,
    rtcp: Cipher,
    rtcp_index: u32,
}

/// Opens RTCP of the other side. Its RTP is opened by `str0m`.
pub struct Receiver {
    rtcp: Cipher,
    /// By SSRC; usually there is one.
    seen: Vec<(u32, ReplayWindow)>,
}

enum Cipher {
    Gcm {
        key: Box<LessSafeKey>,
        salt: [u8; 12],
    },
    /// AES-CM with an 80-bit HMAC-SHA1 tag.
    Cm {
        key: [u8; 16],
        salt: [u8; 14],
        mac: Box<hmac::Key>,
    },
}

impl Sender {
    pub fn new(provider: &dyn SrtpProvider, material: &Material) -> Result<Self, SrtpError> {
        let master = Master::of(material, material.active)?;
        Ok(Self {
            rtp: master.cipher(provider, Purpose::Rtp)?,
            rtcp: master.cipher(provider, Purpose::Rtcp)?,
            rtcp_index: 0,
        })
    }

    /// Bytes that [`protect_rtp`](Self::protect_rtp) adds.
    pub fn tag_length(&self) -> usize {
        self.rtp.tag_length()
    }

    /// Protects the packet that begins at `start` of `buffer` and ends with it; the tag is appended.
    ///
    /// `header`: bytes of the RTP header with extensions. `index`: the 48-bit extended sequence number.
    pub fn protect_rtp(&self, buffer: &mut Vec<u8>, start: usize, header: usize, ssrc: Ssrc, index: SeqNo) {
        let (ssrc, index) = (*ssrc, index.get());
        match &self.rtp {
            Cipher::Gcm { key, salt } => {
                let mut iv = *salt;
                xor(&mut iv[2..6], &ssrc.to_be_bytes());
                xor(&mut iv[6..12], &index.to_be_bytes()[2..8]);
                let (clear, payload) = buffer[start..].split_at_mut(header);
                let tag = seal(key, iv, clear, payload);
                buffer.extend_from_slice(&tag);
            }
            Cipher::Cm { key, salt, mac } => {
                counter_mode(key, counter_iv(salt, ssrc, index), &mut buffer[start + header..]);
                let mut context = hmac::Context::with_key(mac);
                context.update(&buffer[start..]);
                context.update(&((index >> 16) as u32).to_be_bytes());
                let tag = context.sign();
                buffer.extend_from_slice(&tag.as_ref()[..10]);
            }
        }
    }

    /// Protects the compound packet that begins at `start` of `buffer` and ends with it.
    pub fn protect_rtcp(&mut self, buffer: &mut Vec<u8>, start: usize) {
        let index = self.rtcp_index;
        self.rtcp_index = (self.rtcp_index + 1) & !ENCRYPTED;
        let Some(ssrc) = sender_ssrc(&buffer[start..]) else {
            return;
        };
        let flagged = (ENCRYPTED | index).to_be_bytes();
        match &self.rtcp {
            Cipher::Gcm { key, salt } => {
                let iv = gcm_rtcp_iv(salt, ssrc, index);
                let (clear, payload) = buffer[start..].split_at_mut(RTCP_HEADER);
                let mut aad = [0; RTCP_HEADER + RTCP_INDEX];
                aad[..RTCP_HEADER].copy_from_slice(clear);
                aad[RTCP_HEADER..].copy_from_slice(&flagged);
                let tag = seal(key, iv, &aad, payload);
                buffer.extend_from_slice(&tag);
                buffer.extend_from_slice(&flagged);
            }
            Cipher::Cm { key, salt, mac } => {
                let iv = counter_iv(salt, ssrc, index.into());
                counter_mode(key, iv, &mut buffer[start + RTCP_HEADER..]);
                buffer.extend_from_slice(&flagged);
                let tag = hmac::sign(mac, &buffer[start..]);
                buffer.extend_from_slice(&tag.as_ref()[..10]);
            }
        }
    }
}

impl Receiver {
    pub fn new(provider: &dyn SrtpProvider, material: &Material) -> Result<Self, SrtpError> {
        let master = Master::of(material, !material.active)?;
        Ok(Self {
            rtcp: master.cipher(provider, Purpose::Rtcp)?,
            seen: Vec::new(),
        })
    }

    /// Opens a compound packet into `out`, which is overwritten.
    ///
    /// Errors: as named; `out` is then of no use and the replay window is untouched.
    pub fn unprotect_rtcp(&mut self, packet: &[u8], out: &mut Vec<u8>) -> Result<(), SrtpError> {
        let ssrc = sender_ssrc(packet).ok_or(SrtpError::Short)?;
        let tag = self.rtcp.tag_length();
        if packet.len() < RTCP_HEADER + RTCP_INDEX + tag {
            return Err(SrtpError::Short);
        }
        let index = match &self.rtcp {
            Cipher::Gcm { key, salt } => {
                let (body, flagged) = packet.split_at(packet.len() - RTCP_INDEX);
                let word = read_u32(flagged).ok_or(SrtpError::Short)?;
                if word & ENCRYPTED == 0 {
                    return Err(SrtpError::Authentication);
                }
                let index = word & !ENCRYPTED;
                out.clear();
                out.extend_from_slice(body);
                let (clear, sealed) = out.split_at_mut(RTCP_HEADER);
                let mut aad = [0; RTCP_HEADER + RTCP_INDEX];
                aad[..RTCP_HEADER].copy_from_slice(clear);
                aad[RTCP_HEADER..].copy_from_slice(flagged);
                let nonce = Nonce::assume_unique_for_key(gcm_rtcp_iv(salt, ssrc, index));
                key.open_in_place(nonce, Aad::from(aad), sealed)
                    .map_err(|_| SrtpError::Authentication)?;
                out.truncate(body.len() - tag);
                index
            }
            Cipher::Cm { key, salt, mac } => {
                let (body, received) = packet.split_at(packet.len() - tag);
                let expected = hmac::sign(mac, body);
                if subtle_difference(&expected.as_ref()[..tag], received) {
                    return Err(SrtpError::Authentication);
                }
                let (clear, flagged) = body.split_at(body.len() - RTCP_INDEX);
                let word = read_u32(flagged).ok_or(SrtpError::Short)?;
                let index = word & !ENCRYPTED;
                out.clear();
                out.extend_from_slice(clear);
                if word & ENCRYPTED != 0 {
                    counter_mode(key, counter_iv(salt, ssrc, index.into()), &mut out[RTCP_HEADER..]);
                }
                index
            }
        };
        let is_full = self.seen.len() >= MAX_REPORTERS;
        let fresh = match self.seen.iter_mut().find(|(known, _)| *known == ssrc) {
            Some((_, window)) => window.accept(index),
            None if is_full => false,
            None => {
                let mut window = ReplayWindow::default();
                let fresh = window.accept(index);
                self.seen.push((ssrc, window));
                fresh
            }
        };
        if fresh { Ok(()) } else { Err(SrtpError::Replayed) }
    }
}

/// Which of the last 64 indices were seen (RFC 3711 §3.3.2).
#[derive(Debug, Default)]
struct ReplayWindow {
    /// One more than the highest index.
    next: u32,
    /// Bit i: `next - 1 - i` was seen.
    bits: u64,
}

impl ReplayWindow {
    fn accept(&mut self, index: u32) -> bool {
        if index >= self.next {
            let step = index - self.next + 1;
            self.bits = self.bits.checked_shl(step).unwrap_or(0) | 1;
            self.next = index + 1;
            return true;
        }
        let back = self.next - 1 - index;
        let fresh = back < 64 && self.bits & (1 << back) == 0;
        if fresh {
            self.bits |= 1 << back;
        }
        fresh
    }
}

#[derive(Clone, Copy)]
enum Purpose {
    Rtp,
    Rtcp,
}

/// One side's master key and salt.
struct Master<'a> {
    key: &'a [u8],
    salt: &'a [u8],
    profile: SrtpProfile,
}

impl<'a> Master<'a> {
    /// RFC 5764 §4.2: client key, server key, client salt, server salt.
    fn of(material: &'a Material, client: bool) -> Result<Self, SrtpError> {
        let (key, salt) = match material.profile {
            SrtpProfile::AEAD_AES_128_GCM => (16, 12),
            SrtpProfile::AEAD_AES_256_GCM => (32, 12),
            SrtpProfile::AES128_CM_SHA1_80 => (16, 14),
            _ => return Err(SrtpError::Profile),
        };
        let side = usize::from(!client);
        let at = |start: usize, length: usize| {
            material
                .bytes
                .get(start..start + length)
                .ok_or(SrtpError::KeyingMaterial)
        };
        Ok(Self {
            key: at(side * key, key)?,
            salt: at(2 * key + side * salt, salt)?,
            profile: material.profile,
        })
    }

    fn cipher(&self, provider: &dyn SrtpProvider, purpose: Purpose) -> Result<Cipher, SrtpError> {
        // RFC 3711 §4.3.2: labels of the encryption key, the authentication key and the salt.
        let [encryption, authentication, salting] = match purpose {
            Purpose::Rtp => [0, 1, 2],
            Purpose::Rtcp => [3, 4, 5],
        };
        let mut key = [0; 32];
        let key = &mut key[..self.key.len()];
        self.derive(provider, encryption, key);
        if self.profile == SrtpProfile::AES128_CM_SHA1_80 {
            let (mut salt, mut mac) = ([0; 14], [0; 20]);
            self.derive(provider, salting, &mut salt);
            self.derive(provider, authentication, &mut mac);
            let key = <[u8; 16]>::try_from(&*key).map_err(|_| SrtpError::KeyingMaterial)?;
            let mac = Box::new(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &mac));
            return Ok(Cipher::Cm { key, salt, mac });
        }
        let mut salt = [0; 12];
        self.derive(provider, salting, &mut salt);
        let algorithm = if key.len() == 32 { &AES_256_GCM } else { &AES_128_GCM };
        let key = UnboundKey::new(algorithm, key).map_err(|_| SrtpError::KeyingMaterial)?;
        Ok(Cipher::Gcm {
            key: Box::new(LessSafeKey::new(key)),
            salt,
        })
    }

    /// RFC 3711 §4.3.3, with a key derivation rate of 0.
    fn derive(&self, provider: &dyn SrtpProvider, label: u8, out: &mut [u8]) {
        let mut input = [0; 16];
        input[..self.salt.len()].copy_from_slice(self.salt);
        input[7] ^= label;
        for (round, chunk) in (0u16..).zip(out.chunks_mut(16)) {
            input[14..].copy_from_slice(&round.to_be_bytes());
            // The provider may write a second block of padding.
            let mut block = [0; 32];
            if self.key.len() == 32 {
                provider.srtp_aes_256_ecb_round(self.key, &input, &mut block);
            } else {
                provider.srtp_aes_128_ecb_round(self.key, &input, &mut block);
            }
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

impl Cipher {
    fn tag_length(&self) -> usize {
        match self {
            Cipher::Gcm { .. } => 16,
            Cipher::Cm { .. } => 10,
        }
    }
}

fn xor(to: &mut [u8], with: &[u8]) {
    for (to, with) in to.iter_mut().zip(with) {
        *to ^= with;
    }
}

/// RFC 7714 §9.1.
fn gcm_rtcp_iv(salt: &[u8; 12], ssrc: u32, index: u32) -> [u8; 12] {
    let mut iv = *salt;
    xor(&mut iv[2..6], &ssrc.to_be_bytes());
    xor(&mut iv[8..12], &index.to_be_bytes());
    iv
}

/// RFC 3711 §4.1.1.
fn counter_iv(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(salt);
    xor(&mut iv[4..8], &ssrc.to_be_bytes());
    xor(&mut iv[8..14], &index.to_be_bytes()[2..8]);
    iv
}

fn seal(key: &LessSafeKey, iv: [u8; 12], aad: &[u8], payload: &mut [u8]) -> [u8; 16] {
    let nonce = Nonce::assume_unique_for_key(iv);
    // Fails only for payloads of gigabytes; a tag of zeros is refused by every receiver.
    let sealed = key.seal_in_place_separate_tag(nonce, Aad::from(aad), payload).ok();
    sealed.and_then(|tag| tag.as_ref().try_into().ok()).unwrap_or_default()
}

fn counter_mode(key: &[u8; 16], iv: [u8; 16], data: &mut [u8]) {
    let Ok(key) = UnboundCipherKey::new(&AES_128, key) else {
        return;
    };
    if let Ok(key) = EncryptingKey::ctr(key) {
        let context = EncryptionContext::Iv128(FixedLength::from(iv));
        // Counter mode takes every length.
        let _context = key.less_safe_encrypt(data, context);
    }
}

fn subtle_difference(expected: &[u8], received: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(expected, received).is_err()
}

fn sender_ssrc(packet: &[u8]) -> Option<u32> {
    read_u32(packet.get(4..8)?)
}

fn read_u32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(profile: SrtpProfile) -> (Sender, Receiver) {
        let provider = str0m::crypto::from_feature_flags().srtp_provider;
        let material = |active| Material {
            bytes: (0..88).collect(),
            profile,
            active,
        };
        (
            Sender::new(provider, &material(true)).unwrap(),
            Receiver::new(provider, &material(false)).unwrap(),
        )
    }

    #[test]
    fn reports_are_opened_once_and_only_as_they_were_sent() {
        for profile in [
            SrtpProfile::AEAD_AES_128_GCM,
            SrtpProfile::AEAD_AES_256_GCM,
            SrtpProfile::AES128_CM_SHA1_80,
        ] {
            let (mut sender, mut receiver) = pair(profile);
            let report = [0x80, 201, 0, 1, 0, 0, 0, 7, 0x80, 201, 0, 1, 0, 0, 0, 7];
            let mut packet = report.to_vec();
            sender.protect_rtcp(&mut packet, 0);
            let mut opened = Vec::new();
            for at in 0..packet.len() {
                let mut bent = packet.clone();
                bent[at] ^= 1;
                assert!(receiver.unprotect_rtcp(&bent, &mut opened).is_err(), "byte {at}");
            }
            assert_eq!(receiver.unprotect_rtcp(&packet, &mut opened), Ok(()));
            assert_eq!(opened, report);
            let again = receiver.unprotect_rtcp(&packet, &mut opened);
            assert_eq!(again, Err(SrtpError::Replayed));
            assert_eq!(
                receiver.unprotect_rtcp(&packet[..9], &mut opened),
                Err(SrtpError::Short)
            );
        }
    }

    #[test]
    fn the_replay_window_takes_late_reports_once() {
        let mut window = ReplayWindow::default();
        assert!(window.accept(5) && window.accept(3) && !window.accept(3) && !window.accept(5));
        assert!(window.accept(1000) && !window.accept(3), "too old to know");
        assert!(window.accept(999));
    }

    /// RFC 7714 §16.1.1: session key and salt as given there.
    #[test]
    fn gcm_protects_the_packet_of_the_rfc() {
        let key: Vec<u8> = (0..16).collect();
        let salt = *b"Quid pro quo";
        let sender = Sender {
            rtp: Cipher::Gcm {
                key: Box::new(LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap())),
                salt,
            },
            rtcp: Cipher::Gcm {
                key: Box::new(LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap())),
                salt,
            },
            rtcp_index: 0,
        };
        let mut packet = hex("8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e697320646976697361\
                              20696e207061727465732074726573");
        sender.protect_rtp(&mut packet, 0, 12, 0x5501_a0b2.into(), SeqNo::new(0xf17b));
        let expected = hex(
            "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42\
                            a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
        );
        assert_eq!(packet, expected);
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
    }
}
