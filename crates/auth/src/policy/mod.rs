//! Who may call what: one table, from which routing, authorisation and the API's description all come.

mod path;

pub use path::{Allow, Matched, NoRoute, percent_encoded, route};

/// The methods that the API knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Patch,
    Delete,
}

impl Method {
    const ALL: [Self; 4] = [Self::Get, Self::Post, Self::Patch, Self::Delete];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Methods are told apart by case, as HTTP has it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}

/// The kind of token that an endpoint takes; the other kind is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    Client,
    Site,
}

impl TokenKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Site => "site",
        }
    }
}

/// The endpoints that are served here, and the groups that services beside this one serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Native(Native),
    /// Authenticated and authorised here, then forwarded.
    Forwarded(Upstream),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Native {
    CreateSiteToken,
    Commission,
    TelemetryBattery,
    TelemetryBatteryCounter,
    ListSites,
    GetSite,
    PatchSite,
    ListDevices,
    GetDevice,
    PatchDevice,
    DeleteDevice,
}

/// A group of endpoints with one base URL. Its name is the key in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Upstream {
    Commands,
    Settings,
    Supplements,
    Programs,
    Enrollments,
    Events,
}

impl Upstream {
    pub const ALL: [Self; 6] =
        [Self::Commands, Self::Settings, Self::Supplements, Self::Programs, Self::Enrollments, Self::Events];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Commands => "commands",
            Self::Settings => "settings",
            Self::Supplements => "supplements",
            Self::Programs => "programs",
            Self::Enrollments => "enrollments",
            Self::Events => "events",
        }
    }
}

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name in metrics, logs and the API's description.
    pub name: &'static str,
    pub method: Method,
    /// The path, with parameters in braces.
    pub template: &'static str,
    pub token: TokenKind,
    pub service: Service,
}

use self::Method::{Delete, Get, Patch, Post};
use self::Service::{Forwarded, Native as Here};
use self::TokenKind::{Client, Site};

const fn row(
    method: Method,
    template: &'static str,
    token: TokenKind,
    name: &'static str,
    service: Service,
) -> Endpoint {
    Endpoint { name, method, template, token, service }
}

/// The law. Its order is the founding document's.
pub static ENDPOINTS: [Endpoint; 24] = [
    row(Post, "/v1/auth/site/{siteId}", Client, "create_site_token", Here(Native::CreateSiteToken)),
    row(Post, "/v1/commission", Client, "commission", Here(Native::Commission)),
    row(Get, "/v1/commands", Client, "list_commands", Forwarded(Upstream::Commands)),
    row(Patch, "/v1/command/{commandId}", Client, "update_command", Forwarded(Upstream::Commands)),
    row(Post, TELEMETRY_BATTERY, Client, "telemetry_battery", Here(Native::TelemetryBattery)),
    row(
        Post,
        TELEMETRY_BATTERY_COUNTER,
        Client,
        "telemetry_battery_counter",
        Here(Native::TelemetryBatteryCounter),
    ),
    row(Patch, "/v1/settings/{settingsRequestId}", Client, "update_settings", Forwarded(Upstream::Settings)),
    row(Post, "/v1/supplements", Client, "create_supplements", Forwarded(Upstream::Supplements)),
    row(Get, "/v1/sites", Client, "list_sites", Here(Native::ListSites)),
    row(Get, "/v1/programs", Client, "list_programs", Forwarded(Upstream::Programs)),
    row(Get, "/v1/site/{siteId}", Site, "get_site", Here(Native::GetSite)),
    row(Patch, "/v1/site/{siteId}", Site, "update_site", Here(Native::PatchSite)),
    row(Get, "/v1/site/{siteId}/devices", Site, "list_devices", Here(Native::ListDevices)),
    row(Get, "/v1/site/{siteId}/device/{deviceId}", Site, "get_device", Here(Native::GetDevice)),
    row(Patch, "/v1/site/{siteId}/device/{deviceId}", Site, "update_device", Here(Native::PatchDevice)),
    row(Delete, "/v1/site/{siteId}/device/{deviceId}", Site, "delete_device", Here(Native::DeleteDevice)),
    row(Post, "/v1/site/{siteId}/enrollments", Site, "create_enrollment", Forwarded(Upstream::Enrollments)),
    row(Get, "/v1/site/{siteId}/enrollments", Site, "list_enrollments", Forwarded(Upstream::Enrollments)),
    row(
        Delete,
        "/v1/site/{siteId}/enrollment/{enrollmentId}",
        Site,
        "delete_enrollment",
        Forwarded(Upstream::Enrollments),
    ),
    row(Get, "/v1/site/{siteId}/programs", Site, "list_site_programs", Forwarded(Upstream::Programs)),
    row(Get, "/v1/site/{siteId}/program/{programId}", Site, "get_program", Forwarded(Upstream::Programs)),
    row(Get, "/v1/site/{siteId}/events", Site, "list_events", Forwarded(Upstream::Events)),
    row(Get, "/v1/site/{siteId}/event/{eventId}", Site, "get_event", Forwarded(Upstream::Events)),
    row(Patch, "/v1/site/{siteId}/event/{eventId}", Site, "update_event", Forwarded(Upstream::Events)),
];

const TELEMETRY_BATTERY: &str = "/v1/telemetry/BATTERY";
const TELEMETRY_BATTERY_COUNTER: &str = "/v1/telemetry/BATTERY_COUNTER";

/// Who is calling, as far as the table asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller<'a> {
    Client,
    /// The holder of a token for this site.
    Site(&'a str),
}

/// Why a caller who is known may still not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    #[error("the endpoint takes the other kind of token")]
    WrongKind,
    /// Whether the other site exists makes no difference: nobody has looked.
    #[error("the token is for another site")]
    OtherSite,
}

impl Forbidden {
    /// The name in metrics and in the audit trail.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WrongKind => "wrong_kind",
            Self::OtherSite => "other_site",
        }
    }
}

impl Matched<'_> {
    pub fn authorise(&self, caller: Caller<'_>) -> Result<(), Forbidden> {
        match (self.endpoint.token, caller) {
            (TokenKind::Client, Caller::Client) => Ok(()),
            (TokenKind::Site, Caller::Site(own)) if self.site_id() == Some(own) => Ok(()),
            (TokenKind::Site, Caller::Site(_)) => Err(Forbidden::OtherSite),
            (TokenKind::Client, Caller::Site(_)) | (TokenKind::Site, Caller::Client) => {
                Err(Forbidden::WrongKind)
            }
        }
    }
}
