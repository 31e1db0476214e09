//! Ids and names, parsed once at the edge of the program.

mod application;
mod call;
mod random;
mod room;
mod source;
mod stream;
#[cfg(test)]
mod tests;
mod text;

pub use application::SdkAppId;
pub use call::CallId;
pub use random::{LoginId, MembershipId, MixId, SessionId};
pub use room::{RoomId, RoomKey, RoomName, RoomNumber};
pub use source::{RoomUser, Source, TrackSource};
pub use stream::{StreamKey, default_stream_id};
pub use text::{DeviceId, IdError, NodeId, OwnStreamId, RecordId, StreamId, TaskId, TextId, UserId, shortened};
