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
