use proptest::prelude::*;

use super::*;
use crate::signing_key::{SigningKeySeed, VerifyingKey};
use crate::{Bearer, ClientToken, Pepper};

const NOW_S: i64 = 1_795_000_000;
const AUDIENCE: &str = "wattline.example";

fn pepper() -> Pepper {
    "a-secret-for-the-tests".parse().expect("a pepper")
}

fn parent() -> KeyId {
    ClientToken::from_random(true, &[7; crate::RANDOM_BYTES]).key_id()
}

/// A key that is the same in every run.
fn key(seed: u8) -> SigningKey {
    let id = ClientToken::from_random(true, &[seed; crate::RANDOM_BYTES]).key_id();
    let id = id.as_str().parse().expect("ten digits");
    let salt_hex = format!("{seed:02x}").repeat(32);
    let seed = SigningKeySeed::from_stored(id, 1, &salt_hex).expect("a salt");
    assert_eq!(seed.salt_hex(), salt_hex);
    seed.derive(&pepper()).expect("the pepper has version 1")
}

fn keys() -> VerifyingKeys {
    [key(1).verifying_key(Some(NOW_S + VERIFYING_KEY_KEPT_S)), key(2).verifying_key(None)]
        .into_iter()
        .collect()
}

fn minted(site: &str) -> SiteToken {
    mint(&key(2), site, parent(), AUDIENCE, NOW_S).expect("minted")
}

fn check(token: &str, now_s: i64) -> Result<SiteClaims, SiteTokenError> {
    verify(&keys(), token, now_s, AUDIENCE)
}

/// A token with a right signature over these claims.
fn signed(change: impl FnOnce(&mut Payload<'static>)) -> String {
    let time = |s: i64| Timestamp::from_second(s).expect("a time").to_string();
    let mut payload = Payload {
        iss: ISSUER.into(),
        aud: AUDIENCE.into(),
        sub: "site".into(),
        cid: parent().as_str().to_owned().into(),
        jti: "jti".into(),
        iat: time(NOW_S).into(),
        exp: time(NOW_S + SITE_TOKEN_LIFE_S).into(),
    };
    change(&mut payload);
    let key = key(2);
    sign(&key, &payload, &Footer { kid: key.id.as_str().into() })
}

fn at(s: i64) -> Cow<'static, str> {
    Timestamp::from_second(s).expect("a time").to_string().into()
}

#[test]
fn a_minted_token_says_what_it_was_minted_with_for_one_hour() {
    let token = minted("site-1");
    assert_eq!(token.expires_at().as_second(), NOW_S + 3_600);
    let claims = check(token.expose(), NOW_S).expect("valid");
    let expected =
        SiteClaims { site: "site-1".into(), key_id: parent(), jti: token.jti().into(), exp_s: NOW_S + 3_600 };
    assert_eq!(claims, expected);
    assert_ne!(minted("site-1").jti(), token.jti());

    // No leeway at its end; a minute for an issuer whose clock is ahead at its beginning.
    assert!(check(token.expose(), NOW_S + 3_599).is_ok());
    assert_eq!(check(token.expose(), NOW_S + 3_600), Err(SiteTokenError::Expired));
    assert!(check(token.expose(), NOW_S - 60).is_ok());
    assert_eq!(check(token.expose(), NOW_S - 61), Err(SiteTokenError::Early));

    let shown = format!("{token:?} {:?} {:?}", Bearer::classify(token.expose()), key(2));
    assert!(!shown.contains("v4.public"), "{shown}");
}

#[test]
fn the_payload_is_standard_paseto() {
    let token = minted("site-1");
    let message = UntrustedToken::<pasetors::Public, V4>::try_from(token.expose()).expect("well-formed");
    let payload: serde_json::Value = serde_json::from_slice(message.untrusted_payload()).expect("JSON");
    let expected = serde_json::json!({
        "iss": "wattline", "aud": AUDIENCE, "sub": "site-1", "cid": parent().as_str(), "jti": token.jti(),
        "iat": "2026-11-18T11:06:40Z", "exp": "2026-11-18T12:06:40Z",
    });
    assert_eq!(payload, expected);
    let footer: serde_json::Value = serde_json::from_slice(message.untrusted_footer()).expect("JSON");
    assert_eq!(footer, serde_json::json!({ "kid": key(2).id().as_str() }));
}

#[test]
fn right_signatures_over_wrong_claims_are_refused() {
    assert!(check(&signed(|_| {}), NOW_S).is_ok());
    let refused = |change: fn(&mut Payload<'static>)| check(&signed(change), NOW_S).expect_err("refused");
    assert_eq!(refused(|p| p.iss = "somebody".into()), SiteTokenError::Foreign);
    assert_eq!(refused(|p| p.aud = "elsewhere".into()), SiteTokenError::Foreign);
    assert_eq!(refused(|p| p.cid = "short".into()), SiteTokenError::Malformed);
    assert_eq!(refused(|p| p.exp = at(NOW_S + 3_601)), SiteTokenError::TooLong);
    assert_eq!(refused(|p| p.iat = at(NOW_S - 1)), SiteTokenError::TooLong);
    assert_eq!(refused(|p| p.iat = at(NOW_S + 61)), SiteTokenError::Early);
    assert_eq!(refused(|p| p.exp = at(NOW_S)), SiteTokenError::Expired);
    assert_eq!(refused(|p| p.exp = "1795003600".into()), SiteTokenError::Malformed);
    assert_eq!(refused(|p| p.iat = "yesterday".into()), SiteTokenError::Malformed);
}

#[test]
fn only_known_keys_count_and_old_ones_for_a_while() {
    let old = mint(&key(1), "site", parent(), AUDIENCE, NOW_S).expect("minted");
    assert!(check(old.expose(), NOW_S).is_ok());
    // The same token a second before and at the end of its key.
    let ending = |until_s| [key(1).verifying_key(Some(until_s))].into_iter().collect::<VerifyingKeys>();
    assert!(verify(&ending(NOW_S + 1), old.expose(), NOW_S, AUDIENCE).is_ok());
    let gone = verify(&ending(NOW_S), old.expose(), NOW_S, AUDIENCE);
    assert_eq!(gone, Err(SiteTokenError::UnknownKey));
    let stranger = mint(&key(3), "site", parent(), AUDIENCE, NOW_S).expect("minted");
    assert_eq!(check(stranger.expose(), NOW_S), Err(SiteTokenError::UnknownKey));
    // Another key under a known name.
    let mut imposter = key(3);
    imposter.id = key(2).id;
    let forged = mint(&imposter, "site", parent(), AUDIENCE, NOW_S).expect("minted");
    assert_eq!(check(forged.expose(), NOW_S), Err(SiteTokenError::Forged));

    let mut keys = keys();
    keys.expire(NOW_S + VERIFYING_KEY_KEPT_S);
    assert_eq!(keys.iter().map(|key| key.id).collect::<Vec<_>>(), [key(2).id()]);
}

#[test]
fn a_key_comes_back_from_what_is_stored_and_from_nothing_less() {
    let seed = SigningKeySeed::generate(&pepper()).expect("randomness");
    let stored = SigningKeySeed::from_stored(seed.id, seed.pepper_version, &seed.salt_hex());
    assert_eq!(stored, Some(seed));
    let derived = seed.derive(&pepper()).expect("derives");
    assert_eq!(seed.derive(&pepper()).expect("derives").public_hex(), derived.public_hex());
    let another: Pepper = "another-secret-for-the-tests".parse().expect("a pepper");
    assert_ne!(seed.derive(&another).expect("derives").public_hex(), derived.public_hex());
    let newer: Pepper = "2:a-secret-for-the-tests".parse().expect("a pepper");
    assert!(seed.derive(&newer).is_none(), "the pepper's version is part of what is stored");
    assert_eq!(SigningKeySeed::from_stored(seed.id, 1, "abc"), None);
    let public = VerifyingKey::from_stored(seed.id, &derived.public_hex(), None).expect("hex");
    assert_eq!(public.public_hex(), derived.public_hex());
}

#[test]
fn other_forms_are_malformed_before_anything_is_decoded() {
    let token = minted("site");
    let text = token.expose();
    let parts: Vec<_> = text.split('.').collect();
    let [_, _, message, footer] = parts[..] else { panic!("four parts") };
    for bad in [
        String::new(),
        "v4.public.".into(),
        format!("v4.local.{message}.{footer}"),
        format!("v3.public.{message}.{footer}"),
        format!("V4.public.{message}.{footer}"),
        format!("v4.public.{message}"),
        format!("v4.public.{message}."),
        format!("v4.public..{footer}"),
        format!("v4.public.{message}.{footer}.{footer}"),
        format!(" {text}"),
        format!("{text}="),
        format!("{text}\n"),
        format!("v4.public.{}.{footer}", "A".repeat(SITE_TOKEN_BYTES_MAX)),
        // Footers that are well-formed base64 but no footer: {}, [], {"kid":"x","a":1}.
        format!("v4.public.{message}.e30"),
        format!("v4.public.{message}.W10"),
        format!("v4.public.{message}.eyJraWQiOiJ4IiwiYSI6MX0"),
    ] {
        assert_eq!(check(&bad, NOW_S), Err(SiteTokenError::Malformed), "{bad}");
    }
}

#[test]
fn bearers_are_told_apart_by_their_form() {
    let client = ClientToken::from_random(false, &[9; crate::RANDOM_BYTES]);
    assert!(matches!(Bearer::classify(client.expose()), Bearer::Client(_)));
    assert!(matches!(Bearer::classify(minted("s").expose()), Bearer::Site(_)));
    let typo = client.expose().replace("wl_test_", "wl_live_");
    for bad in ["", "x", &typo, "v4.public.a", "v4.local.a.b", "v4.public.a.b\u{e9}"] {
        assert!(matches!(Bearer::classify(bad), Bearer::Malformed), "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_minted_verifies(site in "\\PC{1,128}", now_s in 0i64..4_000_000_000, age_s in 0i64..3_600) {
        prop_assume!(site.len() <= 128);
        let token = mint(&key(2), &site, parent(), &"\"".repeat(AUDIENCE_BYTES_MAX), now_s).expect("minted");
        prop_assert!(token.expose().len() <= SITE_TOKEN_BYTES_MAX);
        let claims = verify(&keys(), token.expose(), now_s + age_s, &"\"".repeat(AUDIENCE_BYTES_MAX));
        prop_assert_eq!(claims.expect("valid").site, site);
    }

    /// Every single bit of the text counts, the spare bits of base64's last characters included.
    #[test]
    fn any_bit_flipped_is_refused(bit in 0u8..7, site in "[a-z0-9-]{1,40}") {
        let token = minted(&site);
        for place in 0..token.expose().len() {
            let mut bytes = token.expose().as_bytes().to_vec();
            bytes[place] ^= 1 << bit;
            let flipped = String::from_utf8(bytes).expect("seven bits are ASCII");
            prop_assert!(check(&flipped, NOW_S).is_err(), "bit {bit} of byte {place}");
        }
    }

    #[test]
    fn verifying_never_panics(text in ".*", message in "[A-Za-z0-9_-]{0,400}", footer in "[A-Za-z0-9_-]{0,60}") {
        let _ = check(&text, NOW_S);
        let _ = check(&format!("v4.public.{message}.{footer}"), i64::MAX);
        let _ = mint(&key(2), &text, parent(), AUDIENCE, i64::MAX);
    }
}
