//! Programs that are built with the machine's Go from the Go module proxy, into the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::{paths, process};

const BUILD_DEADLINE: Duration = Duration::from_secs(15 * 60);

pub const BENTHOS: Program =
    Program { name: "benthos", what: "Benthos", source: "deploy/local/peers/benthos" };
pub const COLLECTOR: Program =
    Program { name: "otelcol", what: "an OpenTelemetry Collector", source: "deploy/local/collector" };

#[derive(Clone, Copy)]
pub struct Program {
    name: &'static str,
    what: &'static str,
    /// The folder of its module.
    source: &'static str,
}

impl Program {
    /// Builds it where that was not done with this go.mod yet.
    pub fn build(self) -> anyhow::Result<PathBuf> {
        ensure!(process::succeeds("go", &["version"]), "Go is not on this machine");
        let source = paths::root().join(self.source);
        let program = paths::cache()?.join(self.name);
        if is_newer(&source.join("go.mod"), &program) {
            println!("Building {} from the Go module proxy (about a minute, once) …", self.what);
            let mut go = Command::new("go");
            go.args(["build", "-o"])
                .arg(&program)
                .arg(".")
                .current_dir(&source)
                .env("GOFLAGS", "-mod=readonly");
            process::run_within(BUILD_DEADLINE, &mut go)
                .with_context(|| format!("building {}", self.what))?;
        }
        Ok(program)
    }
}

/// Whether a file was changed after another was made, or the other is not there.
fn is_newer(file: &Path, made: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|of| of.modified());
    match (time(file), time(made)) {
        (Ok(changed), Ok(made)) => changed > made,
        _ => true,
    }
}
