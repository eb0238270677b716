//! Which headers pass on, by RFC 9110, section 7.6, and which are ours.

use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use wattline_auth::policy::percent_encoded;

use crate::call::Call;
use crate::request_id;

/// What tells a service who calls. Whatever a caller sends under such a name is thrown away.
const OURS: &str = "x-wattline-";
const CLIENT: HeaderName = HeaderName::from_static("x-wattline-client");
const SITE: HeaderName = HeaderName::from_static("x-wattline-site");

const VIA_US: &str = "1.1 wattline";

/// They are about one connection and not about the message, besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

pub(crate) fn of_request(given: &HeaderMap, call: &Call<'_>) -> HeaderMap {
    let mut headers = given.clone();
    remove_hop_by_hop(&mut headers);
    // The token stays here; the host is the service's; the length and an expectation are for hyper to say anew.
    for name in [AUTHORIZATION, HOST, CONTENT_LENGTH, EXPECT] {
        headers.remove(name);
    }
    let spoofed: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with(OURS)).cloned().collect();
    for name in spoofed {
        headers.remove(name);
    }
    headers.insert(CLIENT, encoded(&call.client.id));
    if let Some(site_id) = call.matched.site_id() {
        headers.insert(SITE, encoded(site_id));
    }
    headers.insert(HeaderName::from_static(request_id::HEADER), call.request_id.header());
    headers.append(VIA, HeaderValue::from_static(VIA_US));
    headers
}

pub(crate) fn of_answer(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    headers.append(VIA, HeaderValue::from_static(VIA_US));
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.into_iter().chain(HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// An id as a header can carry it: all but unreserved characters percent-encoded.
fn encoded(id: &str) -> HeaderValue {
    HeaderValue::try_from(percent_encoded(id)).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_one_connection_does_not_pass() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Private"),
            ("connection", "x-other"),
            ("x-private", "1"),
            ("x-other", "2"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("accept", "application/json"),
            ("via", "1.1 edge"),
        ] {
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_static(value));
        }
        of_answer(&mut headers);
        let mut left: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort();
        assert_eq!(left, [("accept", "application/json"), ("via", "1.1 edge"), ("via", VIA_US)]);
    }
}
