//! TLS by rustls: certificates from files, read again when they change.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rotunda_proto::clock::Clock;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::config::TlsFiles;

/// The interval between checks of the files.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why TLS is not available.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("write both server.tls.certificate and server.tls.key")]
    Incomplete,
    #[error("read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is not PEM")]
    Pem {
        path: PathBuf,
        #[source]
        source: pem::Error,
    },
    #[error("{path} has no certificate")]
    NoCertificate { path: PathBuf },
    #[error("the key in {key} does not match the certificate in {certificate}")]
    Mismatch {
        key: PathBuf,
        certificate: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("set up TLS")]
    Setup(#[source] rustls::Error),
}

/// The state that every TLS listener of the process shares.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    /// None: the certificate stays the same.
    source: Option<(Arc<Current>, TlsFiles)>,
}

/// The certificate that new connections get.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Tls {
    /// None: no TLS is configured.
    pub fn load(files: &TlsFiles) -> Result<Option<Self>, TlsError> {
        if !files.is_on() {
            return Ok(None);
        }
        let provider = Arc::new(default_provider());
        let current = Arc::new(Current(RwLock::new(Arc::new(read(files, &provider)?))));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Some(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            source: Some((current, files.clone())),
        }))
    }

    /// With a configuration that stays the same for the life of the process.
    pub fn fixed(config: Arc<ServerConfig>) -> Self {
        Self {
            acceptor: TlsAcceptor::from(config),
            source: None,
        }
    }

    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Loads a new certificate when the files have changed. If the files are wrong, it logs that and keeps the old
    /// certificate.
    pub async fn follow(self, stop: CancellationToken) {
        let Some((current, files)) = self.source else { return };
        let mut known = changed(&files);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = Clock.sleep_until(Clock.now() + LOOK_EVERY) => {}
            }
            let now = changed(&files);
            if now != known {
                // A file that is still being written fails, and is read again after its next change.
                known = now;
                reload(&current, &files);
            }
        }
    }
}

fn reload(current: &Current, files: &TlsFiles) {
    let provider = default_provider();
    match read(files, &provider) {
        Ok(certified) => {
            *current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
            info!(certificate = %files.certificate.display(), "new connections use the new certificate");
        }
        Err(error) => error!(
            error = &error as &dyn std::error::Error,
            "the new certificate is not usable; the old one stays"
        ),
    }
}

/// A value that changes with the files; links are followed, because Kubernetes replaces those.
fn changed(files: &TlsFiles) -> [Option<(SystemTime, u64)>; 2] {
    let known = |metadata: Metadata| Some((metadata.modified().ok()?, metadata.len()));
    [&files.certificate, &files.key].map(|path| std::fs::metadata(path).ok().and_then(known))
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let TlsFiles { certificate, key } = files;
    if certificate.as_os_str().is_empty() || key.as_os_str().is_empty() {
        return Err(TlsError::Incomplete);
    }
    let not_pem = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, source }
    };
    let text = bytes(certificate)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(not_pem(certificate))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate {
            path: certificate.clone(),
        });
    }
    let private = PrivateKeyDer::from_pem_slice(&bytes(key)?).map_err(not_pem(key))?;
    CertifiedKey::from_der(chain, private, provider).map_err(|source| TlsError::Mismatch {
        key: key.clone(),
        certificate: certificate.clone(),
        source,
    })
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::certificate;

    #[test]
    fn a_key_of_another_certificate_and_half_a_configuration_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let one = certificate(folder.path(), "one");
        let other = certificate(folder.path(), "other");
        assert!(Tls::load(&TlsFiles::default()).unwrap().is_none());
        assert!(Tls::load(&one).unwrap().is_some());
        let mixed = TlsFiles {
            certificate: one.certificate.clone(),
            key: other.key,
        };
        assert!(matches!(Tls::load(&mixed), Err(TlsError::Mismatch { .. })));
        let half = TlsFiles {
            key: PathBuf::new(),
            ..one.clone()
        };
        assert!(matches!(Tls::load(&half), Err(TlsError::Incomplete)));
        std::fs::write(&one.certificate, "nothing").unwrap();
        assert!(matches!(Tls::load(&one), Err(TlsError::NoCertificate { .. })));
    }

    #[test]
    fn a_new_certificate_is_used_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let files = certificate(folder.path(), "one");
        let tls = Tls::load(&files).unwrap().unwrap();
        let (current, files) = tls.source.unwrap();
        let shown = || current.0.read().unwrap().cert[0].to_vec();
        let first = shown();
        std::fs::write(&files.certificate, "broken").unwrap();
        reload(&current, &files);
        assert_eq!(shown(), first);
        certificate(folder.path(), "one");
        reload(&current, &files);
        assert_ne!(shown(), first);
    }
}
