//! Makes a placeholder page when the web pages have not been built, so that the binary has something to embed.

use std::path::Path;

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=web/dist");
    let dist = Path::new("web/dist");
    if !dist.join("index.html").exists() {
        std::fs::create_dir_all(dist)?;
        std::fs::write(
            dist.join("index.html"),
            "<!doctype html><title>Rotunda</title><p>The pages are not built: run <code>make web</code> and build again.\n",
        )?;
    }
    Ok(())
}
