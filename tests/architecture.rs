//! Everything that ARCHITECTURE.md names exists.

#[test]
fn every_path_that_the_architecture_names_exists() {
    let text = include_str!("../ARCHITECTURE.md");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let named: Vec<&str> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.contains('/'))
        .collect();
    assert!(named.len() > 10, "the document names its paths in backquotes");
    for name in named {
        assert!(root.join(name).exists(), "{name} is named but does not exist");
    }
}

/// In "Life of a packet" and "Life of a publish" a symbol is beside the file that defines it; in the glossary, types
/// are in the last column.
#[test]
fn every_symbol_that_the_architecture_names_exists() {
    let text = include_str!("../ARCHITECTURE.md");
    let source = all_sources();
    let names: Vec<&str> = ["## Life of a packet", "## Life of a publish"]
        .iter()
        .flat_map(|title| symbols(section(text, title)))
        .chain(
            section(text, "## Glossary")
                .lines()
                .filter(|line| line.starts_with("| "))
                .skip(2)
                .flat_map(|line| {
                    let last = line.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
                    symbols(last)
                }),
        )
        .collect();
    assert!(names.len() > 60, "{names:?}");
    for name in names {
        let symbol = name.rsplit("::").next().unwrap_or(name);
        let is_foreign = name.starts_with("str0m::");
        let kinds = ["fn", "struct", "enum", "trait", "type"];
        let is_defined = kinds.iter().any(|kind| {
            let start = format!("{kind} {symbol}");
            let after = source
                .match_indices(&start)
                .filter_map(|(at, _)| source[at + start.len()..].chars().next());
            let mut after = after;
            after.any(|next| !next.is_alphanumeric() && next != '_')
        });
        let is_variant = source.contains(&format!("{symbol} {{")) || source.contains(&format!("{symbol},"));
        assert!(
            is_foreign || is_defined || is_variant,
            "{name} is named but not defined"
        );
    }
}

/// The text from a title to the next one of the same level.
fn section<'a>(text: &'a str, title: &str) -> &'a str {
    let (_, after) = text.split_once(title).unwrap_or_else(|| panic!("no {title}"));
    after.split("\n## ").next().unwrap_or(after)
}

/// Names in backquotes that are not paths, settings or other crates.
fn symbols(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_symbol = |name: &&str| !name.contains('/') && !name.contains('.') && *name != "str0m" && *name != "publish";
    quoted.filter(is_symbol).collect()
}

/// The sources of all crates, concatenated.
fn all_sources() -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<_> = [
        "client",
        "live",
        "mcu",
        "media",
        "proto",
        "recorder",
        "sfu",
        "signaling",
    ]
    .map(|part| root.join(part).join("src"))
    .into();
    let mut all = String::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                all.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    all
}

#[test]
fn every_metric_is_in_its_document_and_no_other_is() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut made = std::collections::BTreeSet::new();
    for part in [
        "client",
        "listen",
        "live",
        "mcu",
        "media",
        "proto",
        "recorder",
        "sfu",
        "signaling",
        ".",
    ] {
        let mut folders = vec![root.join(part).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "rs") {
                    let source = std::fs::read_to_string(path).unwrap();
                    made.extend(metrics_of(&source));
                }
            }
        }
    }
    let document = include_str!("../docs/metrics.md");
    let named = document.split('`').skip(1).step_by(2);
    let named = named.map(|name| name.split('{').next().unwrap_or(name).to_owned());
    let named: std::collections::BTreeSet<String> = named.filter(|name| name.starts_with("rotunda_")).collect();
    assert!(made.len() > 30, "{made:?}");
    assert_eq!(made, named);
}

/// The names of the metrics in a source file.
fn metrics_of(source: &str) -> Vec<String> {
    let macros = ["counter!(", "gauge!(", "histogram!("];
    let after = macros.iter().flat_map(|name| source.split(name).skip(1));
    after
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .filter(|name| name.starts_with("rotunda_"))
        .map(str::to_owned)
        .collect()
}
