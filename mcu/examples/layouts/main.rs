//! Renders the images of `docs/layouts.md`: `cargo run -p rotunda-mcu --example layouts -- docs/layouts`.

mod pictures;

use std::error::Error;
use std::path::PathBuf;

use pictures::{COUNTS, TEMPLATES, name, render};
use rotunda_media::picture::to_png;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("name the folder for the files")?);
    std::fs::create_dir_all(&folder)?;
    for template in TEMPLATES {
        for count in COUNTS {
            let frame = render(template, count)?;
            std::fs::write(folder.join(name(template, count)), to_png(&frame)?)?;
        }
    }
    Ok(())
}
