//! Typed calls over any bus: JSON both ways.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Bus, BusError, Incarnation, Revision};

/// How long a caller waits for a reply when it does not say.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The outcome of a change of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written<R> {
    pub result: R,
    /// Of the document as it stands now; None: there is none.
    pub revision: Option<Revision>,
}

#[async_trait]
pub trait BusExt: Bus {
    /// [`Bus::request`] within [`REQUEST_TIMEOUT`].
    async fn call<Q: Serialize + Sync, R: DeserializeOwned>(&self, subject: &str, query: &Q) -> Result<R, BusError> {
        let payload = serde_json::to_vec(query).map_err(BusError::Encode)?;
        let reply = self.request(subject, payload.into(), REQUEST_TIMEOUT).await?;
        serde_json::from_slice(&reply).map_err(BusError::Decode)
    }

    /// [`Bus::publish`].
    async fn tell<T: Serialize + Sync>(&self, subject: &str, message: &T) -> Result<(), BusError> {
        let payload = serde_json::to_vec(message).map_err(BusError::Encode)?;
        self.publish(subject, payload.into()).await
    }

    /// A key's document and its revision.
    async fn load<T: DeserializeOwned>(&self, key: &str) -> Result<Option<(T, Revision)>, BusError> {
        match self.get(key).await? {
            None => Ok(None),
            Some(entry) => {
                let document = serde_json::from_slice(&entry.value).map_err(BusError::Decode)?;
                Ok(Some((document, entry.revision)))
            }
        }
    }

    /// The documents under a prefix; what is no `T` is left out.
    async fn documents<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>, BusError> {
        let entries = self.list(prefix).await?;
        let parsed = entries
            .iter()
            .filter_map(|(_, entry)| serde_json::from_slice(&entry.value).ok());
        Ok(parsed.collect())
    }

    /// [`Bus::put`].
    async fn store<T: Serialize + Sync>(
        &self,
        key: &str,
        document: &T,
        expected: Option<Revision>,
    ) -> Result<Revision, BusError> {
        let value = serde_json::to_vec(document).map_err(BusError::Encode)?;
        self.put(key, value.into(), expected, None).await
    }

    /// Makes `key` hold the document, whatever is there, until `lease` ends.
    async fn announce<T: Serialize + Sync>(
        &self,
        key: &str,
        document: &T,
        lease: &Incarnation,
    ) -> Result<Revision, BusError> {
        let value: bytes::Bytes = serde_json::to_vec(document).map_err(BusError::Encode)?.into();
        loop {
            let known = self.get(key).await?.map(|entry| entry.revision);
            match self.put(key, value.clone(), known, Some(lease)).await {
                Err(BusError::Conflict(_)) => {}
                done => return done,
            }
        }
    }

    /// Deletes `key` whatever is there. For keys that one node alone writes; others delete what they have read.
    async fn remove(&self, key: &str) -> Result<(), BusError> {
        while let Some(entry) = self.get(key).await? {
            match self.delete(key, entry.revision).await {
                Ok(_) => break,
                Err(BusError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// [`update_at`](Self::update_at) for callers that do not need the revision.
    async fn update<T, R, E, F>(&self, key: &str, change: F) -> Result<Result<R, E>, BusError>
    where
        T: Serialize + DeserializeOwned + Send + Sync,
        R: Send,
        E: Send,
        F: FnMut(Option<T>) -> Result<(Option<T>, R), E> + Send,
    {
        let written = self.update_at(key, change).await?;
        Ok(written.map(|written| written.result))
    }

    /// Changes a document by compare-and-set, again and again until nobody was in between.
    ///
    /// `change` gets the document (None: there is none) and answers what is to stand there (None: delete it) with a
    /// result of its own, or an error, which leaves the document as it was. A document that does not change is not written, so that many
    /// callers at once do not wait for each other. `change` is to have the same effect when it is applied
    /// to its own result: after a lost reply the caller repeats it.
    async fn update_at<T, R, E, F>(&self, key: &str, mut change: F) -> Result<Result<Written<R>, E>, BusError>
    where
        T: Serialize + DeserializeOwned + Send + Sync,
        R: Send,
        E: Send,
        F: FnMut(Option<T>) -> Result<(Option<T>, R), E> + Send,
    {
        loop {
            let known = self.get(key).await?;
            let before = match &known {
                Some(entry) => Some(serde_json::from_slice(&entry.value).map_err(BusError::Decode)?),
                None => None,
            };
            let (after, result) = match change(before) {
                Ok(done) => done,
                Err(refused) => return Ok(Err(refused)),
            };
            let after: Option<bytes::Bytes> = match &after {
                Some(document) => Some(serde_json::to_vec(document).map_err(BusError::Encode)?.into()),
                None => None,
            };
            let written = match (after, known) {
                (Some(value), Some(known)) if value == known.value => Ok(Some(known.revision)),
                (Some(value), known) => {
                    let expected = known.map(|known| known.revision);
                    self.put(key, value, expected, None).await.map(Some)
                }
                (None, Some(known)) => self.delete(key, known.revision).await.map(|_| None),
                (None, None) => Ok(None),
            };
            match written {
                Ok(revision) => return Ok(Ok(Written { result, revision })),
                Err(BusError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl<B: Bus + ?Sized> BusExt for B {}
