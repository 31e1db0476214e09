//! Calls of the REST API.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::ApiServer;
use crate::commands::{load, local_application};

/// An answer that takes longer does not come.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// A call of the API.
#[derive(Debug)]
pub struct Call {
    method: Method,
    path: String,
    /// None: the call has no body.
    body: Option<Value>,
}

impl Call {
    pub fn action(name: &str, parameters: Value) -> Self {
        Self {
            method: Method::POST,
            path: format!("v1/{name}"),
            body: Some(parameters),
        }
    }

    pub fn delete(path: &str) -> Self {
        Self {
            method: Method::DELETE,
            path: path.to_owned(),
            body: None,
        }
    }
}

pub struct Client {
    /// Without a slash at its end.
    url: String,
    key: String,
}

impl Client {
    pub fn new(server: &ApiServer) -> anyhow::Result<Self> {
        let (url, key) = match (&server.url, &server.key) {
            (Some(url), Some(key)) => (url.clone(), key.clone()),
            (url, key) => {
                let config = load(&server.file)?;
                let scheme = if config.server.tls.is_on() { "https" } else { "http" };
                let local = || format!("{scheme}://127.0.0.1:{}", config.server.port);
                let key = match key {
                    Some(key) => key.clone(),
                    None => {
                        let application = local_application(&config)?;
                        format!("{}:{}", application.secret_id, application.api_secret.reveal())
                    }
                };
                (url.clone().unwrap_or_else(local), key)
            }
        };
        if !key.contains(':') {
            bail!("write the API key as ID:SECRET");
        }
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { url, key })
    }

    pub async fn call(&self, call: &Call) -> anyhow::Result<Value> {
        let address = format!("{}/{}", self.url, call.path);
        let client = reqwest::Client::builder().timeout(ANSWERS_WITHIN).build()?;
        let mut request = client.request(call.method.clone(), &address);
        request = request.header("authorization", format!("Bearer {}", self.key));
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let response = request.send().await;
        let response = response.with_context(|| format!("reach {} (is `rotunda serve` running?)", self.url))?;
        let status = response.status();
        let text = response
            .text()
            .await
            .with_context(|| format!("read the answer of {address}"))?;
        let answer = match text.is_empty() {
            true => json!({}),
            false => serde_json::from_str(&text).unwrap_or(Value::Null),
        };
        if status.is_success() && answer.is_object() {
            return Ok(answer);
        }
        match answer["error"]["message"].as_str() {
            Some(message) => Err(anyhow!(
                "{}: {message}",
                answer["error"]["code"].as_str().unwrap_or_default()
            )),
            None => Err(anyhow!("{address} answers {status}, and is no Rotunda API")),
        }
    }

    /// The equivalent command. The key is left to the environment, so that it is in no history.
    pub fn curl(&self, call: &Call) -> String {
        let mut words = vec!["curl".to_owned()];
        if call.method != Method::POST {
            words.push(format!("-X {}", call.method));
        }
        words.push("-H \"authorization: Bearer $ROTUNDA_API_KEY\"".to_owned());
        words.push(quoted(&format!("{}/{}", self.url, call.path)));
        if let Some(body) = &call.body {
            words.push("-H 'content-type: application/json'".to_owned());
            words.push(format!("-d {}", quoted(&body.to_string())));
        }
        words.join(" ")
    }
}

/// For a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A name in a path.
pub fn escaped(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:".contains(&byte);
    let escape = |byte: u8| match is_plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    name.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client {
            url: "http://localhost:8080/rtc".to_owned(),
            key: "id:secret".to_owned(),
        }
    }

    #[test]
    fn the_equivalent_call_has_no_key_in_it() {
        let call = Call::action("ListMembers", json!({ "Room": "it's" }));
        assert_eq!(
            client().curl(&call),
            r#"curl -H "authorization: Bearer $ROTUNDA_API_KEY" 'http://localhost:8080/rtc/v1/ListMembers' -H 'content-type: application/json' -d '{"Room":"it'\''s"}'"#
        );
        assert_eq!(
            client().curl(&Call::delete("api/rooms/7")),
            r#"curl -X DELETE -H "authorization: Bearer $ROTUNDA_API_KEY" 'http://localhost:8080/rtc/api/rooms/7'"#
        );
    }

    #[test]
    fn a_name_is_escaped_in_a_path() {
        assert_eq!(escaped("text:1001"), "text:1001");
        assert_eq!(escaped("a b/c?"), "a%20b%2Fc%3F");
    }
}
