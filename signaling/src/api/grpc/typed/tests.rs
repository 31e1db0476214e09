use std::path::Path;

use prost_reflect::DynamicMessage;
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::service::{from_json, to_json};
use super::*;
use crate::api::action::Definition;

fn words(definition: &Definition) -> String {
    let schema = (definition.request)(&mut SchemaGenerator::default()).to_value();
    let text = schema["description"].as_str().unwrap_or_default().replace('\n', " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_published_file_has_every_action_and_field() {
    let text = text::proto(&file().unwrap(), |name| words(Definition::find(name, None).unwrap())).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/rotunda/actions/v1/actions.proto");
    if std::env::var_os("ROTUNDA_WRITE_PROTO").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap();
    assert!(
        published == text,
        "{} is not what the table of actions says; write it with ROTUNDA_WRITE_PROTO=1",
        path.display()
    );
}

/// A value that a schema permits, with every field.
fn sample(schema: &Value, definitions: &Map<String, Value>, depth: usize) -> Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|at| at.strip_prefix("#/$defs/")) {
        return match depth {
            0 => Value::Null,
            depth => sample(&definitions[name], definitions, depth - 1),
        };
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(choices) = schema[choice].as_array() {
            let mut present = choices.iter().filter(|choice| choice["type"] != "null");
            return sample(present.next().unwrap(), definitions, depth);
        }
    }
    let of_type = match &schema["type"] {
        Value::Array(types) => types.iter().find(|one| **one != "null").cloned().unwrap_or_default(),
        one => one.clone(),
    };
    match of_type.as_str() {
        Some("string") => schema["enum"].get(0).cloned().unwrap_or(json!("text")),
        Some("integer") => json!(7),
        Some("number") => json!(1.5),
        Some("boolean") => json!(true),
        Some("array") => json!([sample(&schema["items"], definitions, depth)]),
        Some("object") => match schema["properties"].as_object() {
            Some(fields) => fields
                .iter()
                .map(|(name, schema)| (name.clone(), sample(schema, definitions, depth)))
                .collect(),
            None => json!({}),
        },
        _ => schema.get("const").cloned().unwrap_or(json!("text")),
    }
}

/// Every field of `wanted` is in `found`; 64-bit numbers are texts in the JSON of protobuf, and absent lists and objects are left out.
fn lacks(wanted: &Value, found: &Value, path: &str) -> Option<String> {
    match (wanted, found) {
        (Value::Null, _) => None,
        (Value::Object(fields), _) => fields
            .iter()
            .find_map(|(name, wanted)| lacks(wanted, &found[name], &format!("{path}.{name}"))),
        (Value::Array(items), _) => items
            .iter()
            .enumerate()
            .find_map(|(index, wanted)| lacks(wanted, &found[index], &format!("{path}.{index}"))),
        (Value::Number(number), Value::String(text)) if *text == number.to_string() => None,
        (wanted, found) if wanted == found => None,
        _ => Some(format!("{path}: {wanted} became {found}")),
    }
}

#[test]
fn every_field_of_every_request_and_answer_goes_through_its_message() {
    let pool = pool().unwrap();
    let service = pool.get_service_by_name("rotunda.actions.v1.Actions").unwrap();
    assert_eq!(service.methods().len(), TABLE.len());
    for definition in TABLE {
        let method = service
            .methods()
            .find(|method| method.name() == definition.name)
            .unwrap();
        let mut generator = SchemaGenerator::default();
        let request = (definition.request)(&mut generator).to_value();
        let answer = (definition.response)(&mut generator).to_value();
        let definitions = generator.take_definitions(true);
        for (schema, message) in [(request, method.input()), (answer, method.output())] {
            let value = sample(&schema, &definitions, 6);
            // A field that the message does not have is an error here.
            let strict = DynamicMessage::deserialize(message.clone(), value.clone());
            strict.unwrap_or_else(|error| panic!("{}: {error}: {value}", message.name()));
            let back = to_json(&from_json(message.clone(), value.clone()).unwrap()).unwrap();
            assert_eq!(lacks(&value, &back, message.name()), None);
        }
    }
}
