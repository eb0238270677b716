/// Why something that was answered OK could not be stored as telemetry. It is in the rejected table instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// The bytes of the Kafka record are not a telemetry record.
    UndecodableRecord,
    /// The record was written by a later version of Wattline than this one reads.
    UnknownVersion,
    /// Another reading of the same device at the same time stays, by the order of the counters.
    EqualTimestampConflict,
}

impl RejectReason {
    pub const ALL: [RejectReason; 3] =
        [RejectReason::UndecodableRecord, RejectReason::UnknownVersion, RejectReason::EqualTimestampConflict];

    pub const fn name(self) -> &'static str {
        match self {
            RejectReason::UndecodableRecord => "UNDECODABLE_RECORD",
            RejectReason::UnknownVersion => "UNKNOWN_VERSION",
            RejectReason::EqualTimestampConflict => "EQUAL_TIMESTAMP_CONFLICT",
        }
    }
}
