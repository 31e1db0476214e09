//! HTTP towards sources: only to addresses that customers' URLs may reach, also after a redirect.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::RANGE;
use reqwest::{Response, StatusCode, Url, redirect};
use rotunda_proto::outbound::{AllowedNetworks, Refused, ResolveError};
use thiserror::Error;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// A server that sends nothing for this time is away.
const STALLED_AFTER: Duration = Duration::from_secs(30);
const MOST_REDIRECTS: usize = 5;

#[derive(Debug, Error)]
pub enum HttpError {
    #[error("the URL has no host")]
    Host,
    #[error("the source's address is refused")]
    Refused(#[from] Refused),
    #[error("the source's server answers {0}")]
    Status(StatusCode),
    #[error("reach the source's server")]
    Send(#[source] reqwest::Error),
    #[error("an answer of more than {0} bytes")]
    Long(usize),
    #[error("the source's server does not serve parts of the file (byte ranges)")]
    NoRanges,
    #[error("the file is shorter than its index says")]
    Short,
}

impl HttpError {
    /// Whether another attempt cannot succeed.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Host | Self::Refused(_) | Self::Long(_) | Self::NoRanges | Self::Short => true,
            Self::Status(status) => status.is_client_error() && *status != StatusCode::NOT_FOUND,
            Self::Send(error) => error.is_redirect() || error.is_builder() || is_refused(error),
        }
    }
}

/// The client of all pulls.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
    networks: AllowedNetworks,
}

impl Http {
    pub fn new(networks: AllowedNetworks) -> Result<Self, reqwest::Error> {
        let allowed = networks.clone();
        let redirects = redirect::Policy::custom(move |attempt| {
            let refused = attempt.url().host().map(|host| allowed.check_host(&host));
            match refused {
                Some(Err(refused)) => attempt.error(refused),
                _ if attempt.previous().len() > MOST_REDIRECTS => attempt.error("too many redirects"),
                _ => attempt.follow(),
            }
        });
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(STALLED_AFTER)
            .redirect(redirects)
            // A proxy of the environment could connect to a forbidden address.
            .no_proxy()
            .dns_resolver(Arc::new(CheckedResolver(networks.clone())))
            .build()?;
        Ok(Self { client, networks })
    }

    /// `from`: the first byte that is wanted of the file.
    pub async fn get(&self, url: &Url, from: u64) -> Result<Response, HttpError> {
        let range = (from > 0).then(|| format!("bytes={from}-"));
        let answer = self.send(url, range).await?;
        match answer.status() {
            StatusCode::OK if from > 0 => Err(HttpError::NoRanges),
            StatusCode::RANGE_NOT_SATISFIABLE => Err(HttpError::Short),
            status if status.is_success() => Ok(answer),
            status => Err(HttpError::Status(status)),
        }
    }

    /// A whole file, or `range` of it: the first byte, and how many.
    pub async fn fetch(&self, url: &Url, range: Option<(u64, u64)>, most: usize) -> Result<Bytes, HttpError> {
        let wanted =
            range.map(|(from, length)| format!("bytes={from}-{}", from.saturating_add(length).saturating_sub(1)));
        let answer = self.send(url, wanted).await?;
        match answer.status() {
            StatusCode::OK if range.is_some() => return Err(HttpError::NoRanges),
            status if status.is_success() => {}
            status => return Err(HttpError::Status(status)),
        }
        let mut answer = answer;
        let mut out = BytesMut::new();
        while let Some(chunk) = chunk(&mut answer).await? {
            if out.len() + chunk.len() > most {
                return Err(HttpError::Long(most));
            }
            out.extend_from_slice(&chunk);
        }
        Ok(out.freeze())
    }

    async fn send(&self, url: &Url, range: Option<String>) -> Result<Response, HttpError> {
        // A literal address is never resolved, so it is checked here.
        self.networks.check_host(&url.host().ok_or(HttpError::Host)?)?;
        let mut request = self.client.get(url.clone());
        if let Some(range) = range {
            request = request.header(RANGE, range);
        }
        request.send().await.map_err(sent)
    }
}

/// The next bytes of an answer; None: it is over.
pub async fn chunk(answer: &mut Response) -> Result<Option<Bytes>, HttpError> {
    answer.chunk().await.map_err(sent)
}

/// Whether the name of the host leads to an address that is refused.
fn is_refused(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if matches!(error.downcast_ref::<ResolveError>(), Some(ResolveError::Refused(_))) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The URL may hold a secret.
fn sent(error: reqwest::Error) -> HttpError {
    HttpError::Send(error.without_url())
}

/// Answers only permitted addresses. The client connects to exactly these.
struct CheckedResolver(AllowedNetworks);

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.0.clone();
        Box::pin(async move {
            // The client puts the URL's port in.
            let addresses = allowed.resolve(name.as_str(), 0).await?;
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}
