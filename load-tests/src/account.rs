//! What the gateways have to tell when they are done, and the report made of it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client::Silence;
use crate::fleet::Kind;
use crate::histogram::Histogram;
use crate::ledger::Ledger;
use crate::report::{LatencyMs, Report, StoppedBy};
use crate::run::Settings;

/// The account of one gateway, or of the whole fleet after merging.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) ledger: Ledger,
    pub(crate) points_sent: u64,
    pub(crate) requests: u64,
    pub(crate) resends: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) http_status: BTreeMap<u16, u64>,
    pub(crate) not_answered: BTreeMap<Silence, u64>,
    pub(crate) refusals: BTreeMap<String, u64>,
    pub(crate) not_understood: u64,
}

impl Account {
    pub(crate) fn new(keep_entries: bool) -> Self {
        Self { ledger: Ledger::new(keep_entries), ..Self::default() }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.ledger.merge(other.ledger);
        self.points_sent += other.points_sent;
        self.requests += other.requests;
        self.resends += other.resends;
        self.bytes_sent += other.bytes_sent;
        self.not_understood += other.not_understood;
        add_all(&mut self.http_status, other.http_status);
        add_all(&mut self.not_answered, other.not_answered);
        add_all(&mut self.refusals, other.refusals);
    }

    pub(crate) fn report(
        &self,
        settings: &Settings,
        elapsed: Duration,
        latency: &Histogram,
        stopped_by: StoppedBy,
    ) -> Report {
        let ledger = &self.ledger;
        let failed_by_reason = ledger.failed_by_reason();
        let points_ok = ledger.ok_by_kind.iter().sum::<u64>();
        let points_failed = failed_by_reason.values().sum::<u64>();
        let counts = latency.counts();
        Report {
            seed: settings.seed,
            points_sent: self.points_sent,
            points_ok,
            points_failed,
            points_unknown: ledger.unknown,
            points_maybe_stored: ledger.maybe_stored,
            ok_by_kind: Kind::ALL.map(|kind| (kind, ledger.ok_by_kind[kind as usize])).into(),
            failed_by_reason,
            bad_points_sent: ledger.bad_sent,
            bad_points_ok: ledger.bad_ok,
            good_points_failed: ledger.good_failed,
            requests: self.requests,
            resends: self.resends,
            requests_not_answered: self
                .not_answered
                .iter()
                .map(|(silence, requests)| (silence.name(), *requests))
                .collect(),
            http_status: self.http_status.clone(),
            refusals: self.refusals.clone(),
            answers_not_understood: self.not_understood,
            latency_ms: LatencyMs {
                p50: counts.quantile_ms(0.5),
                p99: counts.quantile_ms(0.99),
                max: latency.max_ms(),
            },
            seconds: elapsed.as_secs_f64(),
            points_per_s: (points_ok + points_failed) as f64 / elapsed.as_secs_f64(),
            bytes_sent: self.bytes_sent,
            gateways: settings.gateways,
            devices: Kind::ALL
                .map(|kind| {
                    let of_kind = (0..settings.devices).filter(|index| Kind::of(*index) == kind);
                    (kind, of_kind.count() as u64)
                })
                .into(),
            stopped_by,
        }
    }
}

fn add_all<K: Ord>(sums: &mut BTreeMap<K, u64>, more: BTreeMap<K, u64>) {
    for (key, count) in more {
        *sums.entry(key).or_default() += count;
    }
}
