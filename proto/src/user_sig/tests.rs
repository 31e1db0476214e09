//! The test vectors of two official packages (Python 1.1, npm 1.0.2), made with a clock frozen at 1700000000.9 s.

use std::time::Duration;

use super::*;

const K1: &str = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";
const K2: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const V1: &str = "eJyrVgrxCdYrSy1SslJQMtIzUNJRAItkpqTmlWSmZUIkKjIT87NK82CSxSnZiQUFmSlAKUMTAyiAyqVWFGQWpYJkTE1NjRDiJZm5YFFzNPXFmekgG3zKHM1T9D3LzdODi-OKs8vCqpxcAvydnV2SSv2cy03cPcpDnA2SMgu0nUxslWoBHdYzUg__";
const N0: &str = "eJyrVgrxCdYrSy1SslIy0jNQ0gHzM1NS80oy0zLBwhWZiflZpXlQqeKU7MSCgswUJStDEwMogMiUZOamKlkZmqOKplYUZBaBxE1NTY3gosWZ6UpWSj5ljuYp*p7l5unBxXnF2WVhVU4uAf7Ozi5JpX7O5SbuHuUhzgZJmQXaTia2SrUAohcx8g__";
const V2: &str = "eJyrVgrxCdYrSy1SslJQMtIzUNJRAItkpqTmlWSmZUIkSotTi*IddQ1hssUp2YkFBZkpQDkjAyAwNDKGyqRWFGQWpQLFjc0MDKBiJZm5IBFDcwMogJmSmQ4y3C3CtDI7rcI3OEQ7IDI8LbMyI6Qo0rvAIErb2DywNNTTNCzKpNLM0azEJ9BWqRYACzExzg__";
const V3: &str = "eJyrVgrxCdYrSy1SslJQMtIzUNJRAItkpqTmlWSmZUIkKjIT87NK82CSxSnZiQUFmSlAKUMTAyiAyqVWFGQWpQJlLMxM4IIlmbkgIUNzNMWlxalFSaVpICsiw72y4OZnpoOE-BOTjMsi0nMiTUwDkiuqtIODszJSKpzCSzNCHCvCMioifdLKwrLcM-y9DGyVagF2rTqB";

fn app(number: u32) -> SdkAppId {
    SdkAppId::try_from(number).unwrap()
}

fn check(ticket: &str, app_number: u32, key: &str, user: &str, at: u64) -> Result<(), UserSigError> {
    verify(
        ticket,
        app(app_number),
        key,
        &user.parse().unwrap(),
        Duration::from_secs(at),
    )
}

#[test]
fn tickets_of_the_official_packages_verify() {
    assert_eq!(check(V1, 1_400_000_000, K1, "xiaojun", 1_700_000_000), Ok(()));
    assert_eq!(check(N0, 1_400_000_000, K1, "xiaojun", 1_700_000_000), Ok(()));
    assert_eq!(check(V3, 1_400_000_000, K1, "xiaojun", 1_700_000_000), Ok(()));
}

#[test]
fn a_ticket_names_its_user() {
    let Claim { app, user } = claim(V1).unwrap();
    assert_eq!((app.get(), user.as_str()), (1_400_000_000, "xiaojun"));
    assert_eq!(claim("nonsense"), Err(UserSigError::Malformed));
}

#[test]
fn a_ticket_is_valid_until_the_last_second_of_its_life() {
    assert_eq!(check(V2, 20_000_123, K2, "user_A-1", 1_700_003_599), Ok(()));
    assert_eq!(
        check(V2, 20_000_123, K2, "user_A-1", 1_700_003_600),
        Err(UserSigError::Expired)
    );
}

#[test]
fn each_mistake_has_its_error() {
    assert_eq!(
        check(V1, 1_400_000_000, K2, "xiaojun", 1_700_000_000),
        Err(UserSigError::Signature)
    );
    assert_eq!(
        check(V1, 1_400_000_000, K1, "xiaojun2", 1_700_000_000),
        Err(UserSigError::User)
    );
    assert_eq!(
        check(V1, 1_400_000_001, K1, "xiaojun", 1_700_000_000),
        Err(UserSigError::App)
    );
    assert_eq!(
        check("", 1_400_000_000, K1, "xiaojun", 1_700_000_000),
        Err(UserSigError::Malformed)
    );
    assert_eq!(
        check(&V1[..60], 1_400_000_000, K1, "xiaojun", 1_700_000_000),
        Err(UserSigError::Malformed)
    );
    assert_eq!(
        check(V1, 1_400_000_000, K1, "xiaojun", 1_600_000_000),
        Err(UserSigError::NotYetValid)
    );
}

#[test]
fn our_own_ticket_has_the_official_signature() {
    let ticket = sign(
        app(1_400_000_000),
        K1,
        &"xiaojun".parse().unwrap(),
        Duration::from_millis(1_700_000_000_900),
        Duration::from_secs(15_552_000),
    );
    let document = Document::unpack(&ticket).unwrap();
    assert_eq!(document.signature, "LvA7d/Iw7gSsnskvVzBDPOCCDbuNCw4GHwTC0bip+B4=");
}

#[test]
fn nobody_is_accepted_with_an_empty_key() {
    let user = "ann".parse().unwrap();
    let ticket = sign(app(1), "", &user, Duration::from_secs(10), Duration::from_secs(60));
    assert_eq!(check(&ticket, 1, "", "ann", 20), Err(UserSigError::Signature));
}

#[test]
fn a_zip_bomb_is_refused() {
    let mut deflate = ZlibEncoder::new(Vec::new(), Compression::best());
    deflate.write_all(&vec![b' '; 2_000_000]).unwrap();
    let ticket = STANDARD
        .encode(deflate.finish().unwrap())
        .replace('+', "*")
        .replace('/', "-")
        .replace('=', "_");
    assert!(ticket.len() < MAX_TICKET_BYTES);
    assert_eq!(check(&ticket, 1, K1, "xiaojun", 0), Err(UserSigError::Malformed));
}

proptest::proptest! {
    #[test]
    fn any_text_is_an_error_and_no_panic(text in ".{0,300}") {
        proptest::prop_assert!(check(&text, 1, K1, "xiaojun", 0).is_err());
    }
}
