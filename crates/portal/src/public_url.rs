//! Where browsers find the portal.

use std::str::FromStr;

use hyper::Uri;
use wattline_auth::InviteSecret;

/// The scheme, host and port that browsers use, behind whatever proxy there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// As a browser writes it into `Origin`: no path, and no port that the scheme implies.
    origin: String,
    is_https: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicUrlError {
    #[error("must be https:// and a host, without a path, such as https://portal.example.com")]
    Form,
    #[error("must begin with https://; http:// is for 127.0.0.1, [::1] and localhost only")]
    Plain,
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let uri: Uri = text.parse().map_err(|_| PublicUrlError::Form)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(PublicUrlError::Form);
        };
        if uri.path() != "/" || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(PublicUrlError::Form);
        }
        let host = authority.host().to_ascii_lowercase();
        let is_https = scheme == "https";
        if host.is_empty() || !(is_https || scheme == "http") {
            return Err(PublicUrlError::Form);
        }
        // Without TLS anybody on the way has the link, the session and the tokens.
        if !is_https && !matches!(host.as_str(), "127.0.0.1" | "[::1]" | "localhost") {
            return Err(PublicUrlError::Plain);
        }
        let implied = if is_https { 443 } else { 80 };
        let port = authority.port_u16().filter(|port| *port != implied);
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Ok(PublicUrl { origin: format!("{scheme}://{host}{port}"), is_https })
    }
}

impl PublicUrl {
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The link that signs in, once.
    pub fn sign_in_link(&self, secret: &InviteSecret) -> String {
        format!("{}/sign-in/{}", self.origin, secret.expose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        let origin = |text: &str| text.parse::<PublicUrl>().map(|url| url.origin);
        assert_eq!(origin("https://Portal.example.com/"), Ok("https://portal.example.com".into()));
        assert_eq!(origin("https://portal.example.com:443"), Ok("https://portal.example.com".into()));
        assert_eq!(origin("https://portal.example.com:8443"), Ok("https://portal.example.com:8443".into()));
        assert_eq!(origin("http://127.0.0.1:8081"), Ok("http://127.0.0.1:8081".into()));
        assert_eq!(origin("http://localhost:80"), Ok("http://localhost".into()));
        for other in
            ["", "portal", "/", "portal.example.com", "ftp://h", "https://h/p", "https://h?q", "https://u@h"]
        {
            assert_eq!(origin(other), Err(PublicUrlError::Form), "{other}");
        }
        assert_eq!(origin("http://portal.example.com"), Err(PublicUrlError::Plain));
        assert_eq!(origin("http://127.0.0.1.example.com"), Err(PublicUrlError::Plain));
    }
}
