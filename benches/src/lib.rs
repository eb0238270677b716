//! Criterion benches of the stages that every point passes, each a file in `benches/`:
//! `cargo bench -p wattline-benches`. They are not timed tests: compare figures of one run only.
