//! Which mix has written a document, and in which turn of its task: an owner that is late never takes what its successor has written.

use bytes::Bytes;
use rotunda_bus::{BusError, Incarnation, Revision, SharedBus};
use rotunda_proto::ids::MixId;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// See the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub mix: MixId,
    /// Counts the owners of the mix's task.
    pub epoch: u64,
}

#[derive(Serialize)]
struct Signed<'a, T> {
    #[serde(flatten)]
    document: &'a T,
    owner: Owner,
}

/// The parts of a document that say whose it is.
#[derive(Default, Deserialize)]
struct Signature {
    owner: Option<Owner>,
    /// The program of one publisher, which the relay has written.
    single: Option<IgnoredAny>,
}

impl Owner {
    /// The document with its owner.
    pub fn signed<T: Serialize>(self, document: &T) -> Result<Bytes, BusError> {
        let signed = Signed { document, owner: self };
        Ok(serde_json::to_vec(&signed).map_err(BusError::Encode)?.into())
    }

    /// Another mix in the place of the first is wanted by the task's document, so it may take what the first has left. A document that
    /// cannot be read is nobody's.
    fn may_take(self, document: &[u8]) -> bool {
        let signature: Signature = serde_json::from_slice(document).unwrap_or_default();
        let is_later = signature
            .owner
            .is_some_and(|other| other.mix == self.mix && other.epoch > self.epoch);
        !is_later && signature.single.is_none()
    }
}

/// Writes a document for the first time.
///
/// Errors: [`BusError::Conflict`] when a later owner of the same mix, or the relay, has written it.
pub async fn take(
    bus: &SharedBus,
    key: &str,
    value: Bytes,
    owner: Owner,
    lease: &Incarnation,
) -> Result<Revision, BusError> {
    loop {
        let there = bus.get(key).await?;
        if there.as_ref().is_some_and(|entry| !owner.may_take(&entry.value)) {
            return Err(BusError::Conflict(key.to_owned()));
        }
        let known = there.map(|entry| entry.revision);
        match bus.put(key, value.clone(), known, Some(lease)).await {
            Err(BusError::Conflict(_)) => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rotunda_bus::InProcess;
    use serde_json::json;

    use super::*;

    const KEY: &str = "programs.1.film";

    fn owner(mix: u64, epoch: u64) -> Owner {
        Owner { mix: MixId(mix), epoch }
    }

    async fn written(bus: &SharedBus, owner: Owner) -> bool {
        let lease = Incarnation::new("mcu-1".parse().unwrap(), owner.epoch);
        let value = owner.signed(&json!({ "node": "mcu-1" })).unwrap();
        take(bus, KEY, value, owner, &lease).await.is_ok()
    }

    #[tokio::test]
    async fn a_late_owner_never_takes_what_its_successor_has_written() {
        let bus: SharedBus = Arc::new(InProcess::new());
        assert!(written(&bus, owner(5, 1)).await);
        assert!(written(&bus, owner(5, 2)).await, "its successor takes it");
        assert!(!written(&bus, owner(5, 1)).await, "and it never comes back");
        assert!(written(&bus, owner(6, 1)).await, "another mix takes its place");
    }

    #[tokio::test]
    async fn the_stream_of_a_publisher_is_not_taken() {
        let bus: SharedBus = Arc::new(InProcess::new());
        let single = json!({ "node": "node-1", "single": { "user": "ann" } });
        let value = serde_json::to_vec(&single).unwrap().into();
        bus.put(KEY, value, None, None).await.unwrap();
        assert!(!written(&bus, owner(5, 1)).await);
        let there = bus.get(KEY).await.unwrap().unwrap();
        let there: serde_json::Value = serde_json::from_slice(&there.value).unwrap();
        assert_eq!(there, single);
    }
}
