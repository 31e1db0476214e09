//! How the descriptor gets through `str0m`, which does not know it.

use str0m::rtp::{ExtensionSerializer, ExtensionValues};

pub const URI: &str = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/// The extension's bytes, as on the wire, among a packet's extension values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried(pub Vec<u8>);

/// Takes the bytes as they are: what they mean depends on packets before.
#[derive(Debug)]
pub struct DependencyExtension;

impl ExtensionSerializer for DependencyExtension {
    fn write_to(&self, buffer: &mut [u8], values: &ExtensionValues) -> usize {
        let Some(Carried(bytes)) = values.user_values.get() else {
            return 0;
        };
        let Some(place) = buffer.get_mut(..bytes.len()) else {
            return 0;
        };
        place.copy_from_slice(bytes);
        bytes.len()
    }

    fn parse_value(&self, bytes: &[u8], values: &mut ExtensionValues) -> bool {
        values.user_values.set(Carried(bytes.to_vec()));
        true
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        false
    }

    /// A structure is longer than the 16 bytes of the one-byte form (RFC 8285 §4.2).
    fn requires_two_byte_form(&self, values: &ExtensionValues) -> bool {
        values
            .user_values
            .get()
            .is_some_and(|Carried(bytes)| bytes.is_empty() || bytes.len() > 16)
    }
}
