//! Site tokens and their keys, rotation, and the audit trail.

use std::time::Duration;

use sqlx::AnyPool;
use wattline_auth::policy::{Caller, Forbidden, route};
use wattline_directory::api::Commission;
use wattline_directory::{
    AuditEvent, AuditLog, FollowSettings, Follower, Identity, MintSiteError, Snapshot, Uses,
};

use crate::bench::{Bench, authenticate, caller, on_both, seen};

on_both!(
    a_site_token_opens_its_site_while_its_client_token_is_active,
    a_new_signing_key_waits_until_all_know_it_and_the_old_one_retires,
    a_rotated_token_goes_on_for_the_overlap,
    the_audit_trail_takes_what_gateways_saw_and_is_append_only,
    uses_are_gathered_and_noted,
);

const AUDIENCE: &str = "wattline.example";
const HOUR_S: i64 = 3_600;

fn now_s() -> i64 {
    jiff::Timestamp::now().as_second()
}

async fn commission(bench: &Bench, client: &str, site: &str) {
    let index = bench.directory.client_index(client).await.expect("reads").expect("is there");
    let body = format!(r#"{{"site":{{"id":"{site}"}},"devices":[]}}"#);
    let body = Commission::parse(body.as_bytes()).expect("valid");
    bench.directory.commission(index, &body).await.expect("commissions");
}

fn refusal(snapshot: &Snapshot, token: &str, now_s: i64) -> &'static str {
    snapshot.identify(token, AUDIENCE, now_s).expect_err("refused").reason
}

async fn a_site_token_opens_its_site_while_its_client_token_is_active(bench: Bench) {
    let (token, other) = (bench.token("demo").await, bench.token("other").await);
    commission(&bench, "demo", "site-1").await;
    let keyless = bench.follow().await;
    let client = caller(&keyless.snapshot(), &token);
    let minted = keyless.snapshot().mint_site_token(&client, "site-1", AUDIENCE, now_s());
    assert!(matches!(minted, Err(MintSiteError::NoSigningKey)));
    // Of all the gateways that start, one makes the key.
    let ensured = (0..4).map(|_| bench.directory.ensure_signing_key(&bench.pepper));
    for ensured in ensured.collect::<Vec<_>>() {
        ensured.await.expect("ensures");
    }
    assert_eq!(bench.directory.list_signing_keys().await.expect("lists").len(), 1);
    let snapshot = keyless.snapshot();
    seen("key", || snapshot.mint_site_token(&client, "site-1", AUDIENCE, now_s()).is_ok()).await;

    let now_s = now_s();
    let site_token = snapshot.mint_site_token(&client, "site-1", AUDIENCE, now_s).expect("minted");
    let text = site_token.expose();
    let identity = snapshot.identify(text, AUDIENCE, now_s).expect("known");
    assert_eq!(identity, Identity::Site { client: client.clone(), site_id: "site-1".into() });
    let judged = |path| route("GET", path).expect("a row").authorise(identity.caller());
    assert_eq!(judged("/v1/site/site-1"), Ok(()));
    assert_eq!(judged("/v1/site/site-2"), Err(Forbidden::OtherSite));
    assert_eq!(judged("/v1/sites"), Err(Forbidden::WrongKind));
    let client_identity = snapshot.identify(token.expose(), AUDIENCE, now_s).expect("known");
    assert_eq!((client_identity.caller(), client_identity.client()), (Caller::Client, &client));

    let stranger = caller(&snapshot, &other);
    for (who, site) in [(&client, "site-2"), (&stranger, "site-1"), (&client, "site-1\0")] {
        let refused = snapshot.mint_site_token(who, site, AUDIENCE, now_s);
        assert!(matches!(refused, Err(MintSiteError::UnknownSite)), "{site:?}");
    }
    assert_eq!(refusal(&snapshot, text, now_s + HOUR_S), "site_token_expired");
    assert_eq!(refusal(&snapshot, text, now_s - 61), "site_token_early");
    assert_eq!(
        snapshot.identify(text, "elsewhere", now_s).expect_err("refused").reason,
        "site_token_foreign"
    );
    assert_eq!(refusal(&snapshot, "v4.public.a", now_s), "malformed_token");
    let unknown = wattline_auth::ClientToken::mint(true).expect("randomness");
    let refused = snapshot.identify(unknown.expose(), AUDIENCE, now_s).expect_err("refused");
    assert_eq!((refused.reason, refused.key_id), ("unknown_token", Some(unknown.key_id())));

    bench.directory.revoke_token(token.key_id()).await.expect("revokes");
    seen("revocation", || snapshot.identify(text, AUDIENCE, now_s).is_err()).await;
    let refused = snapshot.identify(text, AUDIENCE, now_s).expect_err("refused");
    assert_eq!((refused.reason, refused.key_id), ("client_token_revoked", Some(token.key_id())));
    assert_eq!(snapshot.token_is_active(token.key_id()), None);
    assert_eq!(snapshot.token_is_active(other.key_id()), Some(stranger));
}

async fn a_new_signing_key_waits_until_all_know_it_and_the_old_one_retires(bench: Bench) {
    let token = bench.token("demo").await;
    commission(&bench, "demo", "s").await;
    bench.directory.ensure_signing_key(&bench.pepper).await.expect("ensures");
    let follower = bench.follow().await;
    let snapshot = follower.snapshot();
    let client = caller(&snapshot, &token);
    let mint = |at_s| snapshot.mint_site_token(&client, "s", AUDIENCE, at_s).expect("minted");
    let key_of = |token: &wattline_auth::SiteToken| token.expose().rsplit('.').next().map(str::to_owned);
    let rotated_s = now_s();
    let old = mint(rotated_s);
    let new_id = bench.directory.rotate_signing_key(&bench.pepper).await.expect("rotates");
    let keys = bench.directory.list_signing_keys().await.expect("lists");
    assert_eq!(
        keys.iter().filter(|key| key.retires_at.is_none()).map(|key| key.seed.id).collect::<Vec<_>>(),
        [new_id]
    );
    // A minute on, the new key signs; until then, the old one does.
    seen("rotation", || key_of(&mint(rotated_s + 60)) != key_of(&old)).await;
    assert_eq!(key_of(&mint(rotated_s)), key_of(&old));
    let new = mint(rotated_s + 60);
    assert!(snapshot.identify(old.expose(), AUDIENCE, rotated_s + HOUR_S - 1).is_ok());
    assert!(snapshot.identify(new.expose(), AUDIENCE, rotated_s + HOUR_S + 59).is_ok());
    // What the old key signed just before the new one did is good for all of its hour. Whoever got hold of
    // the old key has it for two hours more.
    let last = mint(rotated_s + 9);
    assert_eq!(key_of(&last), key_of(&old));
    assert!(snapshot.identify(last.expose(), AUDIENCE, rotated_s + HOUR_S + 8).is_ok());
    assert_eq!(refusal(&snapshot, old.expose(), rotated_s + 2 * HOUR_S + 30), "site_token_unknown_key");

    // With another pepper the directory's keys verify, but none can be derived.
    let stranger: wattline_auth::Pepper = "another-secret-for-the-tests".parse().expect("a pepper");
    let foreign =
        Follower::start(bench.directory.clone(), stranger, FollowSettings::default()).await.expect("loads");
    let minted = foreign.snapshot().mint_site_token(&client, "s", AUDIENCE, rotated_s + 60);
    assert!(matches!(minted, Err(MintSiteError::NoSigningKey)));
    assert!(foreign.snapshot().identify(new.expose(), AUDIENCE, rotated_s + 60).is_ok());
    assert!(bench.holds(keys[0].public_hex.as_bytes()));
}

async fn a_rotated_token_goes_on_for_the_overlap(bench: Bench) {
    let directory = &bench.directory;
    let old = bench.token("demo").await;
    let follower = bench.follow().await;
    let snapshot = follower.snapshot();
    let rotate = |overlap| directory.rotate_token(old.key_id(), overlap, &bench.pepper);
    let new = rotate(Duration::from_millis(1_500)).await.expect("rotates").expect("a token");
    assert!(rotate(Duration::ZERO).await.expect("reads").is_none(), "it is ending already");
    assert!(rotate(Duration::from_secs(91 * 86_400)).await.is_err());
    seen("new token", || authenticate(&snapshot, new.expose()).is_ok()).await;
    assert_eq!(caller(&snapshot, &old).index, caller(&snapshot, &new).index);
    let tokens = directory.list_tokens().await.expect("lists");
    assert!(tokens.iter().all(|token| token.is_active() && token.label == "test" && token.live));
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    seen("the end of the old token", || authenticate(&snapshot, old.expose()).is_err()).await;
    assert!(authenticate(&snapshot, new.expose()).is_ok());
    let tokens = directory.list_tokens().await.expect("lists");
    assert_eq!(tokens.iter().filter(|token| token.is_active()).count(), 1);

    // A token that is ending can be revoked at once, and a new gateway does not take one that has ended.
    let newer = directory.rotate_token(new.key_id(), Duration::from_secs(3_600), &bench.pepper).await;
    let newer = newer.expect("rotates").expect("a token");
    assert!(directory.revoke_token(new.key_id()).await.expect("revokes"));
    seen("revocation", || authenticate(&snapshot, new.expose()).is_err()).await;
    let late = bench.follow().await;
    let late = late.snapshot();
    assert!(authenticate(&late, old.expose()).is_err() && authenticate(&late, new.expose()).is_err());
    assert!(authenticate(&late, newer.expose()).is_ok());
    let trail = directory.audit_trail(20).await.expect("reads");
    let rotated =
        trail.iter().filter(|row| row.reason.as_deref().is_some_and(|why| why.starts_with("rotated;")));
    assert_eq!(rotated.count(), 2);
}

async fn the_audit_trail_takes_what_gateways_saw_and_is_append_only(bench: Bench) {
    let token = bench.token("demo").await;
    let log = AuditLog::default();
    log.flush(&bench.directory).await.expect("nothing to do");
    let at_ms = 1_795_000_000_123;
    log.note(AuditEvent::site_token_minted(at_ms, "demo".into(), token.key_id(), "site-1", "req-1"));
    log.note(AuditEvent::denied(
        at_ms,
        "other_site",
        Some("demo".into()),
        Some(token.key_id()),
        Some("s\0"),
        "req-2",
    ));
    (0..500).for_each(|_| log.note(AuditEvent::denied(at_ms, "unknown_token", None, None, None, "req-3")));
    log.flush(&bench.directory).await.expect("flushes");
    log.flush(&bench.directory).await.expect("nothing left");

    let trail = bench.directory.audit_trail(1_000).await.expect("reads");
    assert_eq!(trail.len(), 64, "a mint, a site token, a denial, 60 denials, and a row for the rest");
    let of =
        |request: &str| trail.iter().find(|row| row.request_id.as_deref() == Some(request)).expect("a row");
    let minted = of("req-1");
    assert_eq!(
        (&*minted.action, &*minted.client, minted.site_id.as_deref()),
        ("MINT_SITE", "demo", Some("site-1"))
    );
    assert_eq!(
        (minted.key_id.as_deref(), minted.at.as_millisecond()),
        (Some(token.key_id().as_str()), at_ms)
    );
    let denied = of("req-2");
    assert_eq!((&*denied.action, denied.reason.as_deref()), ("DENIAL", Some("other_site")));
    assert_eq!((denied.site_id.as_deref(), denied.events), (None, 1));
    assert_eq!(trail.iter().map(|row| row.events).sum::<u64>(), 503);

    let pool = AnyPool::connect(&bench.url).await.expect("connects");
    for statement in [
        "UPDATE audit SET action = 'NOTHING'",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE seq = (SELECT MAX(seq) FROM audit)",
    ] {
        let error = sqlx::query(statement).execute(&pool).await.expect_err("refused");
        assert!(error.to_string().contains("append-only"), "{error}");
    }
    pool.close().await;
    assert_eq!(bench.directory.audit_trail(1_000).await.expect("reads"), trail);

    bench.directory.close().await;
    log.note(AuditEvent::denied(at_ms, "other_site", Some("demo".into()), None, None, "req-4"));
    log.flush(&bench.directory).await.expect_err("the directory is away");
}

async fn uses_are_gathered_and_noted(bench: Bench) {
    let (first, second) = (bench.token("demo").await, bench.token("demo").await);
    let uses = Uses::default();
    uses.flush(&bench.directory).await.expect("nothing to do");
    for (token, at_s) in [(&first, 1_700_000_300), (&first, 1_700_000_000), (&second, 1_700_000_600)] {
        uses.note(token.key_id(), at_s);
    }
    uses.flush(&bench.directory).await.expect("flushes");
    let used = async || -> Vec<_> {
        let tokens = bench.directory.list_tokens().await.expect("lists");
        tokens.iter().map(|token| token.last_used_at.map(|at| at.as_second())).collect()
    };
    assert_eq!(used().await, [Some(1_700_000_300), Some(1_700_000_600)]);
    uses.note(first.key_id(), 1_700_000_100);
    uses.flush(&bench.directory).await.expect("flushes");
    assert_eq!(used().await, [Some(1_700_000_300), Some(1_700_000_600)], "a time never goes back");
}
