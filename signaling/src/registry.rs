//! The logins of this node: the newest of each user, and its resume token.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::RngCore;
use rotunda_proto::ids::{LoginId, SdkAppId, UserId};
use rotunda_proto::signaling::KickReason;
use subtle::ConstantTimeEq;
use tokio::sync::{Notify, mpsc};

use crate::member::ToMember;

#[derive(Default)]
pub struct Registry {
    logins: Mutex<HashMap<(SdkAppId, UserId), Login>>,
    /// Notified when a login could not be published to the other nodes.
    pub untold: Notify,
}

/// A member task's address.
#[derive(Clone)]
pub struct Login {
    pub id: LoginId,
    pub token: String,
    pub member: mpsc::Sender<ToMember>,
    pub told: Told,
}

/// Whether the other nodes know of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    NotYet,
    Told,
    /// They knew it until this node was declared dead.
    Forgotten,
}

/// A user's newest login on this node.
pub struct UserLogin {
    pub app: SdkAppId,
    pub user: UserId,
    pub login: Login,
}

/// 128 random bits in hex, which cannot be guessed.
pub fn random_token() -> String {
    let mut random = [0; 16];
    rand::rng().fill_bytes(&mut random);
    hex::encode(random)
}

impl Registry {
    /// The login that a resume token belongs to.
    pub fn resume(&self, app: SdkAppId, user: &UserId, token: &str) -> Option<Login> {
        let logins = self.logins();
        let login = logins.get(&(app, user.clone()))?;
        let same: bool = login.token.as_bytes().ct_eq(token.as_bytes()).into();
        (same && !login.member.is_closed()).then(|| login.clone())
    }

    /// The user's newest login on this node.
    pub fn login(&self, app: SdkAppId, user: &UserId) -> Option<Login> {
        self.logins().get(&(app, user.clone())).cloned()
    }

    /// The task of the user's newest login on this node.
    pub fn find(&self, app: SdkAppId, user: &UserId) -> Option<mpsc::Sender<ToMember>> {
        let logins = self.logins();
        logins.get(&(app, user.clone())).map(|login| login.member.clone())
    }

    /// Makes this login the user's newest. Notifies and ends the previous one, and waits until it has left its room.
    pub async fn take_over(&self, app: SdkAppId, user: &UserId, login: Login) {
        if let Some(before) = self.replace(app, user, login)
            && before.member.send(ToMember::Kick(KickReason::Kick)).await.is_ok()
        {
            before.member.closed().await;
        }
    }

    fn replace(&self, app: SdkAppId, user: &UserId, login: Login) -> Option<Login> {
        self.logins().insert((app, user.clone()), login)
    }

    /// Forgets an ended login, unless a newer one has taken its place.
    pub fn remove(&self, app: SdkAppId, user: &UserId, token: &str) {
        let mut logins = self.logins();
        let key = (app, user.clone());
        if logins.get(&key).is_some_and(|login| login.token == token) {
            logins.remove(&key);
        }
    }

    pub fn set_told(&self, app: SdkAppId, user: &UserId, id: LoginId, told: Told) {
        let mut logins = self.logins();
        if let Some(login) = logins.get_mut(&(app, user.clone())).filter(|login| login.id == id) {
            login.told = told;
        }
    }

    pub fn all(&self) -> Vec<UserLogin> {
        let logins = self.logins();
        let one = |((app, user), login): (&(SdkAppId, UserId), &Login)| UserLogin {
            app: *app,
            user: user.clone(),
            login: login.clone(),
        };
        logins.iter().map(one).collect()
    }

    fn logins(&self) -> MutexGuard<'_, HashMap<(SdkAppId, UserId), Login>> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
