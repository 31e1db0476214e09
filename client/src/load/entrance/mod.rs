//! How a member with media gets in, learns that it is out, and leaves: by our signaling, by WHIP and WHEP, or by Janus's
//! API. What it sends and counts is the same each time.

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

/// Who gets in, and where.
pub struct Entry<'a> {
    pub entrance: &'a Entrance,
    /// For WHIP and WHEP; of this thread.
    pub http: &'a reqwest::Client,
    /// Our address on the way to the server.
    pub local: IpAddr,
    pub app: SdkAppId,
    pub member: Member,
    /// Proves who the member is: a UserSig, or what else the server takes as bearer token.
    pub ticket: String,
    pub part: Part,
    /// Whether publishers publish sound.
    pub sound: bool,
}

impl Entry<'_> {
    /// Gets the member in. `local`: its UDP socket's address as the server sees it.
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

/// A member's being in, as the server knows it beside media.
pub enum Presence {
    Signaling(Box<SignalingClient>),
    Whip(WhipSession),
    Janus(Box<JanusClient>),
}

impl Presence {
    /// Resolves when the server ends the stay. `routine`: by our signaling alone.
    pub async fn lost(&mut self, routine: Option<&Routine>) -> JoinError {
        match self {
            Self::Signaling(client) => signaling::lost(client, routine).await,
            // Neither WHIP nor WHEP tells; media does.
            Self::Whip(_) => std::future::pending().await,
            Self::Janus(client) => client.lost().await.into(),
        }
    }

    /// Says goodbye; a server that does not listen any more is no failure.
    pub async fn leave(self) {
        match self {
            Self::Signaling(client) => signaling::leave(*client).await,
            Self::Whip(session) => session.delete().await,
            Self::Janus(client) => client.destroy().await,
        }
    }
}
