//! The claims of a checked ID token.

use serde_json::{Map, Value};

/// The claims of a token whose signature, issuer, audience and time are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    pub(crate) fn new(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// These claims, and others where these have none.
    pub(crate) fn or(self, others: Map<String, Value>) -> Self {
        let mut all = others;
        all.extend(self.0);
        Self(all)
    }

    /// The text of a claim. The `email` counts only when the provider has verified it.
    pub fn text(&self, name: &str) -> Option<&str> {
        let counts = name != "email" || self.0.get("email_verified") == Some(&Value::Bool(true));
        self.0.get(name).filter(|_| counts)?.as_str()
    }

    /// Whether a claim is this text, or a list that has it.
    pub fn has(&self, name: &str, wanted: &str) -> bool {
        match self.0.get(name) {
            Some(Value::Array(list)) => list.iter().any(|one| one.as_str() == Some(wanted)),
            _ => self.text(name) == Some(wanted),
        }
    }

    /// The person's name for people: the most readable that the token has.
    pub fn display_name(&self) -> &str {
        let readable = ["preferred_username", "email", "name", "sub"];
        readable
            .into_iter()
            .find_map(|name| self.text(name))
            .unwrap_or("unknown")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        Claims(value.as_object().unwrap().clone())
    }

    #[test]
    fn a_claim_is_a_text_or_a_list_of_texts() {
        let claims = claims(json!({ "sub": "1", "groups": ["ops", "dev"], "age": 3 }));
        assert!(claims.has("sub", "1"));
        assert!(claims.has("groups", "ops"));
        assert!(!claims.has("groups", "op"));
        assert!(!claims.has("age", "3"), "a number is no text");
        assert!(!claims.has("absent", ""));
        assert_eq!((claims.text("groups"), claims.text("sub")), (None, Some("1")));
    }

    #[test]
    fn an_email_counts_when_it_is_verified() {
        for (verified, counts) in [(json!(true), true), (json!(false), false), (json!("true"), false)] {
            let claims = claims(json!({ "sub": "1", "email": "ann@example.com", "email_verified": verified }));
            assert_eq!(claims.has("email", "ann@example.com"), counts);
            let shown = if counts { "ann@example.com" } else { "1" };
            assert_eq!(claims.display_name(), shown);
        }
    }
}
