//! A bus in front of another one, for tests and simulations: it forwards every call, as a [`Policy`] has it.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::{
    Bus, BusError, Entry, InProcess, Incarnation, Presence, Requests, Revision, SharedBus, Subscription, Watch,
};

/// A call of [`Bus`], with its subject, key, pattern or prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call<'a> {
    Request(&'a str),
    Serve(&'a str),
    Publish(&'a str),
    Subscribe(&'a str),
    Get(&'a str),
    Put(&'a str),
    Delete(&'a str),
    List(&'a str),
    Watch(&'a str),
    Bound(&'a Incarnation),
}

impl Call<'_> {
    /// The timeout of this call.
    pub fn timeout(self) -> BusError {
        BusError::Timeout(match self {
            Self::Request(what)
            | Self::Serve(what)
            | Self::Publish(what)
            | Self::Subscribe(what)
            | Self::Get(what)
            | Self::Put(what)
            | Self::Delete(what)
            | Self::List(what)
            | Self::Watch(what) => what.to_owned(),
            Self::Bound(lease) => lease.to_string(),
        })
    }
}

/// What becomes of the calls of a [`Wrapped`] bus, and of everything that comes in.
pub trait Policy: Send + Sync + 'static {
    /// Carries out a call, now or later or never. `forwarded`: the call at the bus behind, which is made when it is awaited.
    fn carry_out<T: Send>(
        &self,
        call: Call<'_>,
        forwarded: impl Future<Output = Result<T, BusError>> + Send,
    ) -> impl Future<Output = Result<T, BusError>> + Send;

    /// The requests of a subject that is served.
    fn requests(&self, behind: Requests) -> Requests {
        behind
    }

    /// The messages of a subscription.
    fn messages(&self, behind: Subscription) -> Subscription {
        behind
    }

    /// The changes of a watched prefix.
    fn changes(&self, behind: Watch) -> Watch {
        behind
    }

    fn presence(&self, behind: watch::Receiver<Presence>) -> watch::Receiver<Presence> {
        behind
    }
}

/// See the [module](self). It dereferences to its policy, which tests command.
pub struct Wrapped<P> {
    behind: SharedBus,
    policy: P,
}

impl<P: Policy> Wrapped<P> {
    /// In front of `behind`.
    pub fn around(behind: SharedBus, policy: P) -> Self {
        Self { behind, policy }
    }
}

/// In front of a bus in this process.
impl<P: Policy + Default> Default for Wrapped<P> {
    fn default() -> Self {
        Self::around(Arc::new(InProcess::new()), P::default())
    }
}

impl<P> Deref for Wrapped<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.policy
    }
}

#[async_trait]
impl<P: Policy> Bus for Wrapped<P> {
    async fn request(&self, subject: &str, payload: Bytes, limit: Duration) -> Result<Bytes, BusError> {
        let forwarded = self.behind.request(subject, payload, limit);
        self.policy.carry_out(Call::Request(subject), forwarded).await
    }

    async fn serve(&self, subject: &str) -> Result<Requests, BusError> {
        let served = self.policy.carry_out(Call::Serve(subject), self.behind.serve(subject));
        Ok(self.policy.requests(served.await?))
    }

    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), BusError> {
        let forwarded = self.behind.publish(subject, payload);
        self.policy.carry_out(Call::Publish(subject), forwarded).await
    }

    async fn subscribe(&self, pattern: &str) -> Result<Subscription, BusError> {
        let forwarded = self.behind.subscribe(pattern);
        let subscribed = self.policy.carry_out(Call::Subscribe(pattern), forwarded);
        Ok(self.policy.messages(subscribed.await?))
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, BusError> {
        self.policy.carry_out(Call::Get(key), self.behind.get(key)).await
    }

    async fn put(
        &self,
        key: &str,
        value: Bytes,
        expected: Option<Revision>,
        lease: Option<&Incarnation>,
    ) -> Result<Revision, BusError> {
        let forwarded = self.behind.put(key, value, expected, lease);
        self.policy.carry_out(Call::Put(key), forwarded).await
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<Revision, BusError> {
        let forwarded = self.behind.delete(key, expected);
        self.policy.carry_out(Call::Delete(key), forwarded).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Entry)>, BusError> {
        self.policy
            .carry_out(Call::List(prefix), self.behind.list(prefix))
            .await
    }

    async fn watch(&self, prefix: &str) -> Result<Watch, BusError> {
        let watched = self.policy.carry_out(Call::Watch(prefix), self.behind.watch(prefix));
        Ok(self.policy.changes(watched.await?))
    }

    async fn bound(&self, lease: &Incarnation) -> Result<Vec<(String, Revision)>, BusError> {
        self.policy
            .carry_out(Call::Bound(lease), self.behind.bound(lease))
            .await
    }

    fn presence(&self) -> watch::Receiver<Presence> {
        self.policy.presence(self.behind.presence())
    }
}
