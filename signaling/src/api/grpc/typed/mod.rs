//! `rotunda.actions.v1.Actions`: a method for each action of the table, with messages of its fields.
//!
//! The messages follow from the schemas of requests and answers, which are made of the types that read and write them ([`descriptor`]). Their
//! fields have the [`numbers`] of the published file, and the file is what `text` makes of the messages; a test compares both.

mod descriptor;
mod numbers;
mod service;
#[cfg(test)]
mod text;

use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorProto;
use thiserror::Error;

use crate::api::action::TABLE;

pub use service::ActionsServer;

/// The file for clients.
const PUBLISHED: &str = include_str!("../../../../../proto/rotunda/actions/v1/actions.proto");
const PACKAGE: &str = "rotunda.actions.v1";
const SERVICE: &str = "Actions";

/// Why there is no service: a mistake in the schemas.
#[derive(Debug, Error)]
pub enum TypedError {
    #[error("describe the messages of the actions")]
    Describe(#[from] prost_reflect::DescriptorError),
    #[error("{0} is described twice")]
    Twice(String),
    #[error("there is no service {PACKAGE}.{SERVICE}")]
    NoService,
}

/// The messages of all actions.
fn file() -> Result<FileDescriptorProto, TypedError> {
    descriptor::file(TABLE, &numbers::Numbers::of(PUBLISHED))
}

/// With the well-known types that the messages use.
pub fn pool() -> Result<DescriptorPool, TypedError> {
    let mut pool = DescriptorPool::global();
    pool.add_file_descriptor_proto(file()?)?;
    Ok(pool)
}

#[cfg(test)]
mod tests;
