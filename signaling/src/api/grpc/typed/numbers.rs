//! The numbers of fields, as the published file has them. Pure.

use std::collections::BTreeMap;

/// Field numbers by message and field. A field that is not published gets the next number of its message.
#[derive(Debug, Default)]
pub struct Numbers {
    messages: BTreeMap<String, BTreeMap<String, i32>>,
}

impl Numbers {
    /// `proto`: a file as [`text`](super::text) writes it.
    pub fn of(proto: &str) -> Self {
        let mut messages: BTreeMap<String, BTreeMap<String, i32>> = BTreeMap::new();
        let mut current = None;
        for line in proto.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("message ") {
                let name = name.trim_end_matches([' ', '{', '}']);
                current = Some(messages.entry(name.to_owned()).or_default());
            } else if let (Some(fields), Some((name, number))) = (&mut current, field(line)) {
                fields.insert(name.to_owned(), number);
            }
        }
        Self { messages }
    }

    /// The numbers of a message's fields, in their order.
    pub fn for_fields(&self, message: &str, fields: &[String]) -> Vec<i32> {
        let known = self.messages.get(message);
        let mut next = known.and_then(|known| known.values().max()).map_or(1, |most| most + 1);
        let number = |field: &String| match known.and_then(|known| known.get(field)) {
            Some(number) => *number,
            None => {
                next += 1;
                next - 1
            }
        };
        fields.iter().map(number).collect()
    }
}

/// Of a line `optional string user_id = 3 [json_name = "UserId"];`.
fn field(line: &str) -> Option<(&str, i32)> {
    let (declared, rest) = line.split_once(" = ")?;
    let name = declared.rsplit(' ').next()?;
    let number = rest.split([' ', ';']).next()?.parse().ok()?;
    Some((name, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers_stay_and_new_fields_get_the_next_ones() {
        let numbers = Numbers::of(
            "// Words.\nmessage Room {\n  // Its name.\n  optional string name = 2 [json_name = \"Name\"];\n  \
             repeated Member members = 5 [json_name = \"Members\"];\n}\nmessage Member {}\n",
        );
        let fields = ["members", "created", "name", "owner"].map(str::to_owned);
        assert_eq!(numbers.for_fields("Room", &fields), [5, 6, 2, 7]);
        assert_eq!(numbers.for_fields("Member", &fields), [1, 2, 3, 4]);
        assert_eq!(numbers.for_fields("Other", &fields[..1]), [1]);
    }
}
