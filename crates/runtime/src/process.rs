//! What the process itself is and takes: its version, its memory and the bound of it.

use std::fs;
use std::path::Path;

use metrics::{Unit, describe_gauge, gauge};
use metrics_process::Collector;

const BUILD: &str = "wattline_build_info";
const READY: &str = "wattline_ready";
const MEMORY_MAX: &str = "wattline_process_memory_max_bytes";

/// Samples what changes, each time it is asked for.
#[derive(Clone)]
pub(crate) struct Process {
    collector: Collector,
}

impl Process {
    /// Gives each metric its help text, and those that stay their value.
    pub(crate) fn describe() -> Self {
        let collector = Collector::default();
        collector.describe();
        describe_gauge!(BUILD, "Always 1; the version is a label.");
        describe_gauge!(READY, "Whether /readyz answers 200.");
        describe_gauge!(
            MEMORY_MAX,
            Unit::Bytes,
            "How much memory the control group of the process may take; absent without a limit."
        );
        gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        if let Some(max_bytes) = memory_max_bytes(Path::new("/sys/fs/cgroup"), Path::new("/proc/self/cgroup"))
        {
            gauge!(MEMORY_MAX).set(max_bytes as f64);
        }
        Process { collector }
    }

    pub(crate) fn sample(&self, ready: bool) {
        self.collector.collect();
        gauge!(READY).set(f64::from(u8::from(ready)));
    }
}

/// The smallest limit of the control group that the process is in and of those around it, as systemd, Docker
/// and Kubernetes set it. Only version 2 of control groups is read.
fn memory_max_bytes(root: &Path, membership: &Path) -> Option<u64> {
    let membership = fs::read_to_string(membership).ok()?;
    let group = membership.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // In a container the path may be of the host, where it is not to be seen: what can be seen still counts.
    let folder = root.join(group);
    let around = folder.ancestors().take_while(|folder| folder.starts_with(root));
    around.filter_map(|folder| fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hierarchy of control groups whose files are given, and a process in `group`.
    fn limit(group: &str, files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().expect("a folder");
        for (folder, text) in files {
            let folder = root.path().join("cgroup").join(folder);
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join("memory.max"), text).expect("a file");
        }
        let membership = root.path().join("membership");
        fs::write(&membership, format!("1:name=systemd:/other\n0::{group}\n")).expect("a file");
        // What is around the root is not a control group.
        fs::write(root.path().join("memory.max"), "1\n").expect("a file");
        memory_max_bytes(&root.path().join("cgroup"), &membership)
    }

    #[test]
    fn the_smallest_limit_around_the_process_counts() {
        let service = "/system.slice/wattline-gateway.service";
        let (of_service, slice) = (&service[1..], "system.slice");
        assert_eq!(limit(service, &[(of_service, "1024\n"), (slice, "max\n")]), Some(1024));
        assert_eq!(limit(service, &[(of_service, "max\n"), (slice, "4096\n")]), Some(4096));
        assert_eq!(limit(service, &[(of_service, "4096\n"), (slice, "1024\n")]), Some(1024));
        assert_eq!(limit(service, &[(of_service, "max\n"), (slice, "max\n")]), None);
        // A container sees its own group as the root.
        assert_eq!(limit("/", &[("", "2048\n")]), Some(2048));
        assert_eq!(limit("/kubepods/pod1", &[("", "2048\n")]), Some(2048));
        assert_eq!(limit("/", &[]), None);
    }
}
