//! Sends a callback to its receiver: without redirects, and only to addresses that customers' URLs may reach.

use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{StatusCode, Url, redirect};
use rotunda_proto::outbound::{AllowedNetworks, Refused};
use thiserror::Error;

/// A receiver of callbacks of recordings and mixes that takes longer has failed.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// The same for events of rooms and media.
pub const EVENT_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub struct Sender {
    client: reqwest::Client,
    allowed: AllowedNetworks,
}

/// What is sent.
#[derive(Debug)]
pub struct Message {
    /// Besides the type of the body.
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    /// A receiver that takes longer has failed.
    pub within: Duration,
}

/// Why a callback was not delivered.
#[derive(Debug, Error)]
pub enum SendError {
    #[error("the callback URL is not one")]
    Url,
    #[error("the receiver's address is refused")]
    Refused(#[from] Refused),
    #[error(
        "the receiver redirects ({0}), which would turn the callback into another request; write where it leads to into callback_url"
    )]
    Redirect(StatusCode),
    #[error("the receiver answered {0}")]
    Status(StatusCode),
    #[error("reach the receiver")]
    Send(#[source] reqwest::Error),
}

impl Sender {
    /// `allowed`: networks that callbacks may reach besides public addresses.
    pub fn new(allowed: AllowedNetworks) -> Result<Self, reqwest::Error> {
        let client = checked_client(&allowed)
            .timeout(ANSWER_WITHIN)
            .redirect(redirect::Policy::none())
            .build()?;
        Ok(Self { client, allowed })
    }

    /// Delivered when the receiver answers any 2xx in time.
    pub async fn send(&self, url: &str, message: Message) -> Result<(), SendError> {
        let Message { headers, body, within } = message;
        let url: Url = url.parse().map_err(|_| SendError::Url)?;
        // A literal address is never resolved, so it is checked here.
        self.allowed.check_host(&url.host().ok_or(SendError::Url)?)?;
        let mut request = self
            .client
            .post(url)
            .timeout(within)
            .header("content-type", "application/json")
            .body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        // The URL may hold a secret.
        let answer = request
            .send()
            .await
            .map_err(|error| SendError::Send(error.without_url()))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status if status.is_redirection() => Err(SendError::Redirect(status)),
            status => Err(SendError::Status(status)),
        }
    }
}

/// A client that resolves names to permitted addresses alone.
pub fn checked_client(allowed: &AllowedNetworks) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        // A proxy of the environment could connect to a forbidden address.
        .no_proxy()
        .dns_resolver(Arc::new(CheckedResolver(allowed.clone())))
}

/// A receiver as a log names it: its URL without path, query, name and password, which may be secret.
pub fn shown(url: &str) -> String {
    match url.parse::<Url>() {
        Ok(url) => url.origin().ascii_serialization(),
        Err(_) => "no URL".to_owned(),
    }
}

/// Answers only permitted addresses. The client connects to exactly these.
pub struct CheckedResolver(pub AllowedNetworks);

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

#[cfg(test)]
mod tests {
    use super::*;
    use rotunda_proto::outbound::ResolveError;
    use std::error::Error;

    #[test]
    fn a_log_has_no_secret_of_a_url() {
        assert_eq!(
            shown("https://user:hush@example.com:8443/path?key=hush"),
            "https://example.com:8443"
        );
    }

    /// The errors of an error, outermost first.
    fn chain(error: &SendError) -> Vec<&(dyn Error + 'static)> {
        let first: &(dyn Error + 'static) = error;
        let mut errors = vec![first];
        let mut next = first.source();
        while let Some(error) = next {
            errors.push(error);
            next = error.source();
        }
        errors
    }

    #[tokio::test]
    async fn a_name_that_leads_to_an_inner_address_is_refused_when_it_is_resolved() {
        let allowed = AllowedNetworks::default();
        let resolver = CheckedResolver(allowed.clone());
        let refused = resolver.resolve("localhost".parse().unwrap()).await.err().unwrap();
        let refused = refused.downcast_ref::<ResolveError>().unwrap();
        assert!(matches!(refused, ResolveError::Refused(_)), "{refused}");
        let sender = Sender::new(allowed).unwrap();
        for url in [
            "http://localhost:1/",
            "http://127.0.0.1:1/",
            "http://[::ffff:127.0.0.1]:1/",
        ] {
            let error = sender
                .send(
                    url,
                    Message {
                        headers: Vec::new(),
                        body: String::new(),
                        within: ANSWER_WITHIN,
                    },
                )
                .await
                .unwrap_err();
            assert!(
                chain(&error).iter().any(|error| error.to_string().contains("loopback")),
                "{error:?}"
            );
        }
    }
}
