//! TLS between the nodes of a cluster, without certificates to hand out: the key of both sides follows from the cluster's secret, and
//! each side refuses a peer with another key. Connections have their own keys (TLS 1.3), so that a secret that leaks later does not
//! reveal them.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rotunda_listen::Tls;
use rotunda_proto::ticket::ClusterSecret;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, ServerConfig};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use thiserror::Error as ThisError;
use tokio_rustls::TlsConnector;

/// The purpose of the key, from which it is derived.
const PURPOSE: &str = "tls between nodes";
/// An Ed25519 key as PKCS #8 (RFC 8410 §7), before its 32 bytes.
const PKCS8_OF_ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// In the certificates. Nobody looks it up.
const NAME: &str = "node.rotunda.internal";

/// Both ends of TLS between nodes.
#[derive(Clone)]
pub struct ClusterTls {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// Why TLS between nodes is not available.
#[derive(Debug, ThisError)]
pub enum ClusterTlsError {
    #[error("make the node's certificate")]
    Certificate(#[from] rcgen::Error),
    #[error("set up TLS between nodes")]
    Setup(#[from] Error),
    #[error("the name in the certificate")]
    Name(#[from] rustls::pki_types::InvalidDnsNameError),
}

impl ClusterTls {
    pub fn new(secret: &ClusterSecret) -> Result<Self, ClusterTlsError> {
        let key = [&PKCS8_OF_ED25519[..], &secret.derive(PURPOSE)].concat();
        let key = PrivatePkcs8KeyDer::from(key);
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ED25519)?;
        let certificate = CertificateParams::new(vec![NAME.to_owned()])?.self_signed(&pair)?;
        let certificate = certificate.der().clone();
        let provider = Arc::new(default_provider());
        let same = Arc::new(SameKey {
            public_key: public_key(&certificate)?,
            provider: provider.clone(),
        });
        let key = PrivateKeyDer::Pkcs8(key);
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(same.clone())
            .with_single_cert(vec![certificate.clone()], key.clone_key())?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(same)
            .with_client_auth_cert(vec![certificate], key)?;
        client.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }

    /// For the listener.
    pub fn listener(&self) -> Tls {
        Tls::fixed(self.server.clone())
    }

    pub(crate) fn connector(&self) -> TlsConnector {
        TlsConnector::from(self.client.clone())
    }

    /// The name that a client asks for.
    pub(crate) fn name() -> Result<ServerName<'static>, ClusterTlsError> {
        Ok(ServerName::try_from(NAME)?)
    }
}

/// Accepts peers whose key is that of the cluster. Names and times in their certificates mean nothing.
#[derive(Debug)]
struct SameKey {
    public_key: Vec<u8>,
    provider: Arc<CryptoProvider>,
}

impl SameKey {
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        match public_key(certificate)? == self.public_key {
            true => Ok(()),
            false => Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )),
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }
}

fn public_key(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    Ok(parsed.subject_public_key_info().as_ref().to_vec())
}

/// Only TLS 1.3 is offered.
fn not_tls13() -> Error {
    Error::General("nodes speak TLS 1.3".to_owned())
}

impl ServerCertVerifier for SameKey {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(certificate).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(not_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for SameKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(certificate).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(not_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// The bytes that a server with one secret reads from a client with another one.
    async fn sent(server: &str, client: &str) -> std::io::Result<String> {
        let tls = |secret: &str| ClusterTls::new(&ClusterSecret::new(secret)).unwrap();
        let (server, client) = (tls(server), tls(client));
        let (one, two) = tokio::io::duplex(1 << 16);
        let client = tokio::spawn(async move {
            let name = ClusterTls::name().unwrap();
            let mut stream = client.connector().connect(name, two).await?;
            stream.write_all(b"frames").await?;
            stream.shutdown().await?;
            // Until the other side has read it.
            stream.read_to_end(&mut Vec::new()).await.map(drop)
        });
        let mut stream = TlsAcceptor::from(server.server.clone()).accept(one).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        stream.shutdown().await?;
        client.await.unwrap()?;
        Ok(text)
    }

    #[tokio::test]
    async fn peers_with_the_same_secret_meet_and_others_do_not() {
        assert_eq!(sent("ours", "ours").await.unwrap(), "frames");
        assert!(sent("ours", "theirs").await.is_err());
    }

    #[tokio::test]
    async fn a_peer_without_a_certificate_is_refused() {
        let server = ClusterTls::new(&ClusterSecret::new("ours")).unwrap();
        let (one, two) = tokio::io::duplex(1 << 16);
        let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(SameKey {
                public_key: public_key(&certificate_of("ours")).unwrap(),
                provider: Arc::new(default_provider()),
            }))
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(client));
        let client = tokio::spawn(async move { connector.connect(ClusterTls::name().unwrap(), two).await.map(drop) });
        let accepted = TlsAcceptor::from(server.server.clone()).accept(one).await;
        assert!(accepted.is_err());
        let _refused_or_not_yet_told = client.await;
    }

    fn certificate_of(secret: &str) -> CertificateDer<'static> {
        let key = [&PKCS8_OF_ED25519[..], &ClusterSecret::new(secret).derive(PURPOSE)].concat();
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(key), &PKCS_ED25519).unwrap();
        let certificate = CertificateParams::new(vec![NAME.to_owned()])
            .unwrap()
            .self_signed(&pair)
            .unwrap();
        certificate.der().clone()
    }
}
