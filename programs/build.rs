fn main() -> Result<(), Box<dyn std::error::Error>> {
    tonic_prost_build::configure()
        .bytes(".")
        .compile_protos(&["rotunda/internal/v1/programs.proto"], &["."])?;
    Ok(())
}
