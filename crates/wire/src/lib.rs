//! The two formats at the edges: the JSON of a telemetry request, decoded into checked points, and the
//! Kafka record that carries points, encoded and decoded.
//!
//! Owns every rule about a single point, and the bytes of the record. It must not know HTTP, the Kafka
//! client or the clock: the time that bounds are checked against is an argument.

mod invalid;
mod json;
mod number;
mod partition;
pub mod record;
mod request;
mod time;

pub use invalid::{Field, Invalid, Rule};
pub use json::{DEPTH_MAX, Malformed};
pub use partition::{device_hash, partition_of};
pub use request::{
    BodyError, Bounds, DEVICE_ID_BYTES_MAX, DURATION_S_MAX, Decoder, OEM_RAW_DATA_BYTES_MAX, POINTS_MAX,
    PointSink, fields,
};
