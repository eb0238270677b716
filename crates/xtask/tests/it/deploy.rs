//! The files of `deploy/` that somebody else's programs read: those programs, or their schemas, accept them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// The files of a folder and of the folders in it.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut all = Vec::new();
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

/// The documents of a file.
pub fn yaml(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// A program that `cargo xtask test` has installed from PyPI.
#[expect(clippy::disallowed_methods, reason = "a test has nobody to hand it its arguments")]
fn tool(name: &str) -> Command {
    let folder = std::env::var("WATTLINE_TEST_MANIFEST_TOOLS").unwrap_or_else(|_| {
        panic!("WATTLINE_TEST_MANIFEST_TOOLS is not set: `cargo xtask test` installs them")
    });
    Command::new(Path::new(&folder).join(name))
}

#[track_caller]
fn succeeds(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&text));
}

fn kubernetes() -> PathBuf {
    root().join("deploy/kubernetes")
}

/// The objects of Kubernetes, not those of kustomize or of an operator, whose schemas are elsewhere.
fn manifests() -> Vec<PathBuf> {
    let is_ours = |file: &PathBuf| {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        name.ends_with(".yaml") && name != "kustomization.yaml" && name != "servicemonitor.yaml"
            // A patch is a part of an object.
            && !file.parent().is_some_and(|folder| folder.ends_with("components/tls"))
    };
    let manifests: Vec<PathBuf> = files(&kubernetes()).into_iter().filter(is_ours).collect();
    assert!(manifests.len() > 5, "{manifests:?}");
    manifests
}

#[test]
fn the_manifests_fit_the_schemas_of_kubernetes() {
    // The oldest version whose probes, policies and pauses they use, and the newest.
    for version in ["1.33.0", "1.37.0"] {
        let strict = ["--strict", "--quiet", "--kubernetes-version", version];
        succeeds(tool("kubernetes-validate").args(strict).args(manifests()));
    }
}

#[test]
fn a_kustomization_names_what_lies_beside_it() {
    for file in files(&kubernetes()).iter().filter(|file| file.ends_with("kustomization.yaml")) {
        let kustomization = yaml(file).remove(0);
        let names = |value: &Value| value.as_str().expect("a name").to_owned();
        let resources = kustomization["resources"].as_array().into_iter().flatten().map(names);
        let patches = kustomization["patches"].as_array().into_iter().flatten();
        let generators = kustomization["configMapGenerator"].as_array().into_iter().flatten();
        let generated = generators.flat_map(|generator| generator["files"].as_array().expect("files"));
        let named: BTreeSet<String> = resources
            .chain(patches.map(|patch| names(&patch["path"])))
            .chain(generated.map(names))
            .chain(["kustomization.yaml".to_owned()])
            .collect();
        let folder = file.parent().expect("a folder");
        let beside = files(folder)
            .into_iter()
            .map(|file| file.strip_prefix(folder).expect("beside it").to_string_lossy().into_owned());
        assert_eq!(named, beside.collect(), "{}", file.display());
    }
}

/// Every container of a pod is kept from what it does not need, whatever the cluster demands.
#[test]
fn every_pod_is_restricted() {
    let mut pods = 0;
    for object in manifests().iter().flat_map(|file| yaml(file)) {
        let specification = match object["kind"].as_str() {
            Some("Deployment" | "Job") => &object["spec"]["template"]["spec"],
            Some("CronJob") => &object["spec"]["jobTemplate"]["spec"]["template"]["spec"],
            _ => continue,
        };
        pods += 1;
        let pod = &specification["securityContext"];
        assert!(pod["runAsNonRoot"] == true && pod["seccompProfile"]["type"] == "RuntimeDefault", "{pod:#}");
        assert_eq!(specification["automountServiceAccountToken"], false);
        for container in specification["containers"].as_array().expect("containers") {
            let own = &container["securityContext"];
            assert!(
                own["readOnlyRootFilesystem"] == true && own["allowPrivilegeEscalation"] == false,
                "{own:#}"
            );
            assert_eq!(own["capabilities"]["drop"], serde_json::json!(["ALL"]));
            assert!(container["resources"]["limits"]["memory"].is_string(), "{container:#}");
        }
    }
    assert_eq!(pods, 5);
}

#[test]
fn the_dockerfile_passes_its_linter() {
    succeeds(tool("hadolint").arg(root().join("deploy/Dockerfile")));
}

#[test]
fn the_units_of_systemd_are_hardened() {
    let services = files(&root().join("deploy/systemd"));
    let services: Vec<&PathBuf> = services
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "service"))
        .collect();
    assert_eq!(services.len(), 6, "{services:?}");
    for service in services {
        // Of 100, where 0 is no exposure.
        let strict = ["security", "--offline=true", "--threshold=15", "--no-pager"];
        succeeds(Command::new("systemd-analyze").args(strict).arg(service));
    }
}

/// Names like WATTLINE_KAFKA_BROKERS, from wherever they stand.
fn variables(text: &str) -> BTreeSet<&str> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    words.filter(|word| word.starts_with("WATTLINE_")).collect()
}

#[test]
fn the_environment_that_is_set_is_one_that_is_read() {
    let text = fs::read_to_string(root().join("deploy/wattline.toml")).expect("the configuration");
    let configuration: toml::Table = text.parse().expect("TOML");
    let keys: BTreeSet<String> = configuration
        .iter()
        .flat_map(|(section, keys)| {
            let keys = keys.as_table().expect("a section").keys();
            keys.map(move |key| format!("WATTLINE_{section}_{key}").to_uppercase())
        })
        .collect();
    assert!(keys.contains("WATTLINE_KAFKA_BROKERS") && keys.len() > 50, "{keys:?}");
    let mut set = 0;
    for place in ["deploy/Dockerfile", "deploy/compose.yaml", "deploy/systemd", "deploy/kubernetes"] {
        let place = root().join(place);
        for file in if place.is_dir() { files(&place) } else { vec![place] } {
            let text = fs::read_to_string(&file).expect("text");
            for variable in variables(&text) {
                set += 1;
                assert!(keys.contains(variable), "{}: no key is read from {variable}", file.display());
            }
        }
    }
    assert!(set > 15, "{set} variables are few");
}

#[test]
fn what_compose_mounts_is_there_and_what_it_waits_for_has_a_health_check() {
    let folder = root().join("deploy");
    let compose = yaml(&folder.join("compose.yaml")).remove(0);
    let services = compose["services"].as_object().expect("services");
    for (name, service) in services {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let from = volume.as_str().and_then(|volume| volume.split(':').next()).expect("a volume");
            let is_there = match from.strip_prefix("./") {
                Some(path) => folder.join(path).exists(),
                None => compose["volumes"].get(from).is_some(),
            };
            assert!(is_there, "{name}: there is no {from}");
        }
        for (needed, how) in service["depends_on"].as_object().into_iter().flatten() {
            let other = services.get(needed).unwrap_or_else(|| panic!("{name} waits for {needed}"));
            match how["condition"].as_str() {
                Some("service_healthy") => assert!(other["healthcheck"].is_object(), "{needed}"),
                Some("service_completed_successfully") => assert!(other["command"].is_array(), "{needed}"),
                other => panic!("{name} waits for {needed}: {other:?}"),
            }
        }
    }
}
