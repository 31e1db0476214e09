//! OpenID Connect: the ID tokens of a provider, and sign-in by its page (OpenID Connect Core 1.0, Discovery 1.0; PKCE: RFC 7636).
//!
//! A [`Provider`] is one client at one issuer. It knows the provider's endpoints and keys, and asks for them again when they are old or a
//! token has another key. [`Provider::claims`] checks a token that somebody brings; [`Provider::begin`] and [`Provider::finish`] are the
//! two halves of a sign-in in a browser.

mod claims;
mod http;
mod provider;
mod sign_in;

pub use claims::Claims;
pub use http::Http;
pub use provider::{Client, OidcError, Provider};
pub use sign_in::{Begun, Pending};

#[cfg(test)]
mod tests;
