//! What ARCHITECTURE.md names exists.

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
        assert!(root.join(name).exists(), "{name} is named and does not exist");
    }
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

/// The names with which a source file counts.
fn metrics_of(source: &str) -> Vec<String> {
    let macros = ["counter!(", "gauge!(", "histogram!("];
    let after = macros.iter().flat_map(|name| source.split(name).skip(1));
    after
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .filter(|name| name.starts_with("rotunda_"))
        .map(str::to_owned)
        .collect()
}
