//! How a member with media joins, learns that its membership has ended, and leaves: by Rotunda's signaling, by WHIP
//! and WHEP, or by Janus's API. The packets that it sends and counts are the same each time.

mod janus;
mod signaling;
mod whip;

use std::net::{IpAddr, SocketAddr};

use rotunda_proto::ids::SdkAppId;

use super::plan::{Entrance, Member};
use super::rtp_session::{Part, RtpSession};
use crate::{JoinError, SignalingClient};
pub use janus::{JanusClient, JanusError};
pub use signaling::Routine;
pub use whip::{WhipError, WhipSession};

/// The parameters with which a member joins.
pub struct Entry<'a> {
    pub entrance: &'a Entrance,
    /// For WHIP and WHEP; shared by the members of this thread.
    pub http: &'a reqwest::Client,
    /// The local address that leads to the server.
    pub local: IpAddr,
    pub app: SdkAppId,
    pub member: Member,
    /// Authenticates the member: a UserSig, or another bearer token that the server accepts.
    pub ticket: String,
    pub part: Part,
    /// Whether publishers publish audio.
    pub audio: bool,
}

impl Entry<'_> {
    /// Lets the member join. `local`: its UDP socket's address as the server sees it.
    pub async fn enter(self, local: SocketAddr) -> Result<(Presence, RtpSession), JoinError> {
        match self.entrance {
            Entrance::Signaling { url } => {
                let (client, session) = signaling::enter(&self, url, local).await?;
                Ok((Presence::Signaling(Box::new(client)), session))
            }
            Entrance::Whip { whip, whep } => {
                let (client, session) = whip::enter(&self, whip, whep, local).await?;
                Ok((Presence::Whip(client), session))
            }
            Entrance::Janus { url } => {
                let (client, session) = janus::enter(&self, url, local).await?;
                Ok((Presence::Janus(Box::new(client)), session))
            }
        }
    }
}

/// A member's membership on the server, apart from its media.
pub enum Presence {
    Signaling(Box<SignalingClient>),
    Whip(WhipSession),
    Janus(Box<JanusClient>),
}

impl Presence {
    /// Resolves when the server ends the membership. `routine`: only with Rotunda's signaling.
    pub async fn lost(&mut self, routine: Option<&Routine>) -> JoinError {
        match self {
            Self::Signaling(client) => signaling::lost(client, routine).await,
            // WHIP and WHEP send no notification; only the media ends.
            Self::Whip(_) => std::future::pending().await,
            Self::Janus(client) => client.lost().await.into(),
        }
    }

    /// Says goodbye; a server that no longer answers is not an error.
    pub async fn leave(self) {
        match self {
            Self::Signaling(client) => signaling::leave(*client).await,
            Self::Whip(session) => session.delete().await,
            Self::Janus(client) => client.destroy().await,
        }
    }
}
