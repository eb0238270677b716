//! The CPU time of another process of this machine.

use std::fs;

use anyhow::Context;

/// What the kernel counts in, for everybody outside of it (USER_HZ).
const TICKS_PER_S: f64 = 100.0;

/// User and system time of a process, those threads included that have ended.
pub fn seconds_of(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    ticks(&stat).map(|ticks| ticks as f64 / TICKS_PER_S).with_context(|| format!("{path}: {stat}"))
}

fn ticks(stat: &str) -> Option<u64> {
    // The name is in parentheses and may hold anything; the fields after it have no spaces.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    #[test]
    fn user_and_system_time_are_the_14th_and_15th_field() {
        let stat = "77 (a) b) S 1 2 3 4 5 6 7 8 9 10 120 30 0 0 20 0 1 0 5";
        assert_eq!(super::ticks(stat), Some(150));
    }
}
