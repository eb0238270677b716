//! Where the fleet posts to: this machine, and nowhere else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hyper::Uri;
use thiserror::Error;

/// The address of a gateway on a loopback interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target(SocketAddr);

#[derive(Debug, Error, PartialEq, Eq)]
pub enum TargetError {
    #[error("not a URL of the form http://127.0.0.1:PORT")]
    Malformed,
    #[error(
        "the fleet posts to this machine only: the host of the URL must be localhost, 127.x.x.x or [::1]"
    )]
    NotLoopback,
}

impl Target {
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let uri: Uri = url.parse().map_err(|_| TargetError::Malformed)?;
        let host = uri.host().ok_or(TargetError::Malformed)?;
        let plain = uri.scheme_str() == Some("http")
            && uri.path() == "/"
            && uri.query().is_none()
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        let ip = match host {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            _ => host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .parse()
                .map_err(|_| TargetError::NotLoopback)?,
        };
        if !ip.is_loopback() {
            return Err(TargetError::NotLoopback);
        }
        if !plain {
            return Err(TargetError::Malformed);
        }
        Ok(Self(SocketAddr::new(ip, uri.port_u16().unwrap_or(80))))
    }

    pub fn address(self) -> SocketAddr {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_a_target() {
        for url in ["http://127.0.0.1:8080", "http://localhost:8080/", "http://[::1]:8080"] {
            assert_eq!(Target::parse(url).map(|target| target.0.port()), Ok(8080), "{url}");
        }
        for url in ["http://10.0.0.1:8080", "http://example.com", "http://127.0.0.1.example.com:80"] {
            assert_eq!(Target::parse(url), Err(TargetError::NotLoopback), "{url}");
        }
        for url in [
            "https://127.0.0.1:8080",
            "http://127.0.0.1:8080/v1",
            "http://user@127.0.0.1:8080",
            "127.0.0.1:8080",
            "",
        ] {
            assert_eq!(Target::parse(url), Err(TargetError::Malformed), "{url}");
        }
    }
}
