//! How far each sink is, as it stands in the metadata of the committed offset.
//!
//! A sink announces the range that it is about to make visible before it does so, and says that it is done
//! afterwards. Whoever takes the partition over reads both, and writes an announced range again exactly as
//! it was cut: the same rows under the same name.

use std::fmt;

/// One sink's place in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkProgress {
    /// Every record below this offset is stored.
    pub done: i64,
    /// The last offset of the range from `done` on that was announced and may be stored in part.
    pub announced: Option<i64>,
}

impl SinkProgress {
    pub fn at(done: i64) -> Self {
        SinkProgress { done, announced: None }
    }

    /// The first offset behind what is announced, or `done`.
    fn end(self) -> i64 {
        self.announced.map_or(self.done, |last| last + 1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub clickhouse: SinkProgress,
    pub parquet: SinkProgress,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the metadata of the committed offset is not Wattline's: {0:?}. Was the offset committed by another tool with \
     metadata, or by a later version?"
)]
pub struct ForeignMetadata(String);

impl Progress {
    pub fn at(offset: i64) -> Self {
        Progress { clickhouse: SinkProgress::at(offset), parquet: SinkProgress::at(offset) }
    }

    /// What was committed with an offset. Without metadata (an offset that was set by hand) both sinks go on
    /// from the offset.
    pub fn parse(offset: i64, metadata: &str) -> Result<Self, ForeignMetadata> {
        if metadata.is_empty() {
            return Ok(Progress::at(offset));
        }
        let foreign = || ForeignMetadata(metadata.to_owned());
        let rest = metadata.strip_prefix("v1 clickhouse=").ok_or_else(foreign)?;
        let (clickhouse, parquet) = rest.split_once(" parquet=").ok_or_else(foreign)?;
        let sink = |text: &str| {
            let (done, announced) = match text.split_once("..") {
                Some((done, last)) => (done, Some(last.parse().ok()?)),
                None => (text, None),
            };
            Some(SinkProgress { done: done.parse().ok()?, announced })
        };
        let clickhouse = sink(clickhouse).ok_or_else(foreign)?;
        let parquet = sink(parquet).ok_or_else(foreign)?;
        Ok(Progress { clickhouse, parquet })
    }

    /// The offset to commit: whoever reads from there misses nothing of any sink.
    pub fn offset(&self) -> i64 {
        self.clickhouse.done.min(self.parquet.done)
    }

    /// The first offset above `first` where a batch that begins at `first` has to end, so that announced
    /// ranges are cut as they were.
    pub fn next_cut(&self, first: i64) -> Option<i64> {
        [self.clickhouse.done, self.clickhouse.end(), self.parquet.done, self.parquet.end()]
            .into_iter()
            .filter(|&cut| cut > first)
            .min()
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sink = |f: &mut fmt::Formatter<'_>, sink: SinkProgress| match sink.announced {
            Some(last) => write!(f, "{}..{last}", sink.done),
            None => write!(f, "{}", sink.done),
        };
        f.write_str("v1 clickhouse=")?;
        sink(f, self.clickhouse)?;
        f.write_str(" parquet=")?;
        sink(f, self.parquet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_back_as_it_was_written() {
        let progress = Progress {
            clickhouse: SinkProgress { done: 120, announced: Some(150) },
            parquet: SinkProgress { done: 80, announced: None },
        };
        assert_eq!(progress.to_string(), "v1 clickhouse=120..150 parquet=80");
        assert_eq!(Progress::parse(80, &progress.to_string()), Ok(progress));
        assert_eq!(Progress::parse(7, ""), Ok(Progress::at(7)));
        for foreign in ["v2 clickhouse=1 parquet=1", "v1 clickhouse=1", "v1 clickhouse=a parquet=1", "x"] {
            assert!(Progress::parse(7, foreign).is_err(), "{foreign}");
        }
    }

    #[test]
    fn a_batch_is_cut_where_an_announced_range_ends() {
        let progress = Progress {
            clickhouse: SinkProgress { done: 120, announced: Some(150) },
            parquet: SinkProgress { done: 80, announced: Some(200) },
        };
        assert_eq!(progress.offset(), 80);
        assert_eq!(progress.next_cut(80), Some(120));
        assert_eq!(progress.next_cut(120), Some(151));
        assert_eq!(progress.next_cut(151), Some(201));
        assert_eq!(progress.next_cut(201), None);
    }
}
