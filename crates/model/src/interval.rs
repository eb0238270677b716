/// The values of the four lifetime counters, in the order of `COUNTERS`, in 0.001 Wh.
pub type Counters = [i64; COUNTER_COUNT];

pub const COUNTER_COUNT: usize = 4;

/// Where an interval comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The client reported the interval.
    Reported,
    /// Two consecutive counter readings gave it.
    Counter,
}

impl Source {
    pub const ALL: [Source; 2] = [Source::Reported, Source::Counter];

    pub const fn name(self) -> &'static str {
        match self {
            Source::Reported => "REPORTED",
            Source::Counter => "COUNTER",
        }
    }
}

/// How far the energy of an interval can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quality {
    /// The client's own figure for a reported interval.
    Reported,
    /// The difference of two readings, and within what the device can move.
    Valid,
    /// More than the device can move in the time: no energy.
    Jump,
    /// A small step back; the energy keeps its sign, so that sums telescope.
    Jitter,
    /// The counter passed its declared modulus.
    Rollover,
    /// The counter began again near zero: the energy is a lower bound.
    Reset,
    /// The counter fell to a value that says nothing about energy: no energy.
    Rebase,
}

impl Quality {
    pub const ALL: [Quality; 7] = [
        Quality::Reported,
        Quality::Valid,
        Quality::Jump,
        Quality::Jitter,
        Quality::Rollover,
        Quality::Reset,
        Quality::Rebase,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Quality::Reported => "REPORTED",
            Quality::Valid => "VALID",
            Quality::Jump => "JUMP",
            Quality::Jitter => "JITTER",
            Quality::Rollover => "ROLLOVER",
            Quality::Reset => "RESET",
            Quality::Rebase => "REBASE",
        }
    }
}

/// The energies between two consecutive readings of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    pub start_ms: i64,
    pub end_ms: i64,
    /// In 0.001 Wh, in the order of `COUNTERS`; none where no energy can be said.
    pub energy_mwh: [Option<i64>; COUNTER_COUNT],
    pub quality: [Quality; COUNTER_COUNT],
    /// Longer than a device is expected to be silent.
    pub gap: bool,
}
