//! Who speaks in a room, and who is heard.

pub mod loudest;
pub mod speakers;
