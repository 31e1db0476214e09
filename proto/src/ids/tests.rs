use super::*;

#[test]
fn a_numeric_room_and_a_text_room_of_the_same_digits_differ() {
    let number: RoomId = serde_json::from_str("123").unwrap();
    let name: RoomId = serde_json::from_str("\"123\"").unwrap();
    assert_ne!(number, name);
    let app = SdkAppId::try_from(1).unwrap();
    assert_eq!(RoomKey { app, room: number }.token(), "1.n123");
    assert_eq!(RoomKey { app, room: name }.token(), "1.s313233");
}

#[test]
fn a_room_is_read_back_from_its_token() {
    for room in ["1001", "text:1001", "class-1", "a b!", "~"] {
        let key = RoomKey {
            app: 1_400_000_001.try_into().unwrap(),
            room: room.parse().unwrap(),
        };
        assert_eq!(RoomKey::from_token(&key.token()), Some(key));
    }
    for wrong in ["", "1", "1.", "1.x5", "1.n", "1.n0", "1.s6", "1.sé0", "x.n1", "0.n1"] {
        assert_eq!(RoomKey::from_token(wrong), None, "{wrong}");
    }
}

#[test]
fn the_same_name_of_two_applications_is_two_streams() {
    let stream = |app: u32| StreamKey {
        app: app.try_into().unwrap(),
        id: "film".parse().unwrap(),
    };
    assert_ne!(stream(1).token(), stream(2).token());
    assert_eq!(StreamKey::from_token(&stream(1).token()), Some(stream(1)));
    assert_eq!(stream(1).to_string().parse(), Ok(stream(1)));
    for wrong in ["film", "0.film", "1.", "x.film", "1.a.b"] {
        assert_eq!(StreamKey::from_token(wrong), None, "{wrong}");
    }
}

#[test]
fn ids_outside_their_rule_are_refused() {
    assert_eq!("".parse::<UserId>(), Err(IdError::Empty));
    assert_eq!("a b".parse::<UserId>(), Err(IdError::Character));
    assert_eq!("x".repeat(33).parse::<UserId>(), Err(IdError::TooLong(32)));
    assert_eq!("a\nTLS.time:0".parse::<UserId>(), Err(IdError::Character));
    assert_eq!(RoomNumber::try_from(4_294_967_295), Err(IdError::Range));
    assert!(serde_json::from_str::<RoomId>("0").is_err());
    assert!(serde_json::from_str::<SdkAppId>("0").is_err());
}

#[test]
fn a_refusal_of_a_json_value_says_what_is_allowed_and_shows_the_value_shortened() {
    let room = |json: &str| serde_json::from_str::<RoomId>(json).unwrap_err().to_string();
    for (json, shown) in [
        ("0", "not 0"),
        ("-5", "not -5"),
        ("4294967295", "not 4294967295"),
        ("1.5", "not 1.5"),
        ("99999999999999999999", "not 100000000000000000000"),
        ("\"\"", "not \"\""),
        ("\"a/b\"", "not \"a/b\""),
        ("\"a\\nb\"", "not \"a\\nb\""),
        ("true", "boolean `true`"),
        ("null", "null"),
        ("[1]", "sequence"),
    ] {
        let refusal = room(json);
        assert!(
            refusal.contains("a number from 1 to 4294967294, or a text of 1 to 64"),
            "{refusal}"
        );
        assert!(refusal.contains(shown), "{refusal}");
    }
    let long = room(&format!("\"{}\"", "é".repeat(10_000)));
    assert!(long.contains(&format!("not \"{}\"…", "é".repeat(40))), "{long}");
    let user = serde_json::from_str::<UserId>("\"a b\"").unwrap_err().to_string();
    assert!(
        user.starts_with("write a text of 1 to 32 letters, digits, _ and -, not \"a b\""),
        "{user}"
    );
    let app = |json: &str| serde_json::from_str::<SdkAppId>(json).unwrap_err().to_string();
    for json in ["0", "-1", "4294967296", "\"x\"", "18446744073709551615"] {
        assert!(
            app(json).starts_with(&format!("write a number from 1 to 4294967295, not {json}")),
            "{}",
            app(json)
        );
    }
}

#[test]
fn a_room_as_text_is_read_as_the_same_room() {
    for name in ["123", "007", "text:7", "text:", "class 1", "+7"] {
        let room = RoomId::Name(name.parse().unwrap());
        assert_eq!(room.to_string().parse(), Ok(room.clone()), "{room}");
        assert_eq!(room.bare(), name);
    }
    let number = RoomId::Number(123.try_into().unwrap());
    assert_eq!(number.to_string().parse(), Ok(number));
}

#[test]
fn a_room_in_a_path_or_command_is_a_number_or_a_text_and_never_in_doubt() {
    let room = |text: &str| text.parse::<RoomId>();
    assert_eq!(room("7"), Ok(RoomId::Number(7.try_into().unwrap())));
    assert_eq!(room("text:7"), Ok(RoomId::Name("7".parse().unwrap())));
    assert_eq!(room("+7"), Ok(RoomId::Name("+7".parse().unwrap())));
    assert_eq!(room("007"), Err(IdError::LeadingZero));
    assert_eq!(room("0"), Err(IdError::Range));
    assert_eq!(room("99999999999999999999"), Err(IdError::Range));
    assert_eq!(room("text:007"), Ok(RoomId::Name("007".parse().unwrap())));
    assert_eq!(room(""), Err(IdError::Empty));
}

fn default_of(room: &str, user: &str) -> StreamId {
    let room = RoomKey {
        app: 12_345_678.try_into().unwrap(),
        room: room.parse().unwrap(),
    };
    default_stream_id(&room, &user.parse().unwrap(), "main")
}

#[test]
fn default_stream_ids_are_those_of_the_contract() {
    assert_eq!(default_of("12345", "userA").as_str(), "12345678_12345_userA_main");
    assert_eq!(
        default_of("a room!", "userA").as_str(),
        "12345678_a%20room%21_userA_main"
    );
    let longest = RoomKey {
        app: u32::MAX.try_into().unwrap(),
        room: "~".repeat(64).parse().unwrap(),
    };
    let longest = default_stream_id(&longest, &"u".repeat(32).parse().unwrap(), "main");
    assert_eq!(longest.as_str().len(), 10 + 1 + 3 * 64 + 1 + 32 + "_main".len());
}

#[test]
fn a_stream_is_found_by_its_address_in_each_form_and_read_back_from_its_token() {
    let id = default_of("a room!", "userA");
    for address in ["12345678_a%20room%21_userA_main", "12345678_a room!_userA_main"] {
        assert_eq!(StreamId::from_address(address), Some(id.clone()), "{address}");
    }
    let key = StreamKey {
        app: 1.try_into().unwrap(),
        id,
    };
    assert_eq!(key.token(), "1.12345678_a=20room=21_userA_main");
    assert_eq!(StreamKey::from_token(&key.token()), Some(key));
}

#[test]
fn a_name_that_a_client_gives_a_stream_has_the_contracts_64_bytes() {
    assert!("x".repeat(64).parse::<OwnStreamId>().is_ok());
    assert_eq!("x".repeat(65).parse::<OwnStreamId>(), Err(IdError::TooLong(64)));
    assert_eq!("a%20".parse::<OwnStreamId>(), Err(IdError::Character));
}
