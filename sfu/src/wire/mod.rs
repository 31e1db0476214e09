//! What forwarding reads and writes on the wire itself; the rest is `str0m`'s.

pub mod dependency;
pub mod descriptor;
pub mod frame_height;
pub mod layers;
pub mod red;
pub mod rtcp;
pub mod rtp;
pub mod srtp;
pub mod stun;
