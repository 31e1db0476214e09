//! The membership of a source without WebRTC: entering, and a seat with the first media of each track.

use rotunda_client::{Entry, JoinError, Member, Received};
use rotunda_proto::ids::TrackSource;

/// A track that takes its seat with the first media.
#[derive(Debug)]
pub struct Seat {
    source: TrackSource,
    is_taken: bool,
}

impl Seat {
    pub fn new(source: TrackSource) -> Self {
        Self {
            source,
            is_taken: false,
        }
    }

    pub async fn take(&mut self, member: &mut Member) -> Result<(), JoinError> {
        if !self.is_taken {
            member.publish(self.source).await?;
            self.is_taken = true;
        }
        Ok(())
    }
}

/// Enters the room and connects.
pub async fn enter(entry: Entry) -> Result<Member, JoinError> {
    let mut member = Member::enter(entry).await?;
    while !matches!(member.next().await?, Received::Connected) {}
    Ok(member)
}
