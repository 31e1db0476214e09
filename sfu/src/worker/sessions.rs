//! The sessions of a worker, and how a datagram or a command finds one.

use std::net::SocketAddr;

use foldhash::{HashMap, HashMapExt};
use rotunda_proto::ids::SessionId;

use crate::session::Session;
use crate::slab::{SessionIndex, Slab};

pub struct Sessions {
    slab: Slab<SessionIndex, Session>,
    by_id: HashMap<SessionId, SessionIndex>,
    /// Only addresses that have been proved by an authentic ICE check.
    by_address: HashMap<SocketAddr, SessionIndex>,
    /// By the name that a peer uses in its ICE checks.
    by_ice_name: HashMap<String, SessionIndex>,
}

impl Sessions {
    pub fn new() -> Self {
        Self {
            slab: Slab::default(),
            by_id: HashMap::new(),
            by_address: HashMap::new(),
            by_ice_name: HashMap::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    #[inline]
    pub fn get(&self, index: SessionIndex) -> Option<&Session> {
        self.slab.get(index)
    }

    #[inline]
    pub fn get_mut(&mut self, index: SessionIndex) -> Option<&mut Session> {
        self.slab.get_mut(index)
    }

    pub fn with_id(&self, id: SessionId) -> Option<SessionIndex> {
        self.by_id.get(&id).copied()
    }

    #[inline]
    pub fn at_address(&self, address: SocketAddr) -> Option<SessionIndex> {
        self.by_address.get(&address).copied()
    }

    pub fn with_ice_name(&self, name: &str) -> Option<SessionIndex> {
        self.by_ice_name.get(name).copied()
    }

    /// There must be none of the same id.
    pub fn insert(&mut self, mut session: Session) -> SessionIndex {
        let (id, name) = (session.id(), session.transport.ice_name());
        let index = self.slab.insert(session);
        self.by_id.insert(id, index);
        self.by_ice_name.insert(name, index);
        index
    }

    /// Takes a session out, with all that leads to it.
    pub fn remove(&mut self, index: SessionIndex) -> Option<Session> {
        let mut session = self.slab.remove(index)?;
        self.by_id.remove(&session.id());
        for address in session.transport.addresses() {
            self.forget_address(address, index);
        }
        self.by_ice_name.remove(&session.transport.ice_name());
        Some(session)
    }

    /// Runs `change` on a session whose ICE name changes by it.
    pub fn rename<R>(&mut self, index: SessionIndex, change: impl FnOnce(&mut Session) -> R) -> Option<R> {
        let session = self.slab.get_mut(index)?;
        let before = session.transport.ice_name();
        let result = change(session);
        let after = session.transport.ice_name();
        self.by_ice_name.remove(&before);
        self.by_ice_name.insert(after, index);
        Some(result)
    }

    /// The session's peer has proved to be at this address.
    pub fn learn_address(&mut self, index: SessionIndex, address: SocketAddr) {
        if self.by_address.insert(address, index) == Some(index) {
            return;
        }
        let forgotten = self
            .slab
            .get_mut(index)
            .and_then(|session| session.transport.add_address(address));
        if let Some(oldest) = forgotten {
            self.forget_address(oldest, index);
        }
    }

    /// Another session may have come to the address since.
    fn forget_address(&mut self, address: SocketAddr, index: SessionIndex) {
        if self.by_address.get(&address) == Some(&index) {
            self.by_address.remove(&address);
        }
    }

    #[cfg(test)]
    pub fn remembered(&self) -> [(&'static str, usize); 4] {
        [
            ("sessions", self.slab.count()),
            ("ids", self.by_id.len()),
            ("addresses", self.by_address.len()),
            ("names", self.by_ice_name.len()),
        ]
    }

    /// Entries, free ones included.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.slab.capacity()
    }
}
