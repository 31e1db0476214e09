//! Runs the saved inputs of a crate's targets, as a test module of its `fuzzing`.

use std::path::Path;

use super::TARGETS;

#[test]
fn every_saved_input_is_processed_without_a_panic() {
    for (name, target) in TARGETS {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
        let mut inputs = 0;
        for entry in std::fs::read_dir(&corpus).unwrap() {
            target(&std::fs::read(entry.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "no input in {}", corpus.display());
    }
}
