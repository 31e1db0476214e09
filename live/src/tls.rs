//! Trust anchors for RTMPS servers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// Why RTMPS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("read the certificates in {path} (live.push_ca_file)")]
    Read {
        path: PathBuf,
        #[source]
        source: pem::Error,
    },
    #[error("use a certificate of {path} (live.push_ca_file)")]
    Certificate {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("set up TLS")]
    SetUp(#[source] rustls::Error),
}

/// The public certificate authorities, and those in `more` (PEM).
///
/// Errors: [`TlsError`].
pub fn client(more: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(path) = more {
        let read = |source| TlsError::Read {
            path: path.to_owned(),
            source,
        };
        for certificate in CertificateDer::pem_file_iter(path).map_err(read)? {
            roots
                .add(certificate.map_err(read)?)
                .map_err(|source| TlsError::Certificate {
                    path: path.to_owned(),
                    source,
                })?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::SetUp)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
