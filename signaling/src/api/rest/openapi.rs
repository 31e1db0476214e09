//! The description of the REST face as `OpenAPI` 3.1, made of the table of actions.

use rotunda_proto::applications::Scope;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::{csv, tag};
use crate::api::action::TABLE;

/// The HTTP statuses of errors, and when they come. The codes are in the body.
pub const ERRORS: [(&str, &str); 11] = [
    (
        "400",
        "A field is missing, unknown, of the wrong type or out of range: `MissingParameter.*`, `InvalidParameter.*`, \
             `InvalidParameterValue.*`, `UnknownParameter`; the contract has it, this \
             server does not: `UnsupportedOperation`; or the body is no JSON object: `InvalidRequest`.",
    ),
    ("401", "No key, an unknown one, or a wrong secret: `AuthFailure.*`."),
    (
        "403",
        "The key does not have the scope, or belongs to another application: `UnauthorizedOperation.*`.",
    ),
    (
        "404",
        "There is no such room, member, mix, file or action: `FailedOperation.*`, `ResourceNotFound`, `InvalidAction`.",
    ),
    ("405", "Another method than POST: `UnsupportedProtocol`."),
    (
        "409",
        "Another mix, task, call or setting is in the way: `FailedOperation`, `FailedOperation.RequestRejection`, \
             `FailedOperation.RequestOutdated`, `FailedOperation.RestrictedConcurrency`, `FailedOperation.TaskFinished`, `ResourceInUse`, `LimitExceeded`, \
             `FailedOperation.ConfiguredApplication`, `FailedOperation.ApplicationChanged`, `FailedOperation.TwoSecretsValid`.",
    ),
    ("410", "The contract has removed the action: `ActionOffline`."),
    ("413", "The body is too long: `RequestSizeLimitExceeded`."),
    ("429", "Too many calls: `RequestLimitExceeded`. Wait a second."),
    ("500", "Something failed here: `InternalError`. Try again."),
    (
        "503",
        "A server that is needed does not answer or has no capacity left: `ResourceUnavailable`, `ResourceInsufficient.*`.",
    ),
];

pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for definition in TABLE {
        let request = (definition.request)(&mut generator).to_value();
        let summary = request["description"].clone();
        let mut answer = (definition.response)(&mut generator).to_value();
        if let Value::Object(properties) = &mut answer["properties"] {
            properties.insert("RequestId".to_owned(), json!({ "type": "string", "format": "uuid" }));
        }
        if let Value::Object(answer) = &mut answer {
            // An answer may get more fields; a request may not have unknown ones.
            answer.remove("additionalProperties");
        }
        let mut responses = Map::new();
        let content = |schema: Value| json!({ "application/json": { "schema": schema } });
        let mut done = content(answer);
        if let Some(file) = definition.action.file() {
            done[file.media_type] = json!({ "schema": { "type": "string", "contentMediaType": file.media_type } });
        }
        if csv::has(definition.action) {
            done["text/csv"] = json!({ "schema": { "type": "string" } });
        }
        responses.insert("200".to_owned(), json!({ "description": "Done.", "content": done }));
        for (status, _) in ERRORS {
            let error = json!({ "$ref": format!("#/components/responses/{status}") });
            responses.insert(status.to_owned(), error);
        }
        let (tag, _) = tag(definition.scope);
        let limit = match definition.per_second {
            Some(calls) => format!("{calls} calls a second and key."),
            None => "The limit is in the configuration.".to_owned(),
        };
        let operation = json!({
            "operationId": definition.name,
            "summary": summary,
            "description": format!("Scope of the key: `{}`. {limit}", definition.scope),
            "tags": [tag],
            "requestBody": { "required": true, "content": content(request) },
            "responses": responses,
        });
        paths.insert(format!("/v1/{}", definition.name), json!({ "post": operation }));
    }
    let errors: Map<_, _> = ERRORS
        .iter()
        .map(|(status, when)| {
            let schema = json!({ "$ref": "#/components/schemas/Error" });
            let response = json!({ "description": when, "content": { "application/json": { "schema": schema } } });
            ((*status).to_owned(), response)
        })
        .collect();
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Error".to_owned(), error_schema());
    let tags = Scope::ALL.map(tag);
    let used = |name: &str| TABLE.iter().any(|definition| tag(definition.scope).0 == name);
    let tags = tags.iter().filter(|(name, _)| used(name));
    let tags: Vec<_> = tags
        .map(|(name, text)| json!({ "name": name, "description": text }))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Rotunda",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
            "description": "The server API. Names, ranges and error codes are those of the TRTC server API (2019-07-22) and of the \
                VOD API (2018-07-17). Unknown fields are refused. A number may also be its digits as a text.",
        },
        "servers": [{ "url": ".", "description": "Where this document is." }],
        "security": [{ "key": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": { "key": {
                "type": "http", "scheme": "bearer", "bearerFormat": "<secret id>:<api secret>",
                "description": "An API key of the application. With an operator's key, the header `x-sdk-app-id` names the application \
                    for which the call is made.",
            } },
            "responses": errors,
            "schemas": schemas,
        },
    })
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": { "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": { "type": "string", "description": "For programs: as in the Tencent envelope." },
                "message": { "type": "string", "description": "For people: names the field and what may be in it." },
            },
        } },
    })
}
