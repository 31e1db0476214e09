//! Reads bodies under a limit that depends on the caller. Nothing is buffered for an unknown caller, except the first part of a
//! form, which names the key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use futures::StreamExt;
use rotunda_proto::config::Application;
use rotunda_proto::ids::SdkAppId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::parameters;
use crate::api::ApiError;
use crate::applications::Applications;

/// Largest signed body (TC3) and form, bytes: those of the contract.
const MAX_BODY: usize = 10 * 1024 * 1024;
const MAX_FORM: usize = 1024 * 1024;
/// A form of more bytes must have named a known key in the first of them.
const MAX_UNKNOWN: usize = 64 * 1024;
/// Limit of all bodies of one application that are being read, together, bytes.
const PER_APPLICATION: usize = 16 * 1024 * 1024;
/// The same for forms whose caller is not known yet.
const ALL_UNKNOWN: usize = 8 * 1024 * 1024;
/// A body that takes longer is refused.
const ARRIVES_WITHIN: Duration = Duration::from_secs(20);
/// A permit of a semaphore is this many bytes.
const UNIT: usize = 1024;

/// The memory for bodies that are being read.
pub struct Intake {
    /// Made with an application's first call.
    by_application: Mutex<HashMap<SdkAppId, Arc<Semaphore>>>,
    unknown: Arc<Semaphore>,
}

/// A complete body. Dropping it releases its share of the memory.
#[derive(Debug)]
pub struct Read {
    pub bytes: Vec<u8>,
    pub share: Option<OwnedSemaphorePermit>,
}

impl Read {
    /// Of a request that has no body.
    pub fn nothing() -> Self {
        Self {
            bytes: Vec::new(),
            share: None,
        }
    }
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            by_application: Mutex::default(),
            unknown: semaphore(ALL_UNKNOWN),
        }
    }
}

fn semaphore(bytes: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(bytes / UNIT))
}

impl Intake {
    /// The budget of a known caller.
    fn of(&self, caller: &Application) -> Arc<Semaphore> {
        let mut budgets = self.by_application.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = budgets.entry(caller.sdk_app_id);
        budget.or_insert_with(|| semaphore(PER_APPLICATION)).clone()
    }

    /// The body of a request whose headers name a key of `caller`.
    pub async fn signed(&self, caller: &Application, headers: &HeaderMap, body: Body) -> Result<Read, ApiError> {
        let declared = declared(headers, &body, MAX_BODY)?;
        let share = share(&self.of(caller), declared.unwrap_or(MAX_BODY))?;
        let mut reader = Reader::new(body);
        reader.read_up_to(MAX_BODY).await?;
        Ok(Read {
            bytes: reader.read,
            share,
        })
    }

    /// A form, which names its key somewhere in it.
    pub async fn form(&self, applications: &Applications, headers: &HeaderMap, body: Body) -> Result<Read, ApiError> {
        let declared = declared(headers, &body, MAX_FORM)?;
        let least = declared.unwrap_or(MAX_UNKNOWN).min(MAX_UNKNOWN);
        let share_of_unknown = share(&self.unknown, least)?;
        let mut reader = Reader::new(body);
        if reader.read_first(MAX_UNKNOWN).await? {
            return Ok(Read {
                bytes: reader.read,
                share: share_of_unknown,
            });
        }
        let caller = parameters::secret_id(&reader.read).and_then(|id| applications.by_secret_id(&id));
        let Some(caller) = caller else {
            return Err(too_large(
                MAX_UNKNOWN,
                " from a caller that it does not name in its first part",
            ));
        };
        let share = share(&self.of(caller), declared.unwrap_or(MAX_FORM))?;
        drop(share_of_unknown);
        reader.read_up_to(MAX_FORM).await?;
        Ok(Read {
            bytes: reader.read,
            share,
        })
    }
}

/// The length that the request declares; None: it does not.
fn declared(headers: &HeaderMap, body: &Body, most: usize) -> Result<Option<usize>, ApiError> {
    let header = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length = header
        .and_then(|text| text.parse::<u64>().ok())
        .or(body.size_hint().exact());
    match length {
        Some(length) if length > most as u64 => Err(too_large(most, "")),
        Some(length) => Ok(Some(length as usize)),
        None => Ok(None),
    }
}

fn share(semaphore: &Arc<Semaphore>, bytes: usize) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
    let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
    match semaphore.clone().try_acquire_many_owned(units) {
        Ok(share) => Ok(Some(share)),
        Err(_) => Err(ApiError::new(
            "RequestLimitExceeded",
            "too many large requests are being read at this moment; try again",
        )),
    }
}

fn too_large(most: usize, of_whom: &str) -> ApiError {
    ApiError::new(
        "RequestSizeLimitExceeded",
        format!("a body{of_whom} may have at most {most} bytes"),
    )
}

/// A body and the bytes that were read so far.
struct Reader {
    rest: axum::body::BodyDataStream,
    read: Vec<u8>,
}

impl Reader {
    fn new(body: Body) -> Self {
        Self {
            rest: body.into_data_stream(),
            read: Vec::new(),
        }
    }

    /// Errors: `RequestSizeLimitExceeded` when there is more.
    async fn read_up_to(&mut self, most: usize) -> Result<(), ApiError> {
        match self.read_first(most).await? {
            true => Ok(()),
            false => Err(too_large(most, "")),
        }
    }

    /// Reads until the end or until there are more than `most` bytes. Answers whether it was the end.
    async fn read_first(&mut self, most: usize) -> Result<bool, ApiError> {
        let reading = async {
            while self.read.len() <= most {
                match self.rest.next().await {
                    None => return Ok(true),
                    Some(Ok(chunk)) => self.read.extend_from_slice(&chunk),
                    Some(Err(_)) => return Err(ApiError::new("InvalidRequest", "the body broke off")),
                }
            }
            Ok(false)
        };
        let late = |_| {
            let seconds = ARRIVES_WITHIN.as_secs();
            ApiError::new("InvalidRequest", format!("the body did not arrive within {seconds} s"))
        };
        timeout(ARRIVES_WITHIN, reading).await.map_err(late)?
    }
}

#[cfg(test)]
mod tests;
