//! The messages as a `.proto` file. Pure.

use std::fmt::{self, Write as _};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto};

use super::PACKAGE;

const HEAD: &str = "// Every action of the public API as a method, with messages of its fields; docs/api.md says what each does.\n\
     // Made of the table of actions: `ROTUNDA_WRITE_PROTO=1 cargo nextest run -p rotunda-signaling the_published_file` writes it.\n";

/// `words`: what an action does.
pub fn proto(file: &FileDescriptorProto, words: impl Fn(&str) -> String) -> Result<String, fmt::Error> {
    let mut text = String::from(HEAD);
    write!(text, "syntax = \"proto3\";\n\npackage {PACKAGE};\n\n")?;
    for dependency in &file.dependency {
        writeln!(text, "import \"{dependency}\";\n")?;
    }
    for service in &file.service {
        writeln!(text, "service {} {{", service.name())?;
        for method in &service.method {
            let name = method.name();
            writeln!(text, "  // {}", words(name))?;
            let (input, output) = (short(method.input_type()), short(method.output_type()));
            writeln!(text, "  rpc {name}({input}) returns ({output});")?;
        }
        writeln!(text, "}}")?;
    }
    for message in &file.message_type {
        write_message(&mut text, message)?;
    }
    Ok(text)
}

fn write_message(text: &mut String, message: &DescriptorProto) -> fmt::Result {
    if message.field.is_empty() {
        return writeln!(text, "\nmessage {} {{}}", message.name());
    }
    writeln!(text, "\nmessage {} {{", message.name())?;
    for field in &message.field {
        let label = match field.label() {
            Label::Repeated => "repeated ",
            _ if field.proto3_optional() => "optional ",
            _ => "",
        };
        let (name, number, wire) = (field.name(), field.number(), field.json_name());
        writeln!(
            text,
            "  {label}{} {name} = {number} [json_name = \"{wire}\"];",
            type_of(field)
        )?;
    }
    writeln!(text, "}}")
}

fn type_of(field: &FieldDescriptorProto) -> &str {
    match field.r#type() {
        Type::Bool => "bool",
        Type::Double => "double",
        Type::Int64 => "int64",
        Type::Uint64 => "uint64",
        Type::Message => short(field.type_name()),
        _ => "string",
    }
}

/// A name as this package may write it.
fn short(name: &str) -> &str {
    let name = name.trim_start_matches('.');
    let own = name.strip_prefix(PACKAGE).and_then(|rest| rest.strip_prefix('.'));
    own.unwrap_or(name)
}
