//! The HTTP client for providers: bounded in time and size, and without redirects.

use std::pin::Pin;
use std::time::Duration;

use openidconnect::http::{HeaderValue, Response};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use rotunda_proto::outbound::{AllowedNetworks, Refused};
use thiserror::Error;
use url::Url;

/// A provider that takes longer does not answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Longest answer, bytes.
const MAX_ANSWER: usize = 512 * 1024;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    /// None: the address is the operator's own, who may name any.
    networks: Option<AllowedNetworks>,
}

#[derive(Debug, Error)]
pub enum HttpError {
    #[error("the address is not one")]
    Address,
    #[error("the address is refused")]
    Refused(#[from] Refused),
    #[error("the answer is longer than {MAX_ANSWER} bytes")]
    TooLong,
    #[error("reach the provider")]
    Send(#[source] reqwest::Error),
}

impl Http {
    /// `builder`: with a resolver that answers permitted addresses alone, if `networks` are given.
    pub fn new(builder: reqwest::ClientBuilder, networks: Option<AllowedNetworks>) -> Result<Self, reqwest::Error> {
        let builder = builder
            .timeout(ANSWER_WITHIN)
            // A redirect could lead to another address than the one that was checked.
            .redirect(reqwest::redirect::Policy::none());
        Ok(Self {
            client: builder.build()?,
            networks,
        })
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let url: Url = request.uri().to_string().parse().map_err(|_| HttpError::Address)?;
        if let Some(networks) = &self.networks {
            // A literal address is never resolved.
            networks.check_host(&url.host().ok_or(HttpError::Address)?)?;
        }
        let unnamed = |error: reqwest::Error| HttpError::Send(error.without_url());
        let request = reqwest::Request::try_from(request).map_err(unnamed)?;
        let mut answer = self.client.execute(request).await.map_err(unnamed)?;
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(unnamed)? {
            if body.len() + part.len() > MAX_ANSWER {
                return Err(HttpError::TooLong);
            }
            body.extend_from_slice(&part);
        }
        let mut response = Response::new(body);
        *response.status_mut() = answer.status();
        for name in ["content-type", "www-authenticate"] {
            let value = answer.headers().get(name);
            if let Some(value) = value.and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok()) {
                response.headers_mut().insert(name, value);
            }
        }
        Ok(response)
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}
