//! What forwarding reads and writes on the wire itself; the rest is `str0m`'s.

pub mod descriptor;
pub mod picture_height;
pub mod red;
pub mod rtcp;
pub mod rtp;
