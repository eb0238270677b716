//! The two cookies: of the session, and of a link on its way to its button.

use std::time::Duration;

use axum::http::header::{COOKIE, HeaderMap, HeaderValue};
use wattline_auth::{InviteSecret, PortalPurpose, PortalSecret, SessionSecret};

use crate::public_url::PublicUrl;

/// How long the page with the button may stand open.
const INVITE_TIME: Duration = Duration::from_secs(600);

#[derive(Clone, Copy)]
enum Cookie {
    /// Strict: no other site can make a browser send it, not even by a link. Nothing needs that: whoever signs
    /// in comes from a page of the portal's own.
    Session,
    /// The link's secret, so that it is neither in the address of a page nor in the browser's history. It has
    /// to be Lax, because it is sent with the request that the link's own answer leads to, and the link was
    /// opened from somewhere else: a mail, a chat. It opens nothing by itself, and Lax cookies are not sent
    /// with another site's forms.
    Invite,
}

impl Cookie {
    fn name(self, url: &PublicUrl) -> &'static str {
        // With the prefix, a browser takes the cookie from this very host only, and over TLS only.
        match (self, url.is_https()) {
            (Cookie::Session, true) => "__Host-wattline-session",
            (Cookie::Session, false) => "wattline-session",
            (Cookie::Invite, true) => "__Host-wattline-invite",
            (Cookie::Invite, false) => "wattline-invite",
        }
    }

    fn set(self, url: &PublicUrl, value: &str, lives_for: Duration) -> HeaderValue {
        let (name, age_s) = (self.name(url), lives_for.as_secs());
        let same_site = match self {
            Cookie::Session => "Strict",
            Cookie::Invite => "Lax",
        };
        let secure = if url.is_https() { "; Secure" } else { "" };
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite={same_site}; Max-Age={age_s}{secure}");
        let mut value = HeaderValue::try_from(text).expect("a secret is made of letters, digits and _");
        value.set_sensitive(true);
        value
    }

    /// The secret, where one cookie of this name has one. A browser sends one of a name; two are no browser's.
    fn read<P: PortalPurpose>(self, url: &PublicUrl, headers: &HeaderMap) -> Option<PortalSecret<P>> {
        let name = self.name(url);
        let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs.filter(|(known, _)| *known == name).map(|(_, value)| value);
        let value = values.next()?;
        if values.next().is_some() { None } else { PortalSecret::parse(value) }
    }
}

pub(crate) fn set_session(url: &PublicUrl, secret: &SessionSecret, lives_for: Duration) -> HeaderValue {
    Cookie::Session.set(url, secret.expose(), lives_for)
}

pub(crate) fn clear_session(url: &PublicUrl) -> HeaderValue {
    Cookie::Session.set(url, "", Duration::ZERO)
}

pub(crate) fn session(url: &PublicUrl, headers: &HeaderMap) -> Option<SessionSecret> {
    Cookie::Session.read(url, headers)
}

pub(crate) fn set_invite(url: &PublicUrl, secret: &InviteSecret) -> HeaderValue {
    Cookie::Invite.set(url, secret.expose(), INVITE_TIME)
}

pub(crate) fn clear_invite(url: &PublicUrl) -> HeaderValue {
    Cookie::Invite.set(url, "", Duration::ZERO)
}

pub(crate) fn invite(url: &PublicUrl, headers: &HeaderMap) -> Option<InviteSecret> {
    Cookie::Invite.read(url, headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_bound_to_the_host_and_hidden_from_scripts() {
        let secret = SessionSecret::mint().expect("randomness");
        let text = secret.expose();
        let set = |url: &str| {
            let url = url.parse().expect("a public URL");
            let session = set_session(&url, &secret, Duration::from_secs(60));
            let invite = clear_invite(&url);
            assert!(session.is_sensitive());
            [session, invite].map(|value| value.to_str().expect("text").to_owned())
        };
        assert_eq!(
            set("https://portal.example.com"),
            [
                format!(
                    "__Host-wattline-session={text}; Path=/; HttpOnly; SameSite=Strict; Max-Age=60; Secure"
                ),
                "__Host-wattline-invite=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0; Secure".into(),
            ]
        );
        let [plain, _] = set("http://127.0.0.1:8081");
        assert_eq!(plain, format!("wattline-session={text}; Path=/; HttpOnly; SameSite=Strict; Max-Age=60"));
    }

    #[test]
    fn a_cookie_is_found_among_others_and_two_of_a_name_are_none() {
        let url: PublicUrl = "https://portal.example.com".parse().expect("a public URL");
        let secret = SessionSecret::mint().expect("randomness");
        let own = format!("__Host-wattline-session={}", secret.expose());
        let found = |cookies: &[&str]| {
            let mut headers = HeaderMap::new();
            for cookie in cookies {
                headers.append(COOKIE, HeaderValue::from_str(cookie).expect("a header"));
            }
            session(&url, &headers).is_some_and(|found| found.expose() == secret.expose())
        };
        assert!(found(&[&format!("a=b; {own};c")]) && found(&["a=b", &own]));
        assert!(!found(&[&format!("{own}; {own}")]) && !found(&[&own, &own]));
        assert!(
            !found(&[&own.replace("__Host-", "")]) && !found(&["__Host-wattline-session=x"]) && !found(&[])
        );
    }
}
