//! The bucket of the Parquet files.

use wattline_parquet_sink::{Bucket, ParquetSinkError, Refusal};

use super::check::Check;
use super::{blocking, words};

pub(super) async fn examine(bucket: Bucket) -> Vec<Check> {
    let url = bucket.url().to_owned();
    let asked = bucket.clone();
    let spool = match blocking(move || Ok(asked.spool_is_usable()?)).await {
        Ok(()) => Check::ok("bucket.spool", "files under way can be written"),
        Err(cause) => {
            let advice = "the worker's user has to write there: name another folder in bucket.spool_dir";
            return vec![Check::failed("bucket.spool", words(&cause), advice)];
        }
    };
    let rehearsed = blocking(move || Ok(bucket.rehearse()?)).await;
    let mut checks = vec![spool];
    match rehearsed {
        Ok(refuses_a_second) => {
            checks.push(Check::ok(
                "bucket.objects",
                format!("they can be put, listed, read and deleted in {url}"),
            ));
            checks.push(if refuses_a_second {
                Check::ok("bucket.once", "an object that is there is not put over")
            } else {
                Check::failed(
                    "bucket.once",
                    "the store puts an object over one that is there, though it is told not to (If-None-Match)",
                    "set bucket.conditional_put = false: then it is asked first whether the object is there",
                )
            });
        }
        Err(cause) => {
            checks.push(Check::failed("bucket.objects", words(&cause), advice(&cause)));
        }
    }
    checks
}

/// A refusal is told by the store's status. Of a redirection there are only words.
fn advice(cause: &anyhow::Error) -> String {
    let refusal = cause.downcast_ref().and_then(ParquetSinkError::refusal);
    let is_redirected = || {
        let found = words(cause);
        found.contains("status code: 301") || found.contains("redirect")
    };
    match refusal {
        Some(Refusal::NotFound) => "make the bucket, or mend parquet.dir; Wattline makes none".to_owned(),
        Some(Refusal::NotAllowed) => {
            "see who we are there ([bucket] of docs/configuration.md); it has to be allowed to put, list, read and, \
             for this check, delete objects"
                .to_owned()
        }
        None if is_redirected() => "the bucket is in another region: set bucket.region".to_owned(),
        None => {
            "see that the store can be reached from here, and bucket.endpoint, bucket.tls_ca_file and who we are there; \
             without keys the machine's own role is asked for, which only a machine of the cloud has"
                .to_owned()
        }
    }
}
