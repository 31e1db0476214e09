//! OpenH264 is built without its assembler code, and without a word, where nasm is missing: it is then two to three times slower. So that
//! is an error here.

use std::process::{Command, Stdio};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PATH");
    let target = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if !matches!(target.as_str(), "x86" | "x86_64") {
        return;
    }
    let nasm = Command::new("nasm").arg("-v").stdout(Stdio::null()).status();
    if !nasm.is_ok_and(|status| status.success()) {
        println!(
            "cargo::error=nasm is missing, without which video is coded two to three times slower: install it (apt-get install nasm), then \
             `cargo clean -p openh264-sys2`"
        );
    }
}
