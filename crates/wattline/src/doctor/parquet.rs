//! Where the Parquet files are.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wattline_parquet_sink::{Folder, Space, Store};

use super::check::Check;
use super::{blocking, bucket, shown, words};
use crate::config::Config;

const FREE_BYTES_MIN: u64 = 1 << 30;
/// One part in so many.
const FREE_SHARE_MIN: u64 = 10;

pub(super) async fn examine(config: Arc<Config>) -> Vec<Check> {
    match config.store() {
        Ok(Store::Folder(folder)) => examine_folder(&config, folder).await,
        Ok(Store::Bucket(bucket)) => bucket::examine(bucket).await,
        Err(cause) => {
            let advice = "mend [parquet] and [bucket]: docs/configuration.md";
            vec![Check::failed("parquet.configuration", words(&cause), advice)]
        }
    }
}

async fn examine_folder(config: &Config, folder: Folder) -> Vec<Check> {
    let name = shown(Path::new(&config.parquet.dir));
    let asked = folder.clone();
    match blocking(move || Ok(asked.is_there())).await {
        Ok(true) => {}
        Ok(false) => {
            let advice = format!("type, as the worker's user: mkdir -p {name}");
            return vec![Check::failed("parquet.folder", format!("there is no folder {name}"), advice)];
        }
        Err(cause) => {
            let advice = format!("see whether its file system answers: stat {name}");
            return vec![Check::failed("parquet.folder", words(&cause), advice)];
        }
    }
    let mut checks = vec![Check::ok("parquet.folder", name.as_str())];
    let asked = folder.clone();
    checks.push(match blocking(move || Ok(asked.rehearse()?)).await {
        Ok(()) => Check::ok("parquet.write", "a file can be written and moved to its place"),
        Err(cause) => {
            let found = words(&cause);
            let advice = if found.contains("cross-device") {
                format!(
                    "{name}/.tmp and the files have to be on one file system: mount it on {name}, not below"
                )
            } else {
                format!("the worker's user has to write there: chown -R USER {name}")
            };
            Check::failed("parquet.write", found, advice)
        }
    });
    let asked = folder.clone();
    checks.push(match blocking(move || Ok(asked.space()?)).await {
        Ok(space) => free(space),
        Err(cause) => {
            Check::failed("parquet.space", words(&cause), format!("see what df says: df -h {name}"))
        }
    });
    // One under way is written to whenever a batch is, or is finished.
    let old = Duration::from_millis(config.parquet.file_age_max_ms) * 2 + Duration::from_secs(60);
    checks.push(match blocking(move || Ok(folder.left_over(old)?)).await {
        Ok(files) if files.is_empty() => Check::ok("parquet.leftovers", "none"),
        Ok(files) => Check::warning(
            "parquet.leftovers",
            format!("{} temporary files that nobody writes to", files.len()),
            format!("a worker removes those of its partitions when it starts; the rest: rm {name}/.tmp/*"),
        ),
        Err(cause) => Check::failed("parquet.leftovers", words(&cause), format!("type: ls {name}/.tmp")),
    });
    checks
}

fn free(space: Space) -> Check {
    const MIB: u64 = 1 << 20;
    let Space { free_bytes, total_bytes } = space;
    let found = format!("{} of {} MiB are free", free_bytes / MIB, total_bytes / MIB);
    let advice =
        "make room or a larger disk: a full one stops the workers, and Kafka keeps what they do not take";
    if total_bytes == 0 {
        Check::ok("parquet.space", "the file system does not say how large it is")
    } else if free_bytes < FREE_BYTES_MIN {
        Check::failed("parquet.space", found, advice)
    } else if free_bytes < total_bytes / FREE_SHARE_MIN {
        Check::warning("parquet.space", found, advice)
    } else {
        Check::ok("parquet.space", found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_nearly_full_is_told_before_it_is_full() {
        const GIB: u64 = 1 << 30;
        let told =
            |free_bytes, total_bytes| serde_json::to_value(free(Space { free_bytes, total_bytes })).unwrap();
        for (free_bytes, total_bytes, status) in [
            (20 * GIB, 200 * GIB, "ok"),
            (20 * GIB - 1, 200 * GIB, "warning"),
            (GIB, 5 * GIB, "ok"),
            (GIB - 1, 5 * GIB, "failed"),
            (GIB - 1, 1_000 * GIB, "failed"),
            (0, 0, "ok"),
        ] {
            assert_eq!(told(free_bytes, total_bytes)["status"], status, "{free_bytes} of {total_bytes}");
        }
        assert_eq!(told(3 * GIB, 200 * GIB)["found"], "3072 of 204800 MiB are free");
    }
}
