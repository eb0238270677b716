//! The URL of a bucket: its provider, its name, and where in it.

use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    S3,
    Gcs,
    Azure,
}

impl Provider {
    fn scheme(self) -> &'static str {
        match self {
            Provider::S3 => "s3",
            Provider::Gcs => "gs",
            Provider::Azure => "az",
        }
    }
}

/// `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`; the prefix may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketUrl {
    pub provider: Provider,
    pub bucket: String,
    /// Without a slash at either end.
    pub prefix: String,
}

/// The rule that a URL breaks, to be read after the name of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("must begin with s3://, gs:// or az://")]
    Scheme,
    #[error("must name a bucket of letters, digits, -, _ and . behind the //")]
    Bucket,
    #[error("must have a prefix of letters, digits, -, _, . and = between single slashes")]
    Prefix,
}

impl FromStr for BucketUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let provider = match scheme {
            "s3" => Provider::S3,
            "gs" => Provider::Gcs,
            "az" => Provider::Azure,
            _ => return Err(UrlError::Scheme),
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_plain = |text: &str, also: &str| {
            text.chars().all(|letter| letter.is_ascii_alphanumeric() || also.contains(letter))
        };
        if bucket.is_empty() || !is_plain(bucket, "-_.") {
            return Err(UrlError::Bucket);
        }
        let mut segments: Vec<&str> = prefix.split('/').collect();
        if segments.last() == Some(&"") {
            segments.pop();
        }
        let is_segment = |text: &&str| !["", ".", ".."].contains(text) && is_plain(text, "-_.=");
        if !segments.iter().all(is_segment) {
            return Err(UrlError::Prefix);
        }
        Ok(BucketUrl { provider, bucket: bucket.to_owned(), prefix: segments.join("/") })
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.provider.scheme(), self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown() {
        for (text, provider, bucket, prefix) in [
            ("s3://telemetry", Provider::S3, "telemetry", ""),
            ("gs://telemetry/eu/v=1", Provider::Gcs, "telemetry", "eu/v=1"),
            ("az://tele-metry.x_1/a", Provider::Azure, "tele-metry.x_1", "a"),
        ] {
            let url: BucketUrl = text.parse().unwrap();
            assert_eq!(url, BucketUrl { provider, bucket: bucket.into(), prefix: prefix.into() });
            assert_eq!(url.to_string(), text);
            assert_eq!(format!("{text}/").parse(), Ok(url));
        }
    }

    #[test]
    fn what_is_no_url_of_a_bucket_is_refused_by_its_rule() {
        for text in ["", "telemetry", "s3:/x", "S3://x", "https://x.s3.amazonaws.com", "file:///x"] {
            assert_eq!(text.parse::<BucketUrl>(), Err(UrlError::Scheme), "{text}");
        }
        for text in ["s3://", "s3:///a", "gs://key:secret@bucket/a", "az://a b"] {
            assert_eq!(text.parse::<BucketUrl>(), Err(UrlError::Bucket), "{text}");
        }
        for text in ["s3://b//", "s3://b/a//c", "s3://b/../c", "s3://b/a?x=1", "s3://b/ä"] {
            assert_eq!(text.parse::<BucketUrl>(), Err(UrlError::Prefix), "{text}");
        }
    }
}
