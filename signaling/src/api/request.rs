//! Typed requests and answers. A request's fields, their types, their error codes and their words stand in one place, from which
//! come its reader, its schema for `OpenAPI`, and the check of unknown fields.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::ApiError;
use super::tencent::fields::Fields;

type Checked<T> = Result<T, ApiError>;

/// A value that a request may have in a field.
pub trait Field: Sized {
    fn read(fields: &mut Fields<'_>, name: &'static str, code: &'static str) -> Checked<Self>;
}

/// A request, or an object in one.
pub trait Request: Sized + JsonSchema {
    /// The names of the fields that must be there.
    fn required() -> Vec<&'static str>;

    fn read(fields: &mut Fields<'_>) -> Checked<Self>;
}

impl Field for Option<u64> {
    fn read(fields: &mut Fields<'_>, name: &'static str, code: &'static str) -> Checked<Self> {
        fields.number(name, code)
    }
}

impl Field for Option<i64> {
    fn read(fields: &mut Fields<'_>, name: &'static str, code: &'static str) -> Checked<Self> {
        fields.signed(name, code)
    }
}

impl Field for Option<f64> {
    fn read(fields: &mut Fields<'_>, name: &'static str, code: &'static str) -> Checked<Self> {
        fields.decimal(name, code)
    }
}

impl Field for Option<bool> {
    fn read(fields: &mut Fields<'_>, name: &'static str, code: &'static str) -> Checked<Self> {
        fields.truth(name, code)
    }
}

impl Field for Option<String> {
    fn read(fields: &mut Fields<'_>, name: &'static str, code: &'static str) -> Checked<Self> {
        fields.text(name, code)
    }
}

impl Field for Vec<String> {
    fn read(fields: &mut Fields<'_>, name: &'static str, code: &'static str) -> Checked<Self> {
        fields.texts(name, code)
    }
}

impl Field for Vec<u64> {
    fn read(fields: &mut Fields<'_>, name: &'static str, code: &'static str) -> Checked<Self> {
        fields.numbers(name, code)
    }
}

impl<T: Request> Field for Option<T> {
    fn read(fields: &mut Fields<'_>, name: &'static str, code: &'static str) -> Checked<Self> {
        fields.object(name, code)?.map(whole).transpose()
    }
}

impl<T: Request> Field for Vec<T> {
    fn read(fields: &mut Fields<'_>, name: &'static str, code: &'static str) -> Checked<Self> {
        fields.objects(name, code)?.into_iter().map(whole).collect()
    }
}

/// A field of the contract that this server does not serve: a request must not have a value in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unsupported;

impl Field for Unsupported {
    fn read(fields: &mut Fields<'_>, name: &'static str, _: &'static str) -> Checked<Self> {
        fields.unsupported(name).map(|()| Self)
    }
}

impl JsonSchema for Unsupported {
    fn schema_name() -> Cow<'static, str> {
        "Unsupported".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "maxProperties": 0, "description": "Not served here: leave it out." })
    }
}

/// Reads a request. A field that it does not have is an error.
pub fn whole<T: Request>(mut fields: Fields<'_>) -> Checked<T> {
    let request = T::read(&mut fields)?;
    fields.finish()?;
    Ok(request)
}

/// The field, or the error that it is missing.
pub fn required<T>(value: Option<T>, code: &'static str, name: &str) -> Checked<T> {
    value.ok_or_else(|| ApiError::new(code, format!("{name} is missing")))
}

/// Defines a request: `field: type = "Name" ! "code of a wrong value"`, with `!` for a required field and `?` for others.
macro_rules! request {
    ($(#[$doc:meta])* $name:ident { $($(#[$words:meta])* $field:ident: $type:ty = $wire:literal $need:tt $code:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, schemars::JsonSchema)]
        #[schemars(default)]
        pub struct $name {
            $($(#[$words])* #[schemars(rename = $wire)] pub $field: $type,)*
        }

        impl $crate::api::request::Request for $name {
            fn required() -> Vec<&'static str> {
                let all: &[(&str, &'static str)] = &[$((stringify!($need), $wire)),*];
                all.iter().filter(|(need, _)| *need == "!").map(|(_, name)| *name).collect()
            }

            fn read(
                fields: &mut $crate::api::tencent::fields::Fields<'_>,
            ) -> Result<Self, $crate::api::ApiError> {
                // A request without fields does not read any.
                let _ = &fields;
                $(let $field = $crate::api::request::Field::read(fields, $wire, $code)?;)*
                Ok(Self { $($field),* })
            }
        }
    };
}
pub(crate) use request;
