//! The SRTP keys of a session's DTLS handshake, beside `str0m`.
//!
//! `str0m` runs ICE, DTLS, SDP and everything that is received. Forwarded packets are protected by [`crate::wire::srtp`], which
//! needs the same keys: the crypto provider made here wraps `str0m`'s own DTLS and notes the keying material on its way
//! out. Keys leave DTLS while the session is driven, so the worker takes them right after driving it.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion};
use str0m::crypto::{CryptoError, SrtpProvider, from_feature_flags};

use crate::wire::srtp::Material;

thread_local! {
    /// Filled while a session of this thread is driven, taken right after.
    static EXPORTED: RefCell<Option<Material>> = const { RefCell::new(None) };
}

/// The keys that left DTLS since the last call, on this thread.
pub fn take_exported() -> Option<Material> {
    EXPORTED.take()
}

/// The provider that sessions are built with.
pub fn crypto_provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let make = || {
        static DTLS: Tap = Tap;
        Arc::new(CryptoProvider {
            dtls_provider: &DTLS,
            ..from_feature_flags()
        })
    };
    Arc::clone(PROVIDER.get_or_init(make))
}

/// For key derivation.
pub fn srtp_provider() -> &'static dyn SrtpProvider {
    from_feature_flags().srtp_provider
}

/// The certificate that all sessions of this process show.
pub fn certificate() -> Option<DtlsCert> {
    static CERTIFICATE: OnceLock<Option<DtlsCert>> = OnceLock::new();
    CERTIFICATE
        .get_or_init(|| from_feature_flags().dtls_provider.generate_certificate())
        .clone()
}

#[derive(Debug)]
struct Tap;

impl DtlsProvider for Tap {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let inner = from_feature_flags().dtls_provider.new_dtls(cert, now, version, mtu)?;
        Ok(Box::new(Tapped { inner }))
    }
}

#[derive(Debug)]
struct Tapped {
    inner: Box<dyn DtlsInstance>,
}

impl DtlsInstance for Tapped {
    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let active = self.inner.is_active();
        let output = self.inner.poll_output(buf);
        if let DtlsOutput::KeyingMaterial(material, profile) = &output {
            let material = Material {
                bytes: material.to_vec(),
                profile: *profile,
                active,
            };
            EXPORTED.replace(Some(material));
        }
        output
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.inner.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.inner.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.close()
    }
}
