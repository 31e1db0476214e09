//! Members and tracks of one room, for tests.

use rotunda_proto::ids::{RoomKey, RoomUser, Source, TrackSource};

pub fn room() -> RoomKey {
    RoomKey {
        app: 1.try_into().unwrap(),
        room: "1".parse().unwrap(),
    }
}

pub fn member(name: &str) -> RoomUser {
    RoomUser {
        room: room(),
        user: name.parse().unwrap(),
    }
}

pub fn camera(name: &str) -> Source {
    member(name).track(TrackSource::Camera)
}
