use rotunda_proto::ids::{RoomKey, TrackSource};
use rotunda_proto::room::Permissions;
use rotunda_proto::room_ticket::Rights;
use rotunda_store::{Restriction, RestrictionKind, RestrictionLimit, Store};

use crate::{app, at, on_both};

on_both!(
    a_restriction_lasts_until_its_end_or_until_it_is_lifted,
    a_later_restriction_takes_the_place_of_one_of_its_kind,
);

fn restriction(name: &str, limit: RestrictionLimit, until: Option<u64>) -> Restriction {
    Restriction {
        room: RoomKey {
            app: app(7),
            room: name.parse().unwrap(),
        },
        user: Some("ann".parse().unwrap()),
        limit,
        until: until.map(at),
        created: at(10),
        created_by: "AKID".to_owned(),
    }
}

fn muted() -> RestrictionLimit {
    RestrictionLimit::Media(Rights::of(&Permissions {
        send: [].into(),
        receive: TrackSource::ALL.into(),
    }))
}

async fn a_restriction_lasts_until_its_end_or_until_it_is_lifted(store: &Store) {
    let before = store.restrictions_revision().await.unwrap();
    let entry = restriction("text:1", RestrictionLimit::Entry, Some(20));
    let everybody = Restriction {
        user: None,
        until: None,
        ..restriction("1", muted(), None)
    };
    store.restrict(&entry).await.unwrap();
    store.restrict(&everybody).await.unwrap();
    let all = store.restrictions(at(19)).await.unwrap();
    assert_eq!(all.len(), 2);
    assert!(all.contains(&entry) && all.contains(&everybody));
    assert_eq!(
        store.restrictions(at(20)).await.unwrap(),
        std::slice::from_ref(&everybody)
    );
    assert_eq!(store.restrictions_of(app(7), at(19)).await.unwrap(), 2);
    assert_eq!(store.restrictions_of(app(8), at(19)).await.unwrap(), 0);
    let revision = store.restrictions_revision().await.unwrap();
    assert!(revision > before);
    let room = &everybody.room;
    assert!(
        !store
            .lift_restriction(room, None, RestrictionKind::Entry)
            .await
            .unwrap()
    );
    assert!(
        store
            .lift_restriction(room, None, RestrictionKind::Media)
            .await
            .unwrap()
    );
    assert!(
        !store
            .lift_restriction(room, None, RestrictionKind::Media)
            .await
            .unwrap()
    );
    assert!(store.restrictions_revision().await.unwrap() > revision);
    let ann = "ann".parse().unwrap();
    assert!(
        store
            .lift_restriction(&entry.room, Some(&ann), RestrictionKind::Entry)
            .await
            .unwrap()
    );
    assert!(store.restrictions(at(0)).await.unwrap().is_empty());
}

async fn a_later_restriction_takes_the_place_of_one_of_its_kind(store: &Store) {
    store.restrict(&restriction("9", muted(), Some(11))).await.unwrap();
    store
        .restrict(&restriction("9", RestrictionLimit::Entry, Some(30)))
        .await
        .unwrap();
    let longer = Restriction {
        created: at(12),
        created_by: "other".to_owned(),
        ..restriction("9", muted(), Some(40))
    };
    store.restrict(&longer).await.unwrap();
    let all = store.restrictions(at(12)).await.unwrap();
    let of_room: Vec<_> = all.into_iter().filter(|one| one.room == longer.room).collect();
    assert_eq!(of_room, [restriction("9", RestrictionLimit::Entry, Some(30)), longer]);
}
