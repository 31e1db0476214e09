//! The waiting room of a room: pure changes of its document ([`list`]), the same on the bus ([`changes`]), and the passes of admitted
//! users ([`pass`]). The users of this node who wait are in the room's task ([`room`](crate::room)).

pub mod changes;
pub mod list;
pub mod pass;

pub use changes::{AnswerBy, Whom};
pub use pass::{Pass, PassKey};
