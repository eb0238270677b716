//! What is said of endpoints and statuses in words.

use wattline_auth::policy::{Endpoint, Native, Service, Upstream};

use crate::tree::{Tree, map};

pub const API: &str = "\
Wattline speaks the public Flip Energy API: a gateway or an OEM cloud that was written for it works with Wattline \
unchanged.

Every endpoint takes one kind of token, in the header `Authorization`, and refuses the other kind with 403. The \
cheap checks come first: path, method, token, then what the headers say of the body, then the body.

Paths are exact. Ids in a path are percent-decoded; `.` and `..` are no ids there. Unknown members of a body and \
unknown parameters of a query are ignored. A body may be compressed: `Content-Encoding: gzip` or `zstd`. Lengths \
of texts are counted in bytes of UTF-8.

Errors are `application/problem+json` (RFC 9457). The endpoints with `x-wattline-upstream` belong to another \
service: Wattline checks the token and passes the request on, or answers 501 where it is not configured to.";

pub struct Words {
    pub summary: &'static str,
    pub description: &'static str,
}

const fn words(summary: &'static str, description: &'static str) -> Words {
    Words { summary, description }
}

pub fn of(endpoint: &Endpoint) -> Words {
    match endpoint.service {
        Service::Native(native) => of_native(native),
        Service::Forwarded(_) => of_forwarded(endpoint.name),
    }
}

fn of_native(native: Native) -> Words {
    match native {
        Native::CreateSiteToken => words(
            "Make a site token",
            "The token opens this one site for one hour: it is for an app at the site, which must not have a \
             client token. A site of another client is not told apart from one that does not exist.",
        ),
        Native::Commission => words(
            "Bring a site into service with its devices",
            "All or nothing. A site that is there already, or a device that another site has, is a 409.",
        ),
        Native::TelemetryBattery => words(
            "Send intervals",
            "Energies over `[start_time, start_time + duration_s)` and what was last measured. Sending a point \
             again is always safe: it is stored once. A point that breaks a rule is FAILED and does not affect the \
             others.",
        ),
        Native::TelemetryBatteryCounter => words(
            "Send readings of lifetime counters",
            "As for BATTERY, but the four `*_total_energy_*` fields are counters that only grow; Wattline derives \
             the intervals between consecutive readings of a device.",
        ),
        Native::ListSites => words("List the client's sites", "In the order of their ids."),
        Native::GetSite => words("Show a site", "The site of the token."),
        Native::PatchSite => words(
            "Change a site",
            "What is sent is changed, null empties a field, and the rest stays. `id` may be sent as it is; \
             `created_at` and `updated_at` are ignored.",
        ),
        Native::ListDevices => words("List a site's devices", "In the order of their ids."),
        Native::GetDevice => words("Show a device", "A device of the token's site."),
        Native::PatchDevice => words(
            "Change a device",
            "What is sent is changed, null empties a field, and the rest stays, also within `attributes` and \
             `configuration`. `id` and `site_id` may be sent as they are; `created_at` and `updated_at` are ignored.",
        ),
        Native::DeleteDevice => words(
            "Take a device out of service",
            "Its telemetry is refused from then on; what is stored stays.",
        ),
    }
}

fn of_forwarded(name: &str) -> Words {
    const PASSED_ON: &str = "Served by the service behind; the token is checked here.";
    let summary = match name {
        "list_commands" => "List commands",
        "update_command" => "Report on a command",
        "update_settings" => "Report on requested settings",
        "create_supplements" => "Send supplements",
        "list_programs" => "List programs",
        "create_enrollment" => "Enroll a site in a program",
        "list_enrollments" => "List a site's enrollments",
        "delete_enrollment" => "End an enrollment",
        "list_site_programs" => "List the programs that a site may take part in",
        "get_program" => "Show a program",
        "list_events" => "List a site's events",
        "get_event" => "Show an event",
        "update_event" => "Answer an event",
        _ => "Forwarded",
    };
    words(summary, PASSED_ON)
}

/// The group that an endpoint is listed in.
pub const fn tag(endpoint: &Endpoint) -> &'static str {
    match endpoint.service {
        Service::Native(native) => match native {
            Native::CreateSiteToken => "auth",
            Native::Commission => "commissioning",
            Native::TelemetryBattery | Native::TelemetryBatteryCounter => "telemetry",
            Native::ListSites | Native::GetSite | Native::PatchSite => "sites",
            Native::ListDevices | Native::GetDevice | Native::PatchDevice | Native::DeleteDevice => "devices",
        },
        Service::Forwarded(upstream) => upstream.name(),
    }
}

pub fn tags() -> Tree {
    let own = [
        ("auth", "Site tokens."),
        ("commissioning", "Sites and devices come into service."),
        ("telemetry", "What batteries measure."),
        ("sites", "Where devices are."),
        ("devices", "Batteries and EV chargers."),
    ];
    let own = own.map(|(name, description)| map! { "name" => name, "description" => description });
    let forwarded = Upstream::ALL
        .map(|upstream| map! { "name" => upstream.name(), "description" => "Served by a service behind." });
    Tree::List(own.into_iter().chain(forwarded).collect())
}

/// What a status says of a request.
pub const fn status(status: u16) -> &'static str {
    match status {
        400 => {
            "The request is not what it has to be: its form, its token's place, its body. Nothing was stored."
        }
        401 => "No token, or one that is malformed, unknown, expired or revoked.",
        403 => "The token is valid, but is of the other kind or for another site.",
        404 => "There is nothing with this id, or the id cannot be one.",
        405 => "The path takes other methods.",
        408 => "The body did not arrive in time. The connection is closed.",
        409 => "It is there already. Nothing was stored.",
        413 => "The body is over the limit, as sent or decompressed. The connection is closed.",
        415 => "The body is neither JSON nor compressed in a way that is understood.",
        422 => "A rule is broken. Nothing was stored.",
        429 => "Over the client's points a second. Nothing was stored.",
        431 => "The request line and the headers are over the limit. The connection is closed.",
        501 => "The service behind this endpoint is not configured.",
        502 => "The service behind did not answer as HTTP has it.",
        503 => "It cannot be served now; the text says whether some of it may be stored all the same.",
        504 => "The service behind did not answer in time.",
        _ => "Refused.",
    }
}
