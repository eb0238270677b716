//! Sign-in links and sessions of the portal, and what a session may do with tokens.

use std::time::{Duration, Instant};

use wattline_auth::{InviteSecret, Pepper, SessionSecret};
use wattline_directory::{PORTAL_ACTIVE_TOKENS_MAX, PortalSession, PortalTokenError};

use crate::bench::{Bench, authenticate, on_both};

on_both!(
    a_link_signs_in_once_and_nobody_learns_its_secret_from_the_database,
    links_and_sessions_end,
    the_operator_shuts_a_client_out,
    a_session_reaches_its_own_clients_tokens_only,
    what_a_session_may_make_is_bounded,
);

const HOUR: Duration = Duration::from_secs(3_600);

async fn invite(bench: &Bench, client: &str) -> InviteSecret {
    bench.directory.create_client(client).await.expect("creates");
    let invite = bench.directory.invite_to_portal(client, HOUR, &bench.pepper).await;
    invite.expect("invites").expect("the client is there").secret
}

async fn sign_in(bench: &Bench, link: &InviteSecret) -> Option<(SessionSecret, PortalSession)> {
    bench.directory.sign_in_to_portal(link, HOUR, &bench.pepper).await.expect("the directory is there")
}

async fn session(bench: &Bench, client: &str) -> PortalSession {
    sign_in(bench, &invite(bench, client).await).await.expect("the link is good").1
}

async fn is_signed_in(bench: &Bench, secret: &SessionSecret) -> bool {
    bench.directory.portal_session(secret, &bench.pepper).await.expect("reads").is_some()
}

/// The rows of the audit trail, the oldest first: action, client, key id, reason.
async fn trail(bench: &Bench) -> Vec<(String, String, String, String)> {
    let rows = bench.directory.audit_trail(100).await.expect("reads");
    let row = |row: wattline_directory::AuditRow| {
        (row.action, row.client, row.key_id.unwrap_or_default(), row.reason.unwrap_or_default())
    };
    rows.into_iter().rev().map(row).collect()
}

async fn a_link_signs_in_once_and_nobody_learns_its_secret_from_the_database(bench: Bench) {
    let nobody = bench.directory.invite_to_portal("nobody", HOUR, &bench.pepper).await.expect("reads");
    assert!(nobody.is_none());
    let link = invite(&bench, "demo").await;
    // To look is not to use.
    for _ in 0..2 {
        let guest = bench.directory.portal_guest(&link, &bench.pepper).await.expect("reads");
        assert_eq!(guest.expect("the link is good").client, "demo");
    }
    // The same name with another secret, and the same link under another pepper.
    let mut wrong = link.expose().to_owned();
    wrong.replace_range(11..12, if wrong.as_bytes()[11] == b'0' { "1" } else { "0" });
    let wrong = InviteSecret::parse(&wrong).expect("well formed");
    assert_eq!(wrong.id(), link.id());
    assert!(sign_in(&bench, &wrong).await.is_none());
    let pepper: Pepper = "another-secret-for-the-tests".parse().expect("a pepper");
    let stranger = bench.directory.sign_in_to_portal(&link, HOUR, &pepper).await.expect("reads");
    assert!(stranger.is_none());

    // Of many at once, one is signed in.
    let tries: Vec<_> = (0..8)
        .map(|_| {
            let (directory, pepper) = (bench.directory.clone(), bench.pepper.clone());
            let link = InviteSecret::parse(link.expose()).expect("its own text");
            tokio::spawn(async move { directory.sign_in_to_portal(&link, HOUR, &pepper).await })
        })
        .collect();
    let mut signed_in = Vec::new();
    for tried in tries {
        signed_in.extend(tried.await.expect("runs").expect("the directory is there"));
    }
    let [(secret, session)] = &signed_in[..] else { panic!("{} signed in", signed_in.len()) };
    assert!(is_signed_in(&bench, secret).await);
    assert!(bench.directory.portal_guest(&link, &bench.pepper).await.expect("reads").is_none());
    let read = bench.directory.portal_session(secret, &bench.pepper).await.expect("reads").expect("is there");
    assert_eq!((&*read.client, read.id), ("demo", session.id));
    assert!(read.form_key.is(&session.form_key.to_hex()));

    let link_row = ("INVITE".into(), "demo".into(), link.id().to_string(), String::new());
    let reason = format!("by the sign-in link {}", link.id());
    let session_row = ("SIGN_IN".into(), "demo".into(), session.id.to_string(), reason);
    assert_eq!(trail(&bench).await, [link_row, session_row]);
    for text in [link.expose(), secret.expose()] {
        assert!(bench.holds(&text.as_bytes()[..10]), "the name is there");
        assert!(!bench.holds(&text.as_bytes()[11..]), "the secret is not");
    }
}

async fn links_and_sessions_end(bench: Bench) {
    let briefly = Duration::from_millis(1);
    bench.directory.create_client("demo").await.expect("creates");
    let invite = bench.directory.invite_to_portal("demo", briefly, &bench.pepper).await;
    let invite = invite.expect("invites").expect("the client is there");
    tokio::time::sleep(briefly).await;
    assert!(sign_in(&bench, &invite.secret).await.is_none());

    let began = Instant::now();
    let lasting = Duration::from_millis(700);
    let link = self::invite(&bench, "demo").await;
    let signed_in = bench.directory.sign_in_to_portal(&link, lasting, &bench.pepper).await;
    let (brief, _) = signed_in.expect("the directory is there").expect("the link is good");
    assert!(is_signed_in(&bench, &brief).await || began.elapsed() > lasting);
    while is_signed_in(&bench, &brief).await {
        assert!(began.elapsed() < Duration::from_secs(10), "the session does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() >= lasting);

    let (secret, session) = sign_in(&bench, &self::invite(&bench, "demo").await).await.expect("a good link");
    bench.directory.sign_out_of_portal(&session).await.expect("signs out");
    bench.directory.sign_out_of_portal(&session).await.expect("there is nothing to do");
    assert!(!is_signed_in(&bench, &secret).await);
    let outs = trail(&bench).await.into_iter().filter(|row| row.0 == "SIGN_OUT").count();
    assert_eq!(outs, 1);
}

async fn the_operator_shuts_a_client_out(bench: Bench) {
    let shut = async |client: &str| bench.directory.shut_portal(client).await.expect("shuts");
    assert_eq!(shut("nobody").await, None);
    let link = invite(&bench, "demo").await;
    let mut secrets = Vec::new();
    for _ in 0..2 {
        secrets.push(sign_in(&bench, &invite(&bench, "demo").await).await.expect("a good link").0);
    }
    let (other, _) = sign_in(&bench, &invite(&bench, "other").await).await.expect("a good link");
    assert_eq!(shut("demo").await, Some((2, 1)));
    for secret in &secrets {
        assert!(!is_signed_in(&bench, secret).await);
    }
    assert!(sign_in(&bench, &link).await.is_none());
    assert!(is_signed_in(&bench, &other).await);
    let outs = trail(&bench).await.into_iter().filter(|row| row.0 == "SIGN_OUT" && row.1 == "demo");
    assert_eq!(outs.filter(|row| row.3 == "by the operator").count(), 3);
}

async fn a_session_reaches_its_own_clients_tokens_only(bench: Bench) {
    let directory = &bench.directory;
    let theirs = bench.token("other").await;
    let operators = bench.token("demo").await;
    let ours = session(&bench, "demo").await;
    let made =
        directory.create_portal_token(&ours, "the cloud", false, &bench.pepper).await.expect("creates");
    assert!(made.expose().starts_with("wl_test_"));
    let listed = async || -> Vec<_> {
        let tokens = directory.portal_tokens(&ours).await.expect("lists");
        tokens.into_iter().map(|token| (token.key_id, token.label.clone(), token.is_active())).collect()
    };
    let (made_row, operators_row) =
        ((made.key_id(), "the cloud".to_owned(), true), (operators.key_id(), "test".to_owned(), true));
    assert_eq!(listed().await, [made_row, operators_row.clone()]);
    let read = async |key_id| directory.portal_token(&ours, key_id).await.expect("reads");
    assert_eq!(read(made.key_id()).await.map(|token| token.live), Some(false));
    assert_eq!(read(theirs.key_id()).await, None);

    let revoke = async |key_id| directory.revoke_portal_token(&ours, key_id).await.expect("revokes");
    assert!(!revoke(theirs.key_id()).await, "somebody else's");
    let all = directory.list_tokens().await.expect("lists");
    assert!(all.iter().all(|token| token.is_active()));
    assert!(revoke(made.key_id()).await);
    assert!(!revoke(made.key_id()).await, "it is revoked already");
    assert_eq!(listed().await, [operators_row, (made.key_id(), "the cloud".to_owned(), false)]);

    // The trail tells what was done in the portal from what the operator did.
    let by_portal = format!("in the portal, by session {}", ours.id);
    let trail = trail(&bench).await;
    let of = |key_id: &str| -> Vec<(&str, &str)> {
        let rows = trail.iter().filter(|row| row.2 == key_id);
        rows.map(|row| (row.0.as_str(), row.3.as_str())).collect()
    };
    assert_eq!(of(made.key_id().as_str()), [("MINT", &*by_portal), ("REVOKE", &*by_portal)]);
    assert_eq!(of(operators.key_id().as_str()), [("MINT", "")]);
    let follower = bench.follow().await;
    let snapshot = follower.snapshot();
    assert!(
        authenticate(&snapshot, made.expose()).is_err() && authenticate(&snapshot, theirs.expose()).is_ok()
    );
}

async fn what_a_session_may_make_is_bounded(bench: Bench) {
    let ours = session(&bench, "demo").await;
    let create =
        async |name: &str| bench.directory.create_portal_token(&ours, name, true, &bench.pepper).await;
    assert!(matches!(create("a\nb").await, Err(PortalTokenError::Name(_))));
    assert!(matches!(create(&"x".repeat(257)).await, Err(PortalTokenError::Name(_))));
    let mut made = Vec::new();
    for _ in 0..PORTAL_ACTIVE_TOKENS_MAX {
        made.push(create("one").await.expect("creates").key_id());
    }
    assert!(matches!(create("one more").await, Err(PortalTokenError::TooManyActive)));
    // To revoke makes room, until too many were made within a day.
    for key_id in made.drain(..) {
        assert!(bench.directory.revoke_portal_token(&ours, key_id).await.expect("revokes"));
        create("another").await.expect("creates");
    }
    let listed = bench.directory.portal_tokens(&ours).await.expect("lists");
    let active = listed.iter().find(|token| token.is_active()).expect("an active token").key_id;
    assert!(bench.directory.revoke_portal_token(&ours, active).await.expect("revokes"));
    assert!(matches!(create("too many").await, Err(PortalTokenError::TooManyToday)));
    // The operator is not bounded, and neither is anybody else.
    bench.token("demo").await;
    let other = session(&bench, "other").await;
    bench.directory.create_portal_token(&other, "one", true, &bench.pepper).await.expect("creates");
}
