//! The in-process bus with faults in chosen writes, for tests.

use std::sync::{Mutex, PoisonError};

use rotunda_bus::{BusError, Call, Policy, Wrapped};

pub type FailingBus = Wrapped<Failing>;

/// The policy of a [`FailingBus`].
#[derive(Default)]
pub struct Failing {
    fault: Mutex<Option<Fault>>,
}

/// A fault in writes of keys with this ending.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The bus refuses the write.
    Refuses(&'static str),
    /// The bus carries the write out, and its answer is lost.
    LosesAnswers(&'static str),
}

impl Failing {
    /// From now on.
    pub fn set_fault(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// The fault of this call, if it has one.
    fn fault(&self, call: Call<'_>) -> Option<Fault> {
        let fault = (*self.fault.lock().unwrap_or_else(PoisonError::into_inner))?;
        let (Fault::Refuses(ending) | Fault::LosesAnswers(ending)) = fault;
        matches!(call, Call::Put(key) if key.ends_with(ending)).then_some(fault)
    }
}

impl Policy for Failing {
    async fn carry_out<T: Send>(
        &self,
        call: Call<'_>,
        forwarded: impl Future<Output = Result<T, BusError>> + Send,
    ) -> Result<T, BusError> {
        match self.fault(call) {
            Some(Fault::Refuses(_)) => Err(call.timeout()),
            Some(Fault::LosesAnswers(_)) => {
                forwarded.await?;
                Err(call.timeout())
            }
            None => forwarded.await,
        }
    }
}
