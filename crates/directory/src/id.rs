//! What names look like. Site and device ids are the client's own strings.

/// The longest site or device id.
pub const ID_BYTES_MAX: usize = 128;
/// The longest client id.
const CLIENT_ID_BYTES_MAX: usize = 63;

/// The rule that an id breaks; it never repeats the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidId(pub &'static str);

/// A client's id is its name: `[a-z0-9][a-z0-9_-]{0,62}`.
pub fn check_client_id(id: &str) -> Result<(), InvalidId> {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let starts_well = id.bytes().next().is_some_and(is_alphanumeric);
    let goes_on_well = id.bytes().all(|byte| is_alphanumeric(byte) || matches!(byte, b'_' | b'-'));
    if starts_well && goes_on_well && id.len() <= CLIENT_ID_BYTES_MAX {
        Ok(())
    } else {
        Err(InvalidId("must be 1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit"))
    }
}

/// A site's or device's id: 1 to 128 bytes without control characters.
pub fn check_device_id(id: &str) -> Result<(), InvalidId> {
    if id.is_empty() || id.len() > ID_BYTES_MAX || id.chars().any(char::is_control) {
        Err(InvalidId("must be 1 to 128 bytes without control characters"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_at_their_bounds() {
        let client = |id: &str| check_client_id(id).is_ok();
        assert!(client("a") && client("0_-") && client(&"a".repeat(63)));
        assert!(!client("") && !client("-a") && !client("A") && !client("é"));
        assert!(!client(&"a".repeat(64)));
        let device = |id: &str| check_device_id(id).is_ok();
        assert!(device(" ") && device("Ünit/7") && device(&"x".repeat(128)));
        assert!(!device("") && !device("a\0") && !device("a\n") && !device("\u{85}"));
        assert!(!device(&"x".repeat(129)));
    }
}
