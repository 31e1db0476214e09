fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    tonic_prost_build::configure()
        .file_descriptor_set_path(out.join("rotunda_v1.bin"))
        .compile_protos(
            &[
                "rotunda/v1/mix.proto",
                "rotunda/v1/room.proto",
                "rotunda/v1/action.proto",
            ],
            &["."],
        )?;
    Ok(())
}
