use hyper::Method;
use wattline_model::Kind;

/// What a path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Telemetry(Kind),
}

/// The path is not known, or not with this method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoute {
    Path,
    Method { allow: &'static str },
}

impl Route {
    pub(crate) fn of(method: &Method, path: &str) -> Result<Route, NoRoute> {
        let kind = match path {
            "/v1/telemetry/BATTERY" => Kind::Battery,
            "/v1/telemetry/BATTERY_COUNTER" => Kind::BatteryCounter,
            _ => return Err(NoRoute::Path),
        };
        if method != Method::POST {
            return Err(NoRoute::Method { allow: "POST" });
        }
        Ok(Route::Telemetry(kind))
    }

    /// The name in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Route::Telemetry(kind) => kind.name(),
        }
    }
}
