//! What forwarding reads and writes on the wire itself; the rest is `str0m`'s.

pub mod dependency;
pub mod descriptor;
pub mod layers;
pub mod picture_height;
pub mod red;
pub mod rtcp;
pub mod rtp;
pub mod stun;
