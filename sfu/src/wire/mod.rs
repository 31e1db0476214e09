//! Wire formats that forwarding reads and writes itself; `str0m` does the rest.

pub mod dependency;
pub mod descriptor;
pub mod frame_height;
pub mod layers;
pub mod red;
pub mod rtcp;
pub mod rtp;
pub mod srtp;
pub mod stun;
