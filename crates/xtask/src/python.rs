//! Programs from PyPI, each group of them in a Python environment of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::paths;
use crate::process::{run, run_within, succeeds};

const INSTALL_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// What is installed together.
pub struct Packages {
    /// The folder in the cache.
    pub name: &'static str,
    /// What it is, and how much, for whoever waits.
    pub what: &'static str,
    /// The list of packages, from the root of the repository.
    pub requirements: &'static str,
    /// The oldest Python that they run on: 3 and this.
    pub python_minor_min: u32,
}

/// Tools that hold the API's description to the gateway.
pub const OPENAPI: Packages = Packages {
    name: "openapi",
    what: "the tools for OpenAPI from PyPI (about 100 MB, once)",
    requirements: "deploy/local/openapi/requirements.txt",
    python_minor_min: 11,
};

/// What holds the files of `deploy/` to the programs that read them.
pub const MANIFESTS: Packages = Packages {
    name: "manifests",
    what: "the schemas of Kubernetes and a linter from PyPI (about 25 MB, once)",
    requirements: "deploy/local/manifests/requirements.txt",
    python_minor_min: 11,
};

/// What reads Parquet in the cookbook.
pub const COOKBOOK: Packages = Packages {
    name: "cookbook",
    what: "DuckDB and Polars from PyPI (about 80 MB, once)",
    requirements: "deploy/local/cookbook/requirements.txt",
    python_minor_min: 11,
};

impl Packages {
    /// Installs them, unless the cache has them, and returns the folder of the environment's programs.
    pub fn install(&self) -> anyhow::Result<PathBuf> {
        let Packages { name, what, requirements, python_minor_min } = self;
        let requirements = paths::root().join(requirements);
        let wanted = fs::read_to_string(&requirements)
            .with_context(|| format!("reading {}", requirements.display()))?;
        let folder = paths::cache()?.join(name);
        let programs = folder.join("bin");
        let installed = folder.join("installed");
        if fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
            return Ok(programs);
        }
        let probe =
            format!("import sys, venv, ensurepip; sys.exit(sys.version_info < (3, {python_minor_min}))");
        if !succeeds("python3", &["-c", &probe]) {
            bail!("{what} need Python 3.{python_minor_min} or later with venv, as python3");
        }
        println!("Installing {what} …");
        self.make(&folder, &programs, &requirements).with_context(|| format!("installing {what}"))?;
        fs::write(&installed, wanted).context("noting the installation")?;
        Ok(programs)
    }

    fn make(&self, folder: &Path, programs: &Path, requirements: &Path) -> anyhow::Result<()> {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
        let mut pip = Command::new(programs.join("python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--no-deps",
            "--disable-pip-version-check",
            "--no-input",
            "-q",
            "-r",
        ])
        .arg(requirements);
        run_within(INSTALL_DEADLINE, &mut pip)
    }
}
