//! Section `[console]`: the operator console.

use std::net::{IpAddr, Ipv4Addr};

use rotunda_proto::config::{ConfigMistake, Secret};
use rotunda_signaling::console::open_id::{Access, CALLBACK};
use serde::{Deserialize, Serialize};
use url::Url;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Console {
    /// Whether there is a console, at `/console` of a process with the role signaling. Default true.
    pub enabled: bool,
    /// Address of its own listener. Default "127.0.0.1".
    pub bind: IpAddr,
    /// Port of a listener of its own; the HTTP port then has no console. 0: the console is on the HTTP port. Default 0.
    pub port: u16,
    /// Issuer of the OpenID provider whose people may sign in: "https://id.example.com". Empty: none. Default "".
    pub oidc_issuer: String,
    /// The client that the provider knows this server as. Default "".
    pub oidc_client_id: String,
    /// Its secret. Empty: a public client, by PKCE alone. Default "".
    pub oidc_client_secret: Secret,
    /// Where the provider sends browsers back to, if `server.public_url` is not the address of the console. Default "".
    pub oidc_redirect_url: String,
    /// Scopes that are asked for besides `openid`. Default ["email", "profile"].
    pub oidc_scopes: Vec<String>,
    /// What the people may do: the first rule that somebody has counts, and nobody without one signs in. Default none.
    pub oidc_access: Vec<Access>,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            enabled: true,
            bind: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            oidc_issuer: String::new(),
            oidc_client_id: String::new(),
            oidc_client_secret: Secret::default(),
            oidc_redirect_url: String::new(),
            oidc_scopes: vec!["email".to_owned(), "profile".to_owned()],
            oidc_access: Vec::new(),
        }
    }
}

impl Console {
    pub fn validate(&self) -> Vec<ConfigMistake> {
        let mut mistakes = Vec::new();
        let mut wrong =
            |key: &str, message: String| mistakes.push(ConfigMistake::new(format!("console.{key}"), message));
        let is_url = |text: &str| {
            text.parse::<Url>()
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        };
        for (index, rule) in self.oidc_access.iter().enumerate() {
            if let Some(message) = rule.mistake() {
                wrong(&format!("oidc_access.{index}"), message);
            }
        }
        let redirect = &self.oidc_redirect_url;
        let is_callback = is_url(redirect) && redirect.ends_with(&format!("/console{CALLBACK}"));
        if !redirect.is_empty() && !is_callback {
            wrong("oidc_redirect_url", format!("write \"https://host/console{CALLBACK}\""));
        }
        if self.oidc_issuer.is_empty() {
            return mistakes;
        }
        if !is_url(&self.oidc_issuer) {
            wrong("oidc_issuer", "write the https:// URL of the issuer".to_owned());
        }
        if self.oidc_client_id.is_empty() {
            wrong(
                "oidc_client_id",
                "write the id that the provider has given this server".to_owned(),
            );
        }
        if self.oidc_access.is_empty() {
            let example = "write who may sign in, such as [{ claim = \"groups\", value = \"operators\" }]";
            wrong("oidc_access", example.to_owned());
        }
        mistakes
    }
}
