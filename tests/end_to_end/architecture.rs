//! Everything that ARCHITECTURE.md names exists.

#[test]
fn every_path_that_the_architecture_names_exists() {
    let text = include_str!("../../ARCHITECTURE.md");
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

/// The chapters that walk through the code.
const WALKS: [&str; 4] = [
    "## Entering a room",
    "## Life of a packet",
    "## Life of a publish",
    "## Life of a mix",
];

#[test]
fn every_step_of_a_walk_names_its_files_and_symbols_and_each_symbol_is_in_one_of_the_files() {
    let text = include_str!("../../ARCHITECTURE.md");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    for (chapter, paragraph) in WALKS.iter().flat_map(|title| paragraphs(section(text, title))) {
        let quoted: Vec<&str> = paragraph.split('`').skip(1).step_by(2).collect();
        let sources: Vec<String> = quoted
            .iter()
            .filter(|name| name.ends_with(".rs"))
            .map(|name| std::fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}")))
            .collect();
        let symbols = symbols(&paragraph);
        if chapter == Paragraph::Step {
            assert!(
                !sources.is_empty() && !symbols.is_empty(),
                "a step without code: {paragraph}"
            );
        }
        for name in symbols {
            for part in name.split("::") {
                let is_there = sources.iter().any(|source| defines(source, part));
                assert!(is_there, "{name} is not defined in the files of its step: {paragraph}");
                checked += 1;
            }
        }
    }
    assert!(checked > 90, "{checked}");
}

/// In the glossary, types stand in the last column.
#[test]
fn every_type_of_the_glossary_exists() {
    let text = include_str!("../../ARCHITECTURE.md");
    let source = all_sources();
    let rows = section(text, "## Glossary")
        .lines()
        .filter(|line| line.starts_with("| "));
    let mut checked = 0;
    for row in rows.skip(2) {
        let last = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        for name in symbols(last).into_iter().filter(|name| !name.starts_with("str0m::")) {
            assert!(defines(&source, name), "{name} is named but not defined");
            checked += 1;
        }
    }
    assert!(checked > 25, "{checked}");
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paragraph {
    /// It begins with a number.
    Step,
    Text,
}

/// The numbered steps of a chapter, and the text between them.
fn paragraphs(chapter: &str) -> Vec<(Paragraph, String)> {
    let mut all: Vec<(Paragraph, String)> = Vec::new();
    let mut is_open = false;
    for line in chapter.lines().skip(1) {
        let number = line.split_once(". ").map(|(number, _)| number);
        let is_step = number.is_some_and(|number| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()));
        if line.is_empty() {
            is_open = false;
        } else if is_step || !is_open {
            let kind = if is_step { Paragraph::Step } else { Paragraph::Text };
            all.push((kind, line.to_owned()));
            is_open = true;
        } else if let Some((_, last)) = all.last_mut() {
            last.push('\n');
            last.push_str(line);
        }
    }
    all
}

/// Whether a source has a definition of this name: a function, a type or a variant.
fn defines(source: &str, symbol: &str) -> bool {
    let ends = |after: &str| !after.starts_with(|next: char| next.is_alphanumeric() || next == '_');
    let kinds = ["fn", "struct", "enum", "trait", "type", "const"];
    let is_defined = kinds.iter().any(|kind| {
        let start = format!("{kind} {symbol}");
        source
            .match_indices(&start)
            .any(|(at, _)| ends(&source[at + start.len()..]))
    });
    // A variant stands alone on its line, with or without values. The ids of `proto/src/ids/text.rs` are arguments of a macro.
    let is_variant = source.lines().map(str::trim).any(|line| {
        line.strip_prefix(symbol).is_some_and(|rest| {
            let is_whole = rest == "," || rest == " {" || rest.starts_with('(');
            is_whole || rest.starts_with(" {") && rest.ends_with("},") || rest.starts_with(", max ")
        })
    });
    is_defined || is_variant
}

/// The text from a title to the next one of the same level.
fn section<'a>(text: &'a str, title: &str) -> &'a str {
    let (_, after) = text.split_once(title).unwrap_or_else(|| panic!("no {title}"));
    after.split("\n## ").next().unwrap_or(after)
}

/// Requests of clients and backends, and other crates.
const OF_THE_PROTOCOL: [&str; 7] = [
    "str0m",
    "login",
    "enterRoom",
    "connect",
    "publish",
    "StartMCUMixTranscode",
    "StopMCUMixTranscode",
];

/// Names in backquotes that are not paths, settings, requests or other crates.
fn symbols(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_symbol = |name: &&str| !name.contains('/') && !name.contains('.') && !OF_THE_PROTOCOL.contains(name);
    quoted.filter(is_symbol).collect()
}

/// The sources of the program and of all its crates, concatenated.
fn all_sources() -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let crates = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let crates = crates.filter(|folder| folder.join("Cargo.toml").exists() && !folder.ends_with("fuzz"));
    let mut folders: Vec<_> = crates.chain([root.to_owned()]).map(|part| part.join("src")).collect();
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
    let made: std::collections::BTreeSet<String> = metrics_of(&all_sources()).into_iter().collect();
    let document = include_str!("../../docs/metrics.md");
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
