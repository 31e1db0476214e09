//! The service: decodes a request by its message, carries the action out, and encodes the answer.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor, MethodDescriptor, ServiceDescriptor};
use serde_json::Value;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Service;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{TypedError, pool};
use crate::api::ApiError;
use crate::api::action::Definition;
use crate::api::grpc::{Face, MAX_MESSAGE, status};

/// See the [module](self).
#[derive(Clone)]
pub struct ActionsServer {
    face: Face,
    service: ServiceDescriptor,
}

impl ActionsServer {
    pub fn new(face: Face) -> Result<Self, TypedError> {
        let service = pool()?.get_service_by_name(Self::NAME).ok_or(TypedError::NoService)?;
        Ok(Self { face, service })
    }
}

impl NamedService for ActionsServer {
    const NAME: &'static str = "rotunda.actions.v1.Actions";
}

impl Service<axum::http::Request<Body>> for ActionsServer {
    type Response = axum::http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: axum::http::Request<Body>) -> Self::Future {
        let name = request.uri().path().rsplit('/').next().unwrap_or_default();
        let method = self.service.methods().find(|method| method.name() == name);
        let definition = Definition::find(name, None);
        let face = self.face.clone();
        Box::pin(async move {
            let (Some(method), Ok(definition)) = (method, definition) else {
                return Ok(Status::unimplemented("there is no such method").into_http());
            };
            let codec = Dynamic { input: method.input() };
            let call = Call {
                face,
                definition,
                method,
            };
            let mut grpc = Grpc::new(codec).apply_max_message_size_config(Some(MAX_MESSAGE), None);
            Ok(grpc.unary(call, request).await)
        })
    }
}

/// One call.
struct Call {
    face: Face,
    definition: &'static Definition,
    method: MethodDescriptor,
}

impl UnaryService<DynamicMessage> for Call {
    type Response = DynamicMessage;
    type Future = BoxFuture<'static, Result<Response<DynamicMessage>, Status>>;

    fn call(&mut self, request: Request<DynamicMessage>) -> Self::Future {
        let (face, definition, output) = (self.face.clone(), self.definition, self.method.output());
        Box::pin(async move {
            let caller = face.caller(&request)?;
            face.actions.admit(definition, &caller).map_err(status)?;
            let parameters = to_json(request.get_ref()).map_err(status)?;
            let mut answer = face
                .actions
                .run(definition, &caller, &parameters)
                .await
                .map_err(status)?;
            answer["RequestId"] = Value::String(Uuid::new_v4().to_string());
            Ok(Response::new(from_json(output, answer).map_err(status)?))
        })
    }
}

/// A message as the parameters of an action.
pub fn to_json(message: &DynamicMessage) -> Result<Value, ApiError> {
    serde_json::to_value(message).map_err(|error| ApiError::internal(&error))
}

/// An answer as its message.
pub fn from_json(output: MessageDescriptor, answer: Value) -> Result<DynamicMessage, ApiError> {
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    DynamicMessage::deserialize_with_options(output, answer, &options).map_err(|error| ApiError::internal(&error))
}

/// Encodes and decodes messages by their descriptors.
#[derive(Clone)]
struct Dynamic {
    input: MessageDescriptor,
}

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, message: DynamicMessage, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message
            .encode(into)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.input.clone(), from);
        let message = message.map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok(Some(message))
    }
}
