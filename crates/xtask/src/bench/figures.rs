//! What the kernel says of a process.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// What the kernel counts in, for everybody outside of it (USER_HZ).
const TICKS_PER_S: f64 = 100.0;

/// User and system time of a process, those threads included that have ended. A process that has ended and was
/// not waited for has it still.
pub fn cpu_s(pid: i32) -> anyhow::Result<f64> {
    let stat = stat(pid)?;
    let fields: Option<Vec<f64>> = stat[11..13].iter().map(|ticks| ticks.parse().ok()).collect();
    Ok(fields.context("the times of a process")?.iter().sum::<f64>() / TICKS_PER_S)
}

pub fn has_ended(pid: i32) -> anyhow::Result<bool> {
    Ok(stat(pid)?[0] == "Z")
}

/// The fields from the state on: the name before it is in parentheses and may hold anything.
fn stat(pid: i32) -> anyhow::Result<Vec<String>> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let (_, fields) = text.rsplit_once(')').with_context(|| format!("reading {path}"))?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

/// Memory now, and the most that it ever was, in MiB.
pub fn memory_mib(pid: i32) -> anyhow::Result<(f64, f64)> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: f64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().ok()?;
        Some(kib / 1024.0)
    };
    field("VmRSS").zip(field("VmHWM")).with_context(|| format!("{path} has no memory"))
}

/// Waits until a process does next to nothing, and returns its CPU time.
pub fn cpu_s_when_quiet(pid: i32, window: Duration, deadline: Duration) -> anyhow::Result<f64> {
    /// Of the window: what heartbeats and polls take.
    const SHARE_MAX: f64 = 0.03;
    let began = Instant::now();
    let mut before = cpu_s(pid)?;
    loop {
        std::thread::sleep(window);
        let now = cpu_s(pid)?;
        if now - before <= window.as_secs_f64() * SHARE_MAX {
            return Ok(now);
        }
        before = now;
        anyhow::ensure!(
            began.elapsed() < deadline,
            "process {pid} is not quiet within {} s",
            deadline.as_secs()
        );
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 0 => (values[count / 2 - 1] + values[count / 2]) / 2.0,
        count => values[count / 2],
    }
}

/// The cheapest of rounds that take turns. What others do on the machine only ever makes a round dearer.
pub fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::min)
}

/// The value that the share `quantile` of the values does not exceed.
pub fn quantile(mut values: Vec<f64>, quantile: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * quantile).ceil() as usize;
    values.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_time() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let (now, most) = memory_mib(pid).unwrap();
        assert!(0.0 < now && now <= most, "{now} of {most}");
        let before = cpu_s(pid).unwrap();
        let began = Instant::now();
        while cpu_s(pid).unwrap() < before + 0.05 {
            assert!(began.elapsed() < Duration::from_secs(30), "time passes");
        }
        assert!(!has_ended(pid).unwrap());
    }

    #[test]
    fn ranks() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
        assert_eq!(least(&[3.0, 1.0, 2.0]), 1.0);
        assert!(least(&[]).is_nan());
        assert_eq!(quantile((1..=100).map(f64::from).collect(), 0.99), 99.0);
        assert_eq!(quantile(vec![7.0], 0.99), 7.0);
    }
}
