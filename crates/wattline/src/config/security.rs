//! TLS and SASL on the way to Kafka: from keys of the configuration to librdkafka's properties.

use std::collections::BTreeMap;

use anyhow::{bail, ensure};

use super::Kafka;
use super::checks::secret;

/// All properties: those of the keys, and those that are given by their own names.
pub(super) fn properties(kafka: &Kafka) -> anyhow::Result<BTreeMap<String, String>> {
    let (has_tls, has_sasl) = match kafka.security_protocol.as_str() {
        "plaintext" => (false, false),
        "ssl" => (true, false),
        "sasl_plaintext" => (false, true),
        "sasl_ssl" => (true, true),
        _ => bail!("kafka.security_protocol must be plaintext, ssl, sasl_plaintext or sasl_ssl"),
    };
    let mut given = Vec::new();
    if has_tls || has_sasl {
        given.push(("kafka.security_protocol", "security.protocol", kafka.security_protocol.clone()));
    }
    given.extend(tls(kafka, has_tls)?);
    given.extend(sasl(kafka, has_sasl)?);
    let mut properties = kafka.properties.clone();
    for (key, property, value) in given {
        let twice = properties.insert(property.to_owned(), value).is_some();
        ensure!(!twice, "set {key} or {property:?} in [kafka.properties], not both");
    }
    Ok(properties)
}

type Given = (&'static str, &'static str, String);

fn tls(kafka: &Kafka, is_used: bool) -> anyhow::Result<impl Iterator<Item = Given>> {
    let files = [
        ("kafka.tls_ca_file", "ssl.ca.location", &kafka.tls_ca_file),
        ("kafka.tls_certificate_file", "ssl.certificate.location", &kafka.tls_certificate_file),
        ("kafka.tls_key_file", "ssl.key.location", &kafka.tls_key_file),
    ];
    let set: Vec<Given> = files
        .into_iter()
        .filter(|(.., file)| !file.is_empty())
        .map(|(key, property, file)| (key, property, file.clone()))
        .collect();
    if let Some((key, ..)) = set.first() {
        ensure!(is_used, "{key} is for a kafka.security_protocol of ssl or sasl_ssl");
    }
    ensure!(
        kafka.tls_certificate_file.is_empty() == kafka.tls_key_file.is_empty(),
        "set both kafka.tls_certificate_file and kafka.tls_key_file, or neither"
    );
    Ok(set.into_iter())
}

fn sasl(kafka: &Kafka, is_used: bool) -> anyhow::Result<Vec<Given>> {
    let (file_key, file) = ("kafka.sasl_password_file", &kafka.sasl_password_file);
    if !is_used {
        let is_set = [&kafka.sasl_username, &kafka.sasl_password, file].iter().any(|text| !text.is_empty());
        // Whoever gives a password means it to be asked for.
        ensure!(
            !is_set,
            "kafka.sasl_username and its password are for a kafka.security_protocol of sasl_ssl or sasl_plaintext"
        );
        return Ok(Vec::new());
    }
    ensure!(
        ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].contains(&kafka.sasl_mechanism.as_str()),
        "kafka.sasl_mechanism must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    );
    ensure!(!kafka.sasl_username.is_empty(), "kafka.sasl_username is not set");
    let password = secret("kafka.sasl_password", &kafka.sasl_password, file_key, file)?;
    ensure!(
        !password.is_empty(),
        "kafka.sasl_password is not set: put it into a file and name that in {file_key}, or into the environment \
         variable WATTLINE_KAFKA_SASL_PASSWORD"
    );
    Ok(vec![
        ("kafka.sasl_mechanism", "sasl.mechanism", kafka.sasl_mechanism.clone()),
        ("kafka.sasl_username", "sasl.username", kafka.sasl_username.clone()),
        ("kafka.sasl_password", "sasl.password", password),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secured() -> Kafka {
        Kafka {
            security_protocol: "sasl_ssl".into(),
            sasl_username: "wattline".into(),
            sasl_password: "p".into(),
            tls_ca_file: "ca.pem".into(),
            ..Kafka::default()
        }
    }

    #[test]
    fn keys_become_properties_and_each_is_said_once() {
        assert!(properties(&Kafka::default()).unwrap().is_empty());
        let set = properties(&secured()).unwrap();
        let set: Vec<(&str, &str)> =
            set.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            set,
            [
                ("sasl.mechanism", "SCRAM-SHA-512"),
                ("sasl.password", "p"),
                ("sasl.username", "wattline"),
                ("security.protocol", "sasl_ssl"),
                ("ssl.ca.location", "ca.pem"),
            ]
        );
        let mut by_name = Kafka::default();
        by_name.properties.insert("security.protocol".into(), "ssl".into());
        assert_eq!(properties(&by_name).unwrap(), by_name.properties);
    }

    #[test]
    fn what_does_not_go_together_is_refused_by_its_keys() {
        let twice = BTreeMap::from([("sasl.password".to_owned(), "x".to_owned())]);
        for (kafka, named) in [
            (Kafka { security_protocol: "tls".into(), ..secured() }, "kafka.security_protocol must be"),
            (Kafka { security_protocol: "ssl".into(), ..secured() }, "kafka.sasl_username"),
            (Kafka { security_protocol: "sasl_plaintext".into(), ..secured() }, "kafka.tls_ca_file is for"),
            (Kafka { sasl_mechanism: "GSSAPI".into(), ..secured() }, "kafka.sasl_mechanism must be"),
            (Kafka { sasl_username: String::new(), ..secured() }, "kafka.sasl_username is not set"),
            (Kafka { sasl_password: String::new(), ..secured() }, "kafka.sasl_password is not set"),
            (Kafka { sasl_password_file: "x".into(), ..secured() }, "not both"),
            (Kafka { tls_key_file: "x".into(), ..secured() }, "or neither"),
            (Kafka { properties: twice, ..secured() }, "kafka.sasl_password or \"sasl.password\""),
        ] {
            let told = properties(&kafka).unwrap_err().to_string();
            assert!(told.contains(named), "{told}");
        }
    }
}
