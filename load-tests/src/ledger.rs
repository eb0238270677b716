//! What became of every point: one entry a point, in its final state.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use crate::fleet::{Flaw, Kind, Sent};

/// Messages beyond this many different ones are counted as one, so that an answer which varies
/// cannot make the ledger grow.
const REASONS_MAX: usize = 200;
const REASON_OTHER: &str = "other reasons";

/// The last word on a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict<'a> {
    Ok,
    Failed(&'a str),
    /// No try was answered.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    Failed(u8),
    Unknown,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    sent: Sent,
    kind: Kind,
    state: State,
    maybe_stored: bool,
}

/// The points of one gateway, or of the whole fleet after merging. The counts are always kept, the
/// entries (16 bytes a point) only when asked for.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Option<Vec<Entry>>,
    reasons: Vec<(String, u64)>,
    pub(crate) ok_by_kind: [u64; 2],
    pub(crate) unknown: u64,
    pub(crate) maybe_stored: u64,
    pub(crate) bad_sent: u64,
    pub(crate) bad_ok: u64,
    pub(crate) good_failed: u64,
}

/// One line of the ledger file.
#[derive(Debug, Serialize)]
struct Line<'a> {
    endpoint: Kind,
    device_id: String,
    time: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    /// What was wrong with the point on purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    bad: Option<&'static str>,
    /// True when the point was not answered OK and may be stored all the same.
    maybe_stored: bool,
}

impl Ledger {
    pub(crate) fn new(keep_entries: bool) -> Self {
        Self { entries: keep_entries.then(Vec::new), ..Self::default() }
    }

    /// `in_doubt` when some try of the point may have been stored without an OK. A point that was
    /// spoilt on purpose is never stored.
    pub(crate) fn settle(&mut self, kind: Kind, sent: Sent, verdict: Verdict<'_>, in_doubt: bool) {
        let is_bad = sent.flaw.is_some();
        self.bad_sent += u64::from(is_bad);
        let state = match verdict {
            Verdict::Ok => {
                self.ok_by_kind[kind as usize] += 1;
                self.bad_ok += u64::from(is_bad);
                State::Ok
            }
            Verdict::Failed(reason) => {
                self.good_failed += u64::from(!is_bad);
                State::Failed(self.count_reason(reason, 1))
            }
            Verdict::Unknown => {
                self.unknown += 1;
                State::Unknown
            }
        };
        let maybe_stored = in_doubt && !is_bad && state != State::Ok;
        self.maybe_stored += u64::from(maybe_stored);
        if let Some(entries) = &mut self.entries {
            entries.push(Entry { sent, kind, state, maybe_stored });
        }
    }

    fn count_reason(&mut self, reason: &str, points: u64) -> u8 {
        let known = self.reasons.iter().position(|(known, _)| known == reason);
        let index = match known {
            Some(index) => index,
            None if self.reasons.len() < REASONS_MAX => {
                self.reasons.push((reason.to_owned(), 0));
                self.reasons.len() - 1
            }
            None if self.reasons.len() == REASONS_MAX => {
                self.reasons.push((REASON_OTHER.to_owned(), 0));
                REASONS_MAX
            }
            None => REASONS_MAX,
        };
        self.reasons[index].1 += points;
        index as u8
    }

    pub(crate) fn merge(&mut self, other: Self) {
        let renumbered: Vec<u8> =
            other.reasons.iter().map(|(reason, points)| self.count_reason(reason, *points)).collect();
        if let (Some(entries), Some(more)) = (&mut self.entries, other.entries) {
            entries.extend(more.into_iter().map(|entry| Entry {
                state: match entry.state {
                    State::Failed(reason) => State::Failed(renumbered[usize::from(reason)]),
                    state => state,
                },
                ..entry
            }));
        }
        for (sum, ok) in self.ok_by_kind.iter_mut().zip(other.ok_by_kind) {
            *sum += ok;
        }
        self.unknown += other.unknown;
        self.maybe_stored += other.maybe_stored;
        self.bad_sent += other.bad_sent;
        self.bad_ok += other.bad_ok;
        self.good_failed += other.good_failed;
    }

    pub(crate) fn failed_by_reason(&self) -> BTreeMap<String, u64> {
        self.reasons.iter().cloned().collect()
    }

    /// Writes the entries as JSON lines; nothing when they were not kept.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for entry in self.entries.iter().flatten() {
            serde_json::to_writer(&mut *out, &self.line(entry))?;
            out.write_all(b"\n")?;
        }
        out.flush()
    }

    fn line(&self, entry: &Entry) -> Line<'_> {
        let (status, message) = match entry.state {
            State::Ok => ("OK", None),
            State::Failed(reason) => ("FAILED", Some(self.reasons[usize::from(reason)].0.as_str())),
            State::Unknown => ("UNKNOWN", None),
        };
        let sent = entry.sent;
        Line {
            endpoint: entry.kind,
            device_id: sent.device_id(),
            time: sent.time(),
            status,
            message,
            bad: sent.flaw.map(Flaw::name),
            maybe_stored: entry.maybe_stored,
        }
    }
}
