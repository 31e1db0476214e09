//! A node from one start to its end, or until it is declared dead.

use std::fmt;
use std::str::FromStr;

use crate::ids::NodeId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A node's name and a random number: the same node, started again, is another incarnation. As text `node-1.00c0ffee00c0ffee`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    node: NodeId,
    number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("write a node's name, a dot and 16 hexadecimal digits")]
pub struct IncarnationError;

impl Incarnation {
    pub fn new(node: NodeId, number: u64) -> Self {
        Self { node, number }
    }

    pub fn random(node: NodeId) -> Self {
        Self::new(node, rand::random())
    }

    pub fn node(&self) -> &NodeId {
        &self.node
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:016x}", self.node, self.number)
    }
}

impl FromStr for Incarnation {
    type Err = IncarnationError;

    fn from_str(text: &str) -> Result<Self, IncarnationError> {
        let (node, number) = text.rsplit_once('.').ok_or(IncarnationError)?;
        let digits = number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(number, 16).ok().filter(|_| digits);
        Ok(Self {
            node: node.parse().map_err(|_| IncarnationError)?,
            number: number.ok_or(IncarnationError)?,
        })
    }
}

impl Serialize for Incarnation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Incarnation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_text_it_is_what_it_was() {
        let incarnation = Incarnation::new("sfu-0".parse().unwrap(), 0xC0FFEE);
        assert_eq!(incarnation.to_string(), "sfu-0.0000000000c0ffee");
        assert_eq!(incarnation.to_string().parse(), Ok(incarnation));
        for wrong in ["", "sfu-0", "sfu-0.1", ".0000000000c0ffee", "sfu-0.+000000000c0ffee"] {
            assert_eq!(wrong.parse::<Incarnation>(), Err(IncarnationError), "{wrong}");
        }
    }
}
