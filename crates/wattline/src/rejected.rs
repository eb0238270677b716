//! `wattline rejected`: what was answered OK and could not be stored, looked at and replayed.

use std::collections::BTreeMap;
use std::io::{Write as _, stdout};

use anyhow::bail;
use jiff::Timestamp;
use serde_json::{Value, json};
use wattline_clickhouse_sink::{ClickHouse, RejectedFilter, RejectedRow};
use wattline_kafka::{Producer, Record};
use wattline_model::RejectReason;
use wattline_wire::record;

use crate::arguments::{RejectedCommand, RejectedSelection};
use crate::config::Config;

/// Rows whose bytes are held, and that are marked together.
const ROWS_AT_ONCE_MAX: usize = 200;

pub async fn run(config: Config, command: RejectedCommand) -> anyhow::Result<()> {
    let tables = ClickHouse::new(config.clickhouse.settings()?)?;
    match command {
        RejectedCommand::List { selection, limit, json } => {
            list(&tables, &filter(selection), limit, json).await
        }
        RejectedCommand::Replay { selection, limit, again, force, yes } => {
            let replay = Replay { tables: &tables, force, yes };
            let producer = if yes {
                Some(Producer::new(&config.kafka.connection()?, &config.worker.producer()?)?)
            } else {
                None
            };
            replay.run(&filter(selection), limit, again, producer).await
        }
    }
}

fn filter(selection: RejectedSelection) -> RejectedFilter {
    RejectedFilter {
        reason: selection.reason.unwrap_or_default(),
        topic: selection.topic.unwrap_or_default(),
    }
}

/// What the bytes of a row say, where this version can read them.
struct Content {
    client_id: String,
    device_id: String,
    time_ms: Option<i64>,
    points: usize,
}

/// A record of several points shows the first.
fn content(row: &RejectedRow) -> Option<Content> {
    let record = record::decode(&row.record).ok()?;
    let first = record.points.first();
    Some(Content {
        client_id: record.requests.first()?.header.client_id.to_owned(),
        device_id: first.map_or_else(String::new, |point| point.device_id.to_string()),
        time_ms: first.map(|point| point.time_ms),
        points: record.points.len(),
    })
}

async fn list(tables: &ClickHouse, filter: &RejectedFilter, limit: u32, as_json: bool) -> anyhow::Result<()> {
    let rows = tables.newest_rejected(filter, limit).await?;
    let mut out = stdout().lock();
    if as_json {
        for row in &rows {
            writeln!(out, "{}", line(row))?;
        }
        return Ok(());
    }
    writeln!(
        out,
        "{:<24} {:<26} {:<26} {:>6} {:<20} {:<20} {:<20} REPLAYED",
        "REASON", "WHERE", "TIME", "BYTES", "CLIENT", "DEVICE", "DEVICE TIME"
    )?;
    for row in rows {
        let content = content(&row);
        let of = |text: fn(&Content) -> String| content.as_ref().map_or("-".to_owned(), text);
        writeln!(
            out,
            "{:<24} {:<26} {:<26} {:>6} {:<20} {:<20} {:<20} {}",
            row.reason,
            format!("{}/{} {}:{}", row.topic, row.partition, row.offset, row.index),
            time(row.rejected_at_ms),
            row.record.len(),
            of(|content| content.client_id.clone()),
            of(|content| match content.points {
                0 | 1 => content.device_id.clone(),
                more => format!("{} +{}", content.device_id, more - 1),
            }),
            of(|content| content.time_ms.map_or("-".to_owned(), time)),
            if row.replayed_at_ms == 0 { "-".to_owned() } else { time(row.replayed_at_ms) }
        )?;
    }
    Ok(())
}

fn line(row: &RejectedRow) -> Value {
    let content = content(row);
    json!({
        "reason": row.reason,
        "topic": row.topic,
        "partition": row.partition,
        "offset": row.offset,
        "index": row.index,
        "time": time(row.rejected_at_ms),
        "replayed_at": (row.replayed_at_ms != 0).then(|| time(row.replayed_at_ms)),
        "bytes": row.record.len(),
        "record": base64(&row.record),
        "client_id": content.as_ref().map(|content| &content.client_id),
        "device_id": content.as_ref().map(|content| &content.device_id),
        "device_time": content.as_ref().and_then(|content| content.time_ms).map(time),
        "points": content.as_ref().map(|content| content.points),
    })
}

fn time(time_ms: i64) -> String {
    Timestamp::from_millisecond(time_ms).map_or_else(|_| format!("{time_ms} ms"), |time| time.to_string())
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
        for digit in 0..4 {
            let is_padding = digit > three.len();
            let at = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if is_padding { '=' } else { char::from(DIGITS[at]) });
        }
    }
    text
}

/// Why a row would come back, and is not replayed unless it is forced.
fn futile(row: &RejectedRow) -> Option<&'static str> {
    if row.reason == RejectReason::EqualTimestampConflict.name() {
        return Some("another reading of that device and time stays, so they would be rejected again");
    }
    record::decode(&row.record)
        .is_err()
        .then_some("this version cannot read them, so they would be rejected again")
}

struct Replay<'a> {
    tables: &'a ClickHouse,
    force: bool,
    yes: bool,
}

/// How many rows, by their reason and by why they are left.
#[derive(Default)]
struct Tally {
    replayed: BTreeMap<String, u64>,
    left: BTreeMap<(String, &'static str), u64>,
}

impl Replay<'_> {
    /// Rows are replayed in the order in which they stood in their partitions. What is rejected again meanwhile
    /// is not among them: the places are listed first.
    async fn run(
        &self,
        filter: &RejectedFilter,
        limit: Option<u32>,
        again: bool,
        producer: Option<Producer>,
    ) -> anyhow::Result<()> {
        let places = self.tables.rejected_places(filter, again).await?;
        let mut tally = Tally::default();
        let mut left = limit.map_or(u64::MAX, u64::from);
        for places in places.chunks(ROWS_AT_ONCE_MAX) {
            let mut chosen = Vec::new();
            for row in self.tables.rejected_at(places).await? {
                match futile(&row).filter(|_| !self.force) {
                    Some(why) => *tally.left.entry((row.reason, why)).or_default() += 1,
                    None if left == 0 => break,
                    None => {
                        left -= 1;
                        chosen.push(row);
                    }
                }
            }
            if let Some(producer) = &producer {
                self.append(producer, &chosen).await?;
            }
            for row in chosen {
                *tally.replayed.entry(row.reason).or_default() += 1;
            }
            if left == 0 {
                break;
            }
        }
        self.say(&tally)
    }

    /// Appends the rows and marks those that Kafka has. One that dies in between appends some again the
    /// next time, which changes nothing: a point that is sent twice is stored once.
    async fn append(&self, producer: &Producer, rows: &[RejectedRow]) -> anyhow::Result<()> {
        let mut appended = Vec::new();
        let mut refused = None;
        for row in rows {
            let record = Record { partition: row.partition, value: &row.record };
            if producer.append(&row.topic, &[record]).await.unconfirmed.is_empty() {
                appended.push(row.place());
            } else {
                refused = Some(row);
                break;
            }
        }
        if !appended.is_empty() {
            self.tables.mark_replayed(&appended).await?;
        }
        match refused {
            None => Ok(()),
            Some(row) => bail!(
                "Kafka did not confirm the record from {}/{} {}:{}; those before it are replayed and marked, so type \
                 the same again",
                row.topic,
                row.partition,
                row.offset,
                row.index
            ),
        }
    }

    fn say(&self, tally: &Tally) -> anyhow::Result<()> {
        let mut out = stdout();
        let total: u64 = tally.replayed.values().sum();
        let verb = if self.yes {
            "appended to their topics again"
        } else {
            "would be appended to their topics again"
        };
        writeln!(out, "{total} {verb}")?;
        for (reason, rows) in &tally.replayed {
            writeln!(out, "  {reason}: {rows}")?;
        }
        for ((reason, why), rows) in &tally.left {
            writeln!(out, "left: {reason}: {rows}: {why} (--force replays them all the same)")?;
        }
        if !self.yes && total > 0 {
            writeln!(out, "Add --yes to do it.")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfb]), "//77");
    }
}
