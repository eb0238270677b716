//! `deploy/openapi.yaml` is true: tools that know nothing of Wattline read it, and make requests of it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::exchange;
use crate::points::post;
use crate::process::Process;
use crate::site::Site;

const VALIDATED_DEADLINE: Duration = Duration::from_secs(60);
const TRIED_DEADLINE: Duration = Duration::from_secs(300);
/// What is shown of a line: some repeat a body of a thousand points.
const LINE_CHARS_MAX: usize = 400;

fn description() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/openapi.yaml"))
}

#[expect(clippy::disallowed_methods, reason = "a test has nobody to hand it its arguments")]
fn given(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

fn tool(name: &str) -> Command {
    let folder = given("WATTLINE_TEST_OPENAPI_TOOLS").unwrap_or_else(|| {
        panic!("WATTLINE_TEST_OPENAPI_TOOLS is not set: `cargo xtask test -- -p wattline` installs them")
    });
    let mut command = Command::new(PathBuf::from(folder).join(name));
    command.env_clear().env("LANG", "C.UTF-8").env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

#[test]
fn the_description_is_valid_openapi() {
    let site = tempfile::tempdir().expect("a folder");
    let mut command = tool("openapi-spec-validator");
    command.args(["--errors", "all"]).arg(description());
    let mut process = Process::start("openapi-spec-validator".into(), command, site.path());
    let status = process.wait(VALIDATED_DEADLINE);
    assert!(status.success(), "{}", process.log());
}

/// A site with the devices that `schemathesis.toml`, `hooks.py` and the examples of the description name.
fn home() -> Value {
    let ids = (1..=24).map(|number| format!("device-{number:02}"));
    let spares = (1..=400).map(|number| format!("spare-{number}"));
    let ids = ids.chain(spares).chain(["bat-000001".to_owned()]);
    let devices: Vec<Value> = ids.map(|id| json!({ "id": id, "type": "BATTERY" })).collect();
    json!({ "site": { "id": "home" }, "devices": devices })
}

/// schemathesis sends what the description says and what it says not to send, and judges every answer.
#[test]
fn the_gateway_is_as_it_is_described() {
    let site = Site::new("openapi");
    let token = site.token("demo");
    // The examples are of one day, which will be long ago or is yet to come.
    let always =
        [("WATTLINE_GATEWAY_PAST_MAX_HOURS", "1000000"), ("WATTLINE_GATEWAY_FUTURE_MAX_S", "2000000000")];
    let gateway = site.gateway(&always);
    let answer = exchange(gateway.address, &post("/v1/commission", &token).json(&home()));
    assert_eq!(answer.status, 200, "{}", answer.text());

    fs::write(site.path("schemathesis.toml"), include_str!("../openapi/schemathesis.toml")).expect("a file");
    fs::write(site.path("hooks.py"), include_str!("../openapi/hooks.py")).expect("a file");
    let seed = given("WATTLINE_TEST_SEED").unwrap_or_else(|| "1".to_owned());
    let url = format!("http://{}", gateway.address);
    let mut command = tool("schemathesis");
    command
        .current_dir(site.path("."))
        .env("WATTLINE_URL", &url)
        .env("WATTLINE_CLIENT_TOKEN", &token)
        .env("WATTLINE_OPENAPI", description())
        .args(["--config-file", "schemathesis.toml", "run", "--no-color", "--url", &url, "--seed", &seed])
        .arg(description());
    let mut process = Process::start("schemathesis".into(), command, &site.path("."));
    let status = process.wait(TRIED_DEADLINE);
    let log = process.log();
    let shown: Vec<String> = log.lines().map(|line| line.chars().take(LINE_CHARS_MAX).collect()).collect();
    assert!(status.success(), "seed {seed}: {}", shown.join("\n"));
    // Endpoints that were left out would be found good too.
    for line in ["Selected: 24/24", "Tested: 24"] {
        assert!(log.contains(line), "{line} is missing: {}", shown.join("\n"));
    }
    for phase in ["Examples", "Coverage", "Fuzzing", "Stateful"] {
        assert!(log.contains(&format!("✅ {phase}")), "{phase} is missing: {}", shown.join("\n"));
    }
    assert!(!log.contains(&token), "the token is not told");

    // What telemetry of the examples was OK went into Kafka.
    let accepted = gateway.ops.metric("wattline_gateway_points_total", &["outcome=\"ok\""]);
    assert!(accepted > 0.0, "no point was OK");
}
