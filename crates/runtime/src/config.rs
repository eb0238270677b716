use std::path::Path;

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// The prefix of the environment variables that set keys.
const PREFIX: &str = "WATTLINE_";

/// Reads a configuration: the defaults of `T`, over them the file, over it the environment.
///
/// A configuration has sections of one word with keys in them. `WATTLINE_KAFKA_BROKERS` sets the key
/// `brokers` of the section `kafka`. A section or a key that `T` does not have is an error, in the file and
/// in the environment, and so is a value of another type; each error names the key.
pub fn load<T: DeserializeOwned + Serialize + Default>(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> anyhow::Result<T> {
    let defaults = Table::try_from(T::default()).context("the defaults of the configuration")?;
    let mut table = defaults.clone();
    if let Some(path) = file {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let given: Table = text.parse().with_context(|| format!("{} is not TOML", path.display()))?;
        merge(&mut table, given, &defaults).with_context(|| format!("in {}", path.display()))?;
    }
    for (name, value) in environment {
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        // Tests and tools have variables of their own.
        if path.starts_with("TEST_") {
            continue;
        }
        set(&mut table, &defaults, path, value)
            .with_context(|| format!("in the environment variable {name}"))?;
    }
    Ok(table.try_into()?)
}

fn merge(table: &mut Table, given: Table, defaults: &Table) -> anyhow::Result<()> {
    for (section, keys) in given {
        let known = section_of(defaults, &section)?;
        let Value::Table(keys) = keys else { bail!("[{section}] must be a section") };
        for (key, value) in keys {
            let value = fitting(&section, &key, known, value)?;
            section_of_mut(table, &section)?.insert(key, value);
        }
    }
    Ok(())
}

fn set(table: &mut Table, defaults: &Table, path: &str, value: String) -> anyhow::Result<()> {
    let path = path.to_lowercase();
    let Some((section, key)) = path.split_once('_') else { bail!("no section and key in the name") };
    let known = section_of(defaults, section)?;
    let value = match known.get(key) {
        Some(Value::Integer(_)) => Value::Integer(
            value.trim().parse().map_err(|_| anyhow::anyhow!("{section}.{key} must be a whole number"))?,
        ),
        Some(Value::Float(_)) => Value::Float(
            value.trim().parse().map_err(|_| anyhow::anyhow!("{section}.{key} must be a number"))?,
        ),
        Some(Value::Boolean(_)) => Value::Boolean(
            value.trim().parse().map_err(|_| anyhow::anyhow!("{section}.{key} must be true or false"))?,
        ),
        Some(Value::Table(_)) => {
            let parsed: Table = value
                .parse()
                .map_err(|_| anyhow::anyhow!("{section}.{key} must be TOML lines: \"name\" = \"value\""))?;
            Value::Table(parsed)
        }
        _ => Value::String(value),
    };
    let value = fitting(section, key, known, value)?;
    section_of_mut(table, section)?.insert(key.to_owned(), value);
    Ok(())
}

/// The value, when the section has the key and the type is the one of its default.
fn fitting(section: &str, key: &str, known: &Table, value: Value) -> anyhow::Result<Value> {
    let Some(default) = known.get(key) else {
        let keys: Vec<&str> = known.keys().map(String::as_str).collect();
        bail!("unknown key {section}.{key}; [{section}] has {}", keys.join(", "));
    };
    let value = match (default, value) {
        (Value::Float(_), Value::Integer(whole)) => Value::Float(whole as f64),
        (_, value) => value,
    };
    if !default.same_type(&value) {
        bail!("{section}.{key} must be of the type {}, not {}", default.type_str(), value.type_str());
    }
    Ok(value)
}

fn section_of<'a>(table: &'a Table, section: &str) -> anyhow::Result<&'a Table> {
    let sections: Vec<&str> = table.keys().map(String::as_str).collect();
    table
        .get(section)
        .and_then(Value::as_table)
        .with_context(|| format!("unknown section [{section}]; there are {}", sections.join(", ")))
}

fn section_of_mut<'a>(table: &'a mut Table, section: &str) -> anyhow::Result<&'a mut Table> {
    table
        .get_mut(section)
        .and_then(Value::as_table_mut)
        .with_context(|| format!("unknown section [{section}]"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, Serialize, PartialEq)]
    struct Config {
        gateway: Gateway,
    }

    #[derive(Debug, Deserialize, Serialize, PartialEq)]
    struct Gateway {
        listen: String,
        points_max: u32,
        share: f64,
        tls: bool,
    }

    impl Default for Config {
        fn default() -> Self {
            let listen = "127.0.0.1:8080".into();
            Config { gateway: Gateway { listen, points_max: 10, share: 0.5, tls: false } }
        }
    }

    fn from(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let folder = std::env::temp_dir().join(format!("wattline-config-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{:?}.toml", std::thread::current().id()));
        std::fs::write(&path, file).unwrap();
        let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let loaded = load(Some(&path), environment).map_err(|error| format!("{error:#}"));
        std::fs::remove_file(&path).unwrap();
        loaded
    }

    #[test]
    fn the_environment_is_over_the_file_is_over_the_defaults() {
        let config = from(
            "[gateway]\npoints_max = 20\ntls = true",
            &[("WATTLINE_GATEWAY_POINTS_MAX", "30"), ("WATTLINE_TEST_KAFKA", "x"), ("HOME", "/")],
        )
        .unwrap();
        let listen = "127.0.0.1:8080".into();
        assert_eq!(config.gateway, Gateway { listen, points_max: 30, share: 0.5, tls: true });
    }

    #[test]
    fn a_number_may_be_a_whole_one() {
        let share = |file: &str, environment: &[(&str, &str)]| from(file, environment).unwrap().gateway.share;
        assert_eq!(share("[gateway]\nshare = 0.25", &[]), 0.25);
        assert_eq!(share("[gateway]\nshare = 1", &[]), 1.0);
        assert_eq!(share("[gateway]\nshare = 1", &[("WATTLINE_GATEWAY_SHARE", "0.75")]), 0.75);
        let wrong = from("", &[("WATTLINE_GATEWAY_SHARE", "half")]).unwrap_err();
        assert!(wrong.contains("gateway.share must be a number"), "{wrong}");
    }

    #[test]
    fn an_error_names_the_key_and_the_place() {
        let error = |file: &str, environment: &[(&str, &str)]| from(file, environment).unwrap_err();
        assert!(error("[gateway]\nlisten_on = 1", &[]).contains("unknown key gateway.listen_on"));
        assert!(error("[gateways]\nlisten = \"\"", &[]).contains("unknown section [gateways]"));
        let wrong = error("[gateway]\npoints_max = \"many\"", &[]);
        assert!(wrong.contains("gateway.points_max must be of the type integer"), "{wrong}");
        let wrong = error("", &[("WATTLINE_GATEWAY_POINTS_MAX", "many")]);
        assert!(wrong.contains("WATTLINE_GATEWAY_POINTS_MAX"), "{wrong}");
        assert!(wrong.contains("gateway.points_max must be a whole number"), "{wrong}");
        assert!(error("", &[("WATTLINE_GATEWAY_NONE", "1")]).contains("unknown key gateway.none"));
    }
}
