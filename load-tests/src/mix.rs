//! Deterministic noise: one hash, and a small generator built on it.

/// The finaliser of SplitMix64: every input bit moves every output bit.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A sequence of numbers that a seed determines.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(mix(seed ^ mix(stream)))
    }

    /// A number in `0..bound`; the bias is below 2⁻³², which a load test does not notice.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.0 = mix(self.0);
        (((self.0 >> 32) * u64::from(bound)) >> 32) as u32
    }
}
