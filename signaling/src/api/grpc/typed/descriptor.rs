//! Messages out of schemas. Pure.

use std::collections::BTreeMap;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, MethodDescriptorProto, OneofDescriptorProto,
    ServiceDescriptorProto,
};
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::numbers::Numbers;
use super::{PACKAGE, SERVICE, TypedError};
use crate::api::action::Definition;

/// Where a schema names another one.
const REFERENCE: &str = "#/$defs/";
const STRUCT_FILE: &str = "google/protobuf/struct.proto";

pub fn file(table: &[Definition], numbers: &Numbers) -> Result<FileDescriptorProto, TypedError> {
    let mut messages = Messages {
        definitions: Map::new(),
        numbers,
        done: BTreeMap::new(),
    };
    let mut methods = Vec::new();
    for definition in table {
        let mut generator = SchemaGenerator::default();
        let request = (definition.request)(&mut generator).to_value();
        let mut answer = (definition.response)(&mut generator).to_value();
        if let Value::Object(properties) = &mut answer["properties"] {
            properties.insert("RequestId".to_owned(), json!({ "type": "string" }));
        }
        messages.definitions = generator.take_definitions(true);
        let name = definition.name;
        let (input, output) = (format!("{name}Request"), format!("{name}Response"));
        messages.define(&input, &request)?;
        messages.define(&output, &answer)?;
        methods.push(MethodDescriptorProto {
            name: Some(name.to_owned()),
            input_type: Some(full(&input)),
            output_type: Some(full(&output)),
            ..MethodDescriptorProto::default()
        });
    }
    Ok(FileDescriptorProto {
        name: Some("rotunda/actions/v1/actions.proto".to_owned()),
        package: Some(PACKAGE.to_owned()),
        dependency: vec![STRUCT_FILE.to_owned()],
        message_type: messages.done.into_values().collect(),
        service: vec![ServiceDescriptorProto {
            name: Some(SERVICE.to_owned()),
            method: methods,
            ..ServiceDescriptorProto::default()
        }],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    })
}

struct Messages<'a> {
    /// The named schemas of the present action.
    definitions: Map<String, Value>,
    numbers: &'a Numbers,
    done: BTreeMap<String, DescriptorProto>,
}

/// The type of a field.
enum Kind {
    Scalar(Type),
    /// By its full name.
    Message(String),
    List(Box<Kind>),
}

impl Messages<'_> {
    /// Errors: another schema has the name.
    fn define(&mut self, name: &str, schema: &Value) -> Result<(), TypedError> {
        let message = self.message(name, schema)?;
        match self.done.insert(name.to_owned(), message.clone()) {
            Some(before) if before != message => Err(TypedError::Twice(name.to_owned())),
            _ => Ok(()),
        }
    }

    fn message(&mut self, name: &str, schema: &Value) -> Result<DescriptorProto, TypedError> {
        let nothing = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&nothing).clone();
        let names: Vec<String> = properties.keys().map(|name| snake_case(name)).collect();
        let numbers = self.numbers.for_fields(name, &names);
        let mut message = DescriptorProto {
            name: Some(name.to_owned()),
            ..DescriptorProto::default()
        };
        let mut numbered: Vec<_> = properties.iter().zip(names.into_iter().zip(numbers)).collect();
        numbered.sort_by_key(|(_, (_, number))| *number);
        for ((wire, schema), (field, number)) in numbered {
            let kind = self.kind(schema, &format!("{name}{wire}"))?;
            let described = describe(&mut message, field, wire, number, kind);
            message.field.push(described);
        }
        Ok(message)
    }

    /// `inner`: the name of an object that the schema has in itself.
    fn kind(&mut self, schema: &Value, inner: &str) -> Result<Kind, TypedError> {
        if let Some(name) = schema["$ref"].as_str().and_then(|at| at.strip_prefix(REFERENCE)) {
            return self.named(name);
        }
        for choice in ["anyOf", "oneOf", "allOf"] {
            let Some(choices) = schema[choice].as_array() else {
                continue;
            };
            let mut present = choices.iter().filter(|choice| choice["type"] != "null");
            let is_text = |choice: &Value| choice["type"] == "string" || choice["const"].is_string();
            return match (present.next(), present.next()) {
                (Some(only), None) => self.kind(&only.clone(), inner),
                _ if choices.iter().all(is_text) => Ok(Kind::Scalar(Type::String)),
                _ => Ok(any()),
            };
        }
        let of_type = match &schema["type"] {
            Value::String(one) => Some(one.as_str()),
            Value::Array(types) => types.iter().filter_map(Value::as_str).find(|one| *one != "null"),
            _ => None,
        };
        Ok(match of_type {
            Some("string") => Kind::Scalar(Type::String),
            Some("boolean") => Kind::Scalar(Type::Bool),
            Some("number") => Kind::Scalar(Type::Double),
            Some("integer") => Kind::Scalar(match is_signed(schema) {
                true => Type::Int64,
                false => Type::Uint64,
            }),
            Some("array") => match self.kind(&schema["items"].clone(), inner)? {
                Kind::List(_) => any(),
                item => Kind::List(Box::new(item)),
            },
            Some("object") if schema["properties"].is_object() => {
                self.define(inner, &schema.clone())?;
                Kind::Message(full(inner))
            }
            Some("object") => Kind::Message(".google.protobuf.Struct".to_owned()),
            _ if schema["enum"].is_array() || schema["const"].is_string() => Kind::Scalar(Type::String),
            _ => any(),
        })
    }

    fn named(&mut self, name: &str) -> Result<Kind, TypedError> {
        let Some(schema) = self.definitions.get(name).cloned() else {
            return Ok(any());
        };
        if schema["type"] != "object" || schema["additionalProperties"].is_object() {
            return self.kind(&schema, name);
        }
        self.define(name, &schema)?;
        Ok(Kind::Message(full(name)))
    }
}

fn describe(message: &mut DescriptorProto, field: String, wire: &str, number: i32, kind: Kind) -> FieldDescriptorProto {
    let (label, kind) = match kind {
        Kind::List(item) => (Label::Repeated, *item),
        one => (Label::Optional, one),
    };
    let mut described = FieldDescriptorProto {
        name: Some(field),
        number: Some(number),
        label: Some(label.into()),
        json_name: Some(wire.to_owned()),
        ..FieldDescriptorProto::default()
    };
    match kind {
        Kind::Message(name) => {
            described.r#type = Some(Type::Message.into());
            described.type_name = Some(name);
        }
        Kind::Scalar(scalar) => {
            described.r#type = Some(scalar.into());
            // A number that is absent is no 0.
            if label == Label::Optional {
                described.proto3_optional = Some(true);
                described.oneof_index = Some(message.oneof_decl.len() as i32);
                message.oneof_decl.push(OneofDescriptorProto {
                    name: Some(format!("_{}", described.name())),
                    ..OneofDescriptorProto::default()
                });
            }
        }
        // `kind` makes no list of lists.
        Kind::List(_) => {}
    }
    described
}

/// A value of any type.
fn any() -> Kind {
    Kind::Message(".google.protobuf.Value".to_owned())
}

fn is_signed(schema: &Value) -> bool {
    let format = schema["format"].as_str().unwrap_or_default();
    let is_natural = schema["minimum"].as_f64().is_some_and(|least| least >= 0.0);
    !format.starts_with('u') && !is_natural
}

fn full(message: &str) -> String {
    format!(".{PACKAGE}.{message}")
}

/// `EnableStreamSEI` is `enable_stream_sei`.
fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| letters.get(before));
        let after = letters.get(index + 1);
        let begins =
            before.is_some_and(|before| !before.is_uppercase() || after.is_some_and(|after| after.is_lowercase()));
        if letter.is_uppercase() && begins {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_fields_are_in_snake_case() {
        let names = [
            ("SdkAppId", "sdk_app_id"),
            ("EnableStreamSEI", "enable_stream_sei"),
            ("ZOrder", "z_order"),
            ("userId", "user_id"),
            ("Fps", "fps"),
        ];
        for (name, expected) in names {
            assert_eq!(snake_case(name), expected);
        }
    }
}
