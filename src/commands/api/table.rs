//! Rows of an answer as a table, or as lines with commas. Pure.

use serde_json::Value;

/// A column: its heading, and where its value is in a row.
#[derive(Debug, Clone)]
pub struct Column {
    heading: &'static str,
    pointer: String,
}

impl Column {
    pub fn new(heading: &'static str, pointer: &str) -> Self {
        Self {
            heading,
            pointer: pointer.to_owned(),
        }
    }

    /// The field of that name.
    pub fn of(name: &'static str) -> Self {
        Self::new(name, &format!("/{name}"))
    }

    fn cell(&self, row: &Value) -> String {
        row.pointer(&self.pointer).map(cell).unwrap_or_default()
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(is_so) => if *is_so { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Object(fields) => fields.values().map(cell).collect::<Vec<_>>().join(":"),
    }
}

/// `rows`: a list of objects.
pub fn table(rows: &Value, columns: &[Column]) -> String {
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    let headings = columns.iter().map(|column| column.heading.to_owned()).collect();
    let mut lines: Vec<Vec<String>> = vec![headings];
    for row in rows {
        lines.push(columns.iter().map(|column| printable(&column.cell(row))).collect());
    }
    let width = |index: usize| lines.iter().map(|line| line[index].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths);
        let padded: Vec<String> = cells.map(|(cell, &width)| format!("{cell:width$}")).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// RFC 4180, with a heading.
pub fn csv(rows: &Value, columns: &[Column]) -> String {
    let mut text = columns
        .iter()
        .map(|column| column.heading)
        .collect::<Vec<_>>()
        .join(",");
    text.push_str("\r\n");
    for row in rows.as_array().into_iter().flatten() {
        let cells: Vec<String> = columns.iter().map(|column| quoted(&column.cell(row))).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

fn quoted(cell: &str) -> String {
    match cell.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    }
}

/// Names come from strangers: nothing in them may control the terminal.
fn printable(cell: &str) -> String {
    cell.chars()
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn columns() -> Vec<Column> {
        vec![
            Column::of("Room"),
            Column::new("From", "/Source/Name"),
            Column::of("Tracks"),
        ]
    }

    #[test]
    fn a_table_has_its_columns_side_by_side() {
        let rows = json!([
            { "Room": "1001", "Source": { "Name": "ann" }, "Tracks": [{ "Source": "audio", "State": "on" }, "x"] },
            { "Room": "\u{1b}[2J", "Source": {}, "Tracks": null },
        ]);
        assert_eq!(
            table(&rows, &columns()),
            "Room  From  Tracks\n1001  ann   audio:on,x\n?[2J\n"
        );
        assert_eq!(table(&json!([]), &columns()), "Room  From  Tracks\n");
    }

    #[test]
    fn lines_with_commas_are_quoted_where_it_is_needed() {
        let rows = json!([{ "Room": "a,\"b\"", "Source": { "Name": 5 }, "Tracks": true }]);
        assert_eq!(csv(&rows, &columns()), "Room,From,Tracks\r\n\"a,\"\"b\"\"\",5,yes\r\n");
    }
}
