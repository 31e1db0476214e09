//! The gRPC interface of the public API, generated from `rotunda/v1/*.proto`.

/// `rotunda.v1`.
#[expect(clippy::allow_attributes, reason = "the generator writes `allow`")]
pub mod v1 {
    tonic::include_proto!("rotunda.v1");

    /// For server reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("rotunda_v1");
}
