//! The active speakers of a room, and the speakers who are heard.

pub mod loudest;
pub mod speakers;
