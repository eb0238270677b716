use std::time::Duration;

use wattline_kafka::JoinerSettings;
use wattline_model::Kind;
use wattline_wire::{POINTS_MAX, record};

use crate::forward::UpstreamSettings;

/// Checked settings of the gateway.
#[derive(Clone, Debug)]
pub struct Settings {
    pub topic_intervals: String,
    pub topic_counters: String,
    /// What site tokens are for: the name of this deployment.
    pub audience: String,
    /// Open connections; further ones wait in the listen queue of the operating system.
    pub connections_max: usize,
    /// A body as it is sent.
    pub body_bytes_max: usize,
    /// A body after decompression.
    pub body_decompressed_bytes_max: usize,
    pub header_bytes_max: usize,
    /// All bodies under way, decompressed ones included; more is a 503 at once.
    pub in_flight_bytes_max: usize,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    /// An idle keep-alive connection and its requests get so long to end when the gateway stops.
    pub drain_timeout: Duration,
    /// No acknowledgement for so long while records are in flight: answer 503 without trying.
    pub stall_max: Duration,
    pub past_max_ms: i64,
    pub future_max_ms: i64,
    /// The largest value of one Kafka record; below the `max.message.bytes` of the topics.
    pub record_bytes_max: usize,
    /// How long a record waits for those of other requests.
    pub linger: Duration,
    /// Points a second that one client may send; 0 is no limit.
    pub rate_points_per_s: u32,
    /// Points that a client may send at once above its rate.
    pub rate_burst_points: u32,
    /// What stands in for the rated power of a device that declares none.
    pub battery_limit_w: u32,
    pub home_limit_w: u32,
    pub solar_limit_w: u32,
    pub upstreams: UpstreamSettings,
}

/// What a record costs for being one is little beside what so many bytes of points do.
const JOINED_BYTES_MAX: usize = 64 * 1024;

impl Settings {
    pub(crate) fn joiner(&self, kind: Kind) -> JoinerSettings {
        let topic = match kind {
            Kind::Battery => &self.topic_intervals,
            Kind::BatteryCounter => &self.topic_counters,
        };
        JoinerSettings {
            topic: topic.clone(),
            linger: self.linger,
            bytes_max: self.record_bytes_max.min(JOINED_BYTES_MAX),
            items_max: POINTS_MAX,
            join: record::join,
        }
    }
}
