//! The devices of one gateway and kind, and whose turn it is.

use serde::{Deserialize, Serialize};

use super::{Batch, Device, Flaw, Interval, Kind};
use crate::mix::Dice;

/// In which order a fleet's points are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Devices report in turn, so that they stay within one interval of each other.
    InTurn,
    /// All that the devices have to report up to the present, in any order: a backlog that comes in late.
    Shuffled,
}

/// A gateway's devices of one kind.
#[derive(Debug)]
pub struct Ring {
    kind: Kind,
    source: Source,
    bad_permille: u32,
}

#[derive(Debug)]
enum Source {
    InTurn {
        devices: Vec<Device>,
        turn: usize,
    },
    /// What is left to report, the next one last.
    Shuffled(Vec<Interval>),
}

impl Ring {
    pub fn new(kind: Kind, devices: Vec<Device>, bad_permille: u32) -> Self {
        Self { kind, source: Source::InTurn { devices, turn: 0 }, bad_permille }
    }

    /// Everything that the devices have to report by `until_s`, in an order that the dice decide.
    pub(crate) fn shuffled(
        kind: Kind,
        mut devices: Vec<Device>,
        bad_permille: u32,
        until_s: u32,
        dice: &mut Dice,
    ) -> Self {
        let mut backlog = Vec::new();
        for device in &mut devices {
            while device.next_end_s() <= until_s {
                backlog.push(device.advance());
            }
        }
        for last in (1..backlog.len()).rev() {
            backlog.swap(last, dice.below(last as u32 + 1) as usize);
        }
        Self { kind, source: Source::Shuffled(backlog), bad_permille }
    }

    /// Up to `points` points whose intervals have ended by `limit_s`, or nothing when every device
    /// has come that far.
    pub fn batch(&mut self, points: usize, older_shape: bool, limit_s: u32) -> Option<Batch> {
        let first = self.next(limit_s)?;
        let mut batch = if older_shape && self.kind == Kind::Battery {
            Batch::older_shape(&first, points)
        } else {
            Batch::new(self.kind, points)
        };
        batch.push(&first, self.flaw(&first));
        while batch.points().len() < points {
            let Some(interval) = self.next(limit_s) else { break };
            batch.push(&interval, self.flaw(&interval));
        }
        batch.finish();
        Some(batch)
    }

    fn next(&mut self, limit_s: u32) -> Option<Interval> {
        match &mut self.source {
            Source::InTurn { devices, turn } => {
                let device = devices.get_mut(*turn)?;
                if device.next_end_s() > limit_s {
                    return None;
                }
                let interval = device.advance();
                *turn = (*turn + 1) % devices.len();
                Some(interval)
            }
            Source::Shuffled(backlog) => backlog.pop(),
        }
    }

    /// An offline point may lack what it likes, so only online points are spoilt.
    fn flaw(&self, interval: &Interval) -> Option<Flaw> {
        let noise = interval.noise >> 32;
        let spoilt = interval.is_online && noise % 1_000 < u64::from(self.bad_permille);
        spoilt.then(|| Flaw::ALL[(noise / 1_000) as usize % Flaw::ALL.len()])
    }
}
