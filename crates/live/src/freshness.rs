//! From the POST to the point being readable, over the last minute, from the worker's histogram.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::exposition::lines;

const METRIC: &str = "wattline_worker_freshness_seconds_bucket";
/// Samples, one a second, that the last minute has.
const WINDOW: usize = 61;

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Freshness {
    pub(crate) median_s: f64,
    pub(crate) p99_s: f64,
}

/// How many records took at most so long, by the bound as it is written.
type Buckets = BTreeMap<String, f64>;

#[derive(Debug, Default)]
pub(crate) struct Window(VecDeque<Buckets>);

impl Window {
    /// None where nothing became readable in the last minute.
    pub(crate) fn look(&mut self, metrics: &str) -> Option<Freshness> {
        let mut buckets = Buckets::new();
        for line in lines(metrics, METRIC) {
            *buckets.entry(line.label("le")?.to_owned()).or_default() += line.value;
        }
        let began_anew = self.0.back().is_some_and(|before| before.get("+Inf") > buckets.get("+Inf"));
        if began_anew {
            self.0.clear();
        }
        self.0.push_back(buckets);
        if self.0.len() > WINDOW {
            self.0.pop_front();
        }
        let (first, last) = (self.0.front()?, self.0.back()?);
        let mut since: Vec<(f64, f64)> = last
            .iter()
            .filter_map(|(bound, count)| {
                Some((bound.parse().ok()?, count - first.get(bound).unwrap_or(&0.0)))
            })
            .collect();
        since.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        Some(Freshness { median_s: quantile(&since, 0.5)?, p99_s: quantile(&since, 0.99)? })
    }
}

/// As Prometheus' histogram_quantile: straight lines between the bounds.
fn quantile(buckets: &[(f64, f64)], share: f64) -> Option<f64> {
    let (_, all) = *buckets.last()?;
    let wanted = all * share;
    let (mut below, mut counted) = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= wanted && *count > counted {
            let is_bounded = bound.is_finite();
            return Some(if is_bounded {
                below + (bound - below) * (wanted - counted) / (count - counted)
            } else {
                below
            });
        }
        (below, counted) = (*bound, *count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(half: u32, one: u32, all: u32) -> String {
        let topics = ["a", "b"].map(|topic| {
            let line = |bound, count| format!("{METRIC}{{topic=\"{topic}\",le=\"{bound}\"}} {count}\n");
            line("0.5", half) + &line("1", one) + &line("+Inf", all)
        });
        topics.concat()
    }

    #[test]
    fn what_came_before_the_window_does_not_count() {
        let mut window = Window::default();
        assert_eq!(window.look(&text(0, 0, 100)), None);
        let fresh = window.look(&text(10, 20, 120)).expect("records");
        assert_eq!((fresh.median_s, fresh.p99_s), (0.5, 0.99));
        // The worker began anew: what it has counted since is not yet known to be of this minute.
        assert_eq!(window.look(&text(1, 1, 1)), None);
    }
}
