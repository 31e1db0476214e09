//! Notifications: each sentence's start and end, by POST to a webhook.

use std::time::Duration;

use metrics::counter;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::session::{End, Event};

/// Notifications that wait for a slow webhook; more are dropped and counted.
const QUEUE: usize = 256;
const PATIENCE: Duration = Duration::from_secs(5);

/// The body of a notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notification {
    /// `start` or `end`.
    pub status: &'static str,
    /// The spoken text; empty for uploaded audio.
    pub text: String,
    pub sessionid: u32,
    /// It ended before all was said.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// Why nothing was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Notification {
    pub fn new(sessionid: u32, event: &Event) -> Self {
        let (status, text, end) = match event {
            Event::Started { text } => ("start", text, &End::Said),
            Event::Ended { text, end } => ("end", text, end),
        };
        Self {
            status,
            text: text.to_string(),
            sessionid,
            interrupted: *end == End::Interrupted,
            error: match end {
                End::Failed(error) => Some(error.clone()),
                _ => None,
            },
        }
    }
}

/// Takes notifications of all sessions.
#[derive(Debug, Clone)]
pub struct Notifier(Option<mpsc::Sender<Notification>>);

impl Notifier {
    /// `url`: empty for none. The task ends when all notifiers are gone and everything is told.
    pub fn start(url: &str) -> (Self, Option<JoinHandle<()>>) {
        if url.is_empty() {
            return (Self(None), None);
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        let task = tokio::spawn(deliver(url.to_owned(), receiver));
        (Self(Some(sender)), Some(task))
    }

    /// Never waits.
    pub fn tell(&self, notification: Notification) {
        if let Some(sender) = &self.0
            && sender.try_send(notification).is_err()
        {
            counter!("rotunda_avatar_notifications_total", "result" => "dropped").increment(1);
        }
    }
}

async fn deliver(url: String, mut notifications: mpsc::Receiver<Notification>) {
    let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap_or_default();
    while let Some(notification) = notifications.recv().await {
        let sent = http.post(&url).json(&notification).send().await;
        let result = match sent.and_then(reqwest::Response::error_for_status) {
            Ok(_) => "delivered",
            Err(error) => {
                // The address may have a key in it.
                warn!(
                    error = &error.without_url() as &dyn std::error::Error,
                    "avatar.webhook_url was not told"
                );
                "failed"
            }
        };
        counter!("rotunda_avatar_notifications_total", "result" => result).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_and_end_have_the_documented_fields() {
        let json = |event| serde_json::to_value(Notification::new(123_456, &event)).unwrap();
        assert_eq!(
            json(Event::Started { text: "Hi.".into() }),
            serde_json::json!({ "status": "start", "text": "Hi.", "sessionid": 123_456 })
        );
        let end = |end| Event::Ended {
            text: "Hi.".into(),
            end,
        };
        assert_eq!(
            json(end(End::Interrupted)),
            serde_json::json!({ "status": "end", "text": "Hi.", "sessionid": 123_456, "interrupted": true })
        );
        assert_eq!(json(end(End::Failed("x".to_owned())))["error"], "x");
    }
}
