//! Cameras in a Rotunda room: a C library with the interface of the `iv_avt` module. `docs/device.md` tells how it works.
//!
//! | module | subject |
//! | --- | --- |
//! | [`abi`] | the types of the C interface |
//! | `ffi_avt`, `ffi_sys` | its functions |
//! | `instance` | the one instance: threads, and what any thread may ask |
//! | `engine`, `visitors`, `mailbox` | the device's task, who is there, their messages |
//! | `requests`, `talk`, `download` | the requests of viewers |
//! | `member`, `relay`, `direct` | the device's members of the room, streams through the server and past it |
//! | `session`, `transport`, `ice_servers` | WebRTC without sockets, the sockets, STUN and TURN servers |
//! | `streams`, `pipe`, `timeline`, `access_unit`, `audio` | from the program's frames to the network's |
//! | `message`, `protocol` | messages between device and viewers |
//! | `calls` | the program's callbacks, on a thread of their own |

pub mod abi;
mod access_unit;
mod audio;
mod calls;
mod direct;
mod download;
mod engine;
mod ffi_avt;
mod ffi_sys;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod ice_servers;
mod instance;
mod log;
mod mailbox;
mod member;
mod message;
mod pipe;
mod protocol;
mod relay;
mod reply;
mod requests;
mod session;
mod settings;
mod streams;
mod talk;
mod timeline;
mod transport;
mod visitors;
