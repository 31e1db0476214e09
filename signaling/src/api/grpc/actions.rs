//! `ActionService`: every action of the table, with its parameters as JSON.

use rotunda_proto::grpc::v1;
use rotunda_proto::grpc::v1::action_service_server::ActionService;
use serde_json::{Map, Value};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Face, status};
use crate::api::ApiError;
use crate::api::action::Definition;

#[tonic::async_trait]
impl ActionService for Face {
    async fn call(&self, request: Request<v1::CallRequest>) -> Result<Response<v1::CallResponse>, Status> {
        let caller = self.caller(&request)?;
        let v1::CallRequest {
            action,
            parameters_json,
        } = request.into_inner();
        let definition = Definition::find(&action, None).map_err(status)?;
        self.actions.admit(definition, &caller).map_err(status)?;
        let parameters = object(&parameters_json).map_err(status)?;
        let answer = self.actions.run(definition, &caller, &parameters).await;
        Ok(Response::new(v1::CallResponse {
            request_id: Uuid::new_v4().to_string(),
            answer_json: answer.map_err(status)?.to_string(),
        }))
    }
}

fn object(text: &str) -> Result<Value, ApiError> {
    if text.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(ApiError::new("InvalidRequest", "parameters_json must be a JSON object")),
        Err(error) => {
            let message = format!("parameters_json must be a JSON object: {error}");
            Err(ApiError::new("InvalidRequest", message))
        }
    }
}
