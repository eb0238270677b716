//! What the portal counts.

use metrics::{counter, describe_counter};

const REQUESTS: &str = "wattline_portal_requests_total";
const SIGN_INS: &str = "wattline_portal_sign_ins_total";

pub fn describe_metrics() {
    describe_counter!(REQUESTS, "Requests that were answered, by route and status");
    describe_counter!(SIGN_INS, "Sign-in links that were tried, by outcome: done or refused");
}

pub(crate) fn request_answered(route: &str, status: u16) {
    counter!(REQUESTS, "route" => route.to_owned(), "status" => status.to_string()).increment(1);
}

pub(crate) fn signed_in() {
    counter!(SIGN_INS, "outcome" => "done").increment(1);
}

pub(crate) fn sign_in_refused() {
    counter!(SIGN_INS, "outcome" => "refused").increment(1);
}
