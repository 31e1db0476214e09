//! The page for people, made of the `OpenAPI` document. It needs no scripts.

use std::fmt::Write;

use serde_json::Value;

use super::openapi::ERRORS;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:0;color:#1a1c20;background:#fff}\
main{max-width:60rem;margin:0 auto;padding:1rem 1.5rem 4rem}h1{margin-bottom:.25rem}\
h2{margin-top:3rem;border-bottom:1px solid #d5d8de}h3{margin:2rem 0 .25rem}h3 a{color:inherit;text-decoration:none}\
table{border-collapse:collapse;width:100%;margin:.5rem 0 1rem;display:block;overflow-x:auto}\
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #e4e6ea}\
code,pre{font:14px/1.45 ui-monospace,monospace;background:#f2f4f7;border-radius:4px;padding:.1em .3em}\
pre{padding:.75rem;overflow-x:auto}nav a{margin-right:.8rem;white-space:nowrap}\
@media(prefers-color-scheme:dark){body{color:#e4e6ea;background:#15171b}code,pre{background:#22262d}\
a{color:#8ab4ff}th,td,h2{border-color:#343944}}";

pub fn page(document: &Value) -> String {
    let mut page = String::new();
    let title = text(&document["info"]["title"]);
    let description = escaped(text(&document["info"]["description"]));
    let _written = write!(
        page,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}: server API</title><style>{STYLE}</style><main><h1>{title}: server API</h1><p>{description}</p>\
         <p>Each action is <code>POST /v1/&lt;Action&gt;</code> with a JSON object and the header \
         <code>authorization: Bearer &lt;secret id&gt;:&lt;api secret&gt;</code>. For programs: \
         <a href=\"openapi.json\">openapi.json</a> (OpenAPI 3.1).</p>"
    );
    contents(&mut page, document);
    errors(&mut page);
    for tag in list(&document["tags"]) {
        let _written = write!(page, "<h2>{}</h2>", escaped(text(&tag["description"])));
        for (path, operation) in operations(document, text(&tag["name"])) {
            action(&mut page, path, operation);
        }
    }
    page.push_str("<h2>Objects</h2>");
    for (name, schema) in fields(&document["components"]["schemas"]) {
        let _written = write!(page, "<h3 id=\"{0}\">{0}</h3><p>{1}</p>", escaped(name), words(schema));
        table(&mut page, schema, "Field");
    }
    page.push_str("</main></html>");
    page
}

fn contents(page: &mut String, document: &Value) {
    page.push_str("<nav>");
    for (path, _) in fields(&document["paths"]) {
        let name = escaped(path.rsplit('/').next().unwrap_or_default());
        let _written = write!(page, "<a href=\"#{name}\">{name}</a> ");
    }
    page.push_str("</nav>");
}

fn errors(page: &mut String) {
    page.push_str("<h2>Errors</h2><p>An error is <code>{\"error\": {\"code\", \"message\"}}</code> with one of these statuses.</p>");
    page.push_str("<table><tr><th>Status</th><th>When, and its codes</th></tr>");
    for (status, when) in ERRORS {
        let _written = write!(page, "<tr><td>{status}</td><td>{}</td></tr>", marked(when));
    }
    page.push_str("</table>");
}

fn action(page: &mut String, path: &str, operation: &Value) {
    let name = escaped(text(&operation["operationId"]));
    let summary = escaped(text(&operation["summary"]));
    let description = marked(text(&operation["description"]));
    let _written = write!(
        page,
        "<h3 id=\"{name}\"><a href=\"#{name}\">{name}</a></h3><p>{summary}</p><p><code>POST {}</code> {description}</p>",
        escaped(path)
    );
    let schema = |body: &Value| body["content"]["application/json"]["schema"].clone();
    table(page, &schema(&operation["requestBody"]), "Field of the request");
    table(page, &schema(&operation["responses"]["200"]), "Field of the answer");
}

fn table(page: &mut String, schema: &Value, heading: &str) {
    let required: Vec<&str> = list(&schema["required"]).map(text).collect();
    let _written = write!(page, "<table><tr><th>{heading}</th><th>Type</th><th></th></tr>");
    for (name, field) in fields(&schema["properties"]) {
        let need = if required.contains(&name) && heading != "Field of the answer" {
            "Required. "
        } else {
            ""
        };
        let _written = write!(
            page,
            "<tr><td><code>{}</code></td><td>{}</td><td>{need}{}</td></tr>",
            escaped(name),
            type_of(field),
            words(field)
        );
    }
    page.push_str("</table>");
}

/// The type of a field; an object is a link.
fn type_of(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = escaped(reference.rsplit('/').next().unwrap_or_default());
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    if schema["type"] == "array" {
        return format!("list of {}", type_of(&schema["items"]));
    }
    let alternatives = list(&schema["anyOf"]).filter(|one| one["type"] != "null").map(type_of);
    let types = list(&schema["type"])
        .filter(|name| *name != "null")
        .map(|name| escaped(text(name)));
    let mut all: Vec<String> = alternatives.chain(types).collect();
    if let Some(name) = schema["type"].as_str() {
        all.push(escaped(name));
    }
    all.join(" or ")
}

fn words(schema: &Value) -> String {
    marked(text(&schema["description"]))
}

fn operations<'a>(document: &'a Value, tag: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let posts = fields(&document["paths"]).map(|(path, methods)| (path, &methods["post"]));
    posts.filter(move |(_, operation)| list(&operation["tags"]).any(|name| name == tag))
}

fn fields(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Escaped, with the parts between backquotes as code.
fn marked(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let part = |(index, part): (usize, &str)| match index % 2 {
        0 => escaped(part),
        _ => format!("<code>{}</code>", escaped(part)),
    };
    parts.map(part).collect()
}
