use std::fmt;

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    Warning,
    Failed,
}

/// What was looked at, and what was found.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub check: &'static str,
    pub status: Status,
    pub found: String,
    /// What to do about it, and where one can, what to type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Check {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Check { check, status: Status::Ok, found: found.into(), advice: None }
    }

    pub(super) fn warning(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Check { check, status: Status::Warning, found: found.into(), advice: Some(advice.into()) }
    }

    pub(super) fn failed(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Check { check, status: Status::Failed, found: found.into(), advice: Some(advice.into()) }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.status {
            Status::Ok => "ok",
            Status::Warning => "warning",
            Status::Failed => "failed",
        };
        writeln!(f, "{status:<7}  {:<23}  {}", self.check, self.found)?;
        match &self.advice {
            Some(advice) => writeln!(f, "{:<34}→ {advice}", ""),
            None => Ok(()),
        }
    }
}
