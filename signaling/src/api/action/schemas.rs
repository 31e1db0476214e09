//! The schemas of requests and answers.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use crate::api::mix::preview;
use crate::api::mix::request::StartBody;
use crate::api::request::Request;
use crate::api::tencent::read::RoomKind;

pub fn request<T: Request>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = T::json_schema(generator);
    schema.insert("required".to_owned(), json!(T::required()));
    closed(schema)
}

pub fn response<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

/// An answer without data.
pub fn nothing(_: &mut SchemaGenerator) -> Schema {
    object("", &[], &[])
}

pub fn start_by_number(generator: &mut SchemaGenerator) -> Schema {
    start(generator, RoomKind::Number)
}

pub fn start_by_name(generator: &mut SchemaGenerator) -> Schema {
    start(generator, RoomKind::Name)
}

fn start(generator: &mut SchemaGenerator, kind: RoomKind) -> Schema {
    let mut schema = StartBody::json_schema(generator);
    let text = "Starts the room's mix. Of a room with a running mix it changes the layout and the encoding.";
    schema.insert("description".to_owned(), json!(text));
    let (name, room) = room(kind, "StrRoomId");
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.insert("SdkAppId".to_owned(), application());
        properties.insert(name.to_owned(), room);
    }
    let required = ["SdkAppId", name, "OutputParams", "EncodeParams", "LayoutParams"];
    schema.insert("required".to_owned(), json!(required));
    closed(schema)
}

pub fn preview(generator: &mut SchemaGenerator) -> Schema {
    let mut start = start(generator, RoomKind::Number);
    let (name, room) = room(RoomKind::Name, "StrRoomId");
    if let Some(Value::Object(properties)) = start.get_mut("properties") {
        properties.insert(name.to_owned(), room);
    }
    preview::schema(generator, start)
}

pub fn stop_by_number(_: &mut SchemaGenerator) -> Schema {
    stop(RoomKind::Number)
}

pub fn stop_by_name(_: &mut SchemaGenerator) -> Schema {
    stop(RoomKind::Name)
}

fn stop(kind: RoomKind) -> Schema {
    let room = room(kind, "StrRoomId");
    let text = "Ends the room's mix and finishes its recording.";
    object(text, &[("SdkAppId", application()), room], &[])
}

pub fn remove_by_number(_: &mut SchemaGenerator) -> Schema {
    remove(RoomKind::Number)
}

pub fn remove_by_name(_: &mut SchemaGenerator) -> Schema {
    remove(RoomKind::Name)
}

fn remove(kind: RoomKind) -> Schema {
    let users = json!({
        "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": 10,
        "description": "1 to 10 users; one who is not in the room is ignored.",
    });
    let text = "Ends the logins of members of a room. Returns when they have left it. A recording task whose robot is named ends.";
    let fields = [("SdkAppId", application()), room(kind, "RoomId"), ("UserIds", users)];
    object(text, &fields, &[])
}

pub fn dismiss_by_number(_: &mut SchemaGenerator) -> Schema {
    dismiss(RoomKind::Number)
}

pub fn dismiss_by_name(_: &mut SchemaGenerator) -> Schema {
    dismiss(RoomKind::Name)
}

fn dismiss(kind: RoomKind) -> Schema {
    let text = "Ends the logins of all members of a room. Returns when they have left it. The recording tasks of the room end.";
    object(text, &[("SdkAppId", application()), room(kind, "RoomId")], &[])
}

fn application() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": 4_294_967_295_u32, "description": "The application." })
}

/// The field of the room. `name`: of a text room's.
fn room(kind: RoomKind, name: &'static str) -> (&'static str, Value) {
    match kind {
        RoomKind::Number => (
            "RoomId",
            json!({ "type": "integer", "minimum": 1, "maximum": 4_294_967_294_u32, "description": "A numeric room." }),
        ),
        RoomKind::Name => (
            name,
            json!({ "type": "string", "maxLength": 64, "description": "A text room; \"123\" is not room 123." }),
        ),
    }
}

/// All fields are required, but `optional` ones.
fn object(description: &str, fields: &[(&str, Value)], optional: &[&str]) -> Schema {
    let properties: serde_json::Map<_, _> = fields
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    let required: Vec<_> = fields
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !optional.contains(name))
        .collect();
    let mut schema = Schema::default();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("description".to_owned(), json!(description));
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema.insert("required".to_owned(), json!(required));
    closed(schema)
}

/// Unknown fields are an error.
fn closed(mut schema: Schema) -> Schema {
    schema.insert("additionalProperties".to_owned(), json!(false));
    schema
}
