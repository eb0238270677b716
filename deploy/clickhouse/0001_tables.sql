-- The three tables of Wattline. Each is a ReplacingMergeTree ordered by what identifies a row to a
-- reader, so that a row written twice (a replay after a crash) is one row under FINAL.
--
-- _offset and _partition have min-max indexes: the rows of a range of Kafka offsets are looked for
-- after every doubt, and lie in few parts and, device by device, in few granules.

CREATE TABLE IF NOT EXISTS intervals (
    client_id LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'The client the device belongs to.',
    device_id String CODEC(ZSTD(1)) COMMENT 'The client''s own id of the device; two clients may use the same.',
    source LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'REPORTED: the interval came as such. COUNTER: derived from two consecutive counter readings.',
    start_time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'Start of the interval (included), ms precision, UTC.',
    end_time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'End of the interval (excluded), ms precision, UTC. Part of the key.',
    battery_total_energy_charge_wh Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Energy charged into the battery in the interval, in Wh; null where it is not known (see the quality).',
    battery_total_energy_discharge_wh Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Energy discharged from the battery in the interval, in Wh; null where it is not known (see the quality).',
    home_total_energy_wh Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Energy used by the home in the interval, in Wh; null where it is not known (see the quality).',
    solar_total_energy_wh Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Energy made by the solar panels in the interval, in Wh; null where it is not known (see the quality).',
    battery_total_energy_charge_quality LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'What battery_total_energy_charge_wh rests on: REPORTED, or for derived intervals VALID, JITTER, ROLLOVER (exact), RESET (a lower bound), JUMP, REBASE (null).',
    battery_total_energy_discharge_quality LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'What battery_total_energy_discharge_wh rests on: REPORTED, or for derived intervals VALID, JITTER, ROLLOVER (exact), RESET (a lower bound), JUMP, REBASE (null).',
    home_total_energy_quality LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'What home_total_energy_wh rests on: REPORTED, or for derived intervals VALID, JITTER, ROLLOVER (exact), RESET (a lower bound), JUMP, REBASE (null).',
    solar_total_energy_quality LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'What solar_total_energy_wh rests on: REPORTED, or for derived intervals VALID, JITTER, ROLLOVER (exact), RESET (a lower bound), JUMP, REBASE (null).',
    gap Bool CODEC(ZSTD(1)) COMMENT 'Derived from two readings more than 15 minutes apart. Never interpolated.',
    last_is_online Bool CODEC(ZSTD(1)) COMMENT 'Whether the device was online at the end of the interval.',
    last_is_grid_online Nullable(Bool) CODEC(ZSTD(1)) COMMENT 'Whether the grid was there at the end of the interval; null when not reported.',
    last_mode LowCardinality(Nullable(String)) CODEC(ZSTD(1)) COMMENT 'Mode of the battery at the end of the interval: CHARGE, DISCHARGE, STANDBY, BACKUP, SELF_CONSUMPTION, SAVINGS, or null.',
    battery_last_power_charge_w Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Power into the battery at the end of the interval, in W.',
    battery_last_power_discharge_w Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Power out of the battery at the end of the interval, in W.',
    battery_last_stored_energy_wh Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Energy stored in the battery at the end of the interval, in Wh.',
    battery_last_capacity_energy_wh Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Usable capacity of the battery at the end of the interval, in Wh.',
    home_last_power_w Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Power used by the home at the end of the interval, in W.',
    solar_last_power_w Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Power of the solar panels at the end of the interval, in W.',
    battery_last_state_of_charge_percentage Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'State of charge at the end of the interval, 0 to 100 %.',
    battery_last_state_of_health_percentage Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'State of health at the end of the interval, 0 to 100 %.',
    battery_last_backup_reserve_percentage Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Share of the charge kept for outages, 0 to 100 %. Deprecated by the API, kept as it came.',
    oem_raw_data Nullable(String) CODEC(ZSTD(1)) COMMENT 'What the manufacturer sent besides, as JSON text.',
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'When the gateway received the point (the younger reading of a derived interval), ms precision, UTC.',
    _topic LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Kafka topic of the point (of the younger reading when derived).',
    _partition Int32 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka partition of the point (of the younger reading when derived).',
    _offset Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset of the record that holds the point (of the younger reading when derived).',
    _index Int32 CODEC(ZSTD(1)) COMMENT 'Place of the point (of the younger reading when derived) in its record, from 0.',
    _version UInt64 CODEC(Delta, ZSTD(1)) COMMENT '_offset * 1024 + _index. The row with the highest version of a key is the right one.',
    INDEX position_partition _partition TYPE minmax GRANULARITY 1,
    INDEX position_offset _offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(_version)
PARTITION BY toYYYYMM(end_time)
ORDER BY (client_id, device_id, source, end_time)
SETTINGS
    non_replicated_deduplication_window = 10000
COMMENT 'Energy of each device by interval: reported ones and those derived from counters. Read with FINAL.';

-- Small granules: the readings around a late one are looked up device by device, and one device
-- has about 300 readings a day. A granule is the least that is read.
CREATE TABLE IF NOT EXISTS readings (
    client_id LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'The client the device belongs to.',
    device_id String CODEC(ZSTD(1)) COMMENT 'The client''s own id of the device; two clients may use the same.',
    timestamp DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'Time of the reading by the device, ms precision, UTC.',
    in_chain Bool CODEC(ZSTD(1)) COMMENT 'Whether the reading carries counters, and so takes part in the chain that intervals are derived from.',
    battery_total_energy_charge_wh Nullable(Decimal(18, 3)) CODEC(Delta, ZSTD(1)) COMMENT 'Lifetime counter of the energy charged into the battery, in Wh; null in a reading without counters.',
    battery_total_energy_discharge_wh Nullable(Decimal(18, 3)) CODEC(Delta, ZSTD(1)) COMMENT 'Lifetime counter of the energy discharged from the battery, in Wh; null in a reading without counters.',
    home_total_energy_wh Nullable(Decimal(18, 3)) CODEC(Delta, ZSTD(1)) COMMENT 'Lifetime counter of the energy used by the home, in Wh; null in a reading without counters.',
    solar_total_energy_wh Nullable(Decimal(18, 3)) CODEC(Delta, ZSTD(1)) COMMENT 'Lifetime counter of the energy made by the solar panels, in Wh; null in a reading without counters.',
    last_is_online Bool CODEC(ZSTD(1)) COMMENT 'Whether the device was online at the time of the reading.',
    last_is_grid_online Nullable(Bool) CODEC(ZSTD(1)) COMMENT 'Whether the grid was there at the time of the reading; null when not reported.',
    last_mode LowCardinality(Nullable(String)) CODEC(ZSTD(1)) COMMENT 'Mode of the battery at the time of the reading: CHARGE, DISCHARGE, STANDBY, BACKUP, SELF_CONSUMPTION, SAVINGS, or null.',
    battery_last_power_charge_w Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Power into the battery at the time of the reading, in W.',
    battery_last_power_discharge_w Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Power out of the battery at the time of the reading, in W.',
    battery_last_stored_energy_wh Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Energy stored in the battery at the time of the reading, in Wh.',
    battery_last_capacity_energy_wh Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Usable capacity of the battery at the time of the reading, in Wh.',
    home_last_power_w Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Power used by the home at the time of the reading, in W.',
    solar_last_power_w Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Power of the solar panels at the time of the reading, in W.',
    battery_last_state_of_charge_percentage Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'State of charge at the time of the reading, 0 to 100 %.',
    battery_last_state_of_health_percentage Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'State of health at the time of the reading, 0 to 100 %.',
    battery_last_backup_reserve_percentage Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Share of the charge kept for outages, 0 to 100 %. Deprecated by the API, kept as it came.',
    oem_raw_data Nullable(String) CODEC(ZSTD(1)) COMMENT 'What the manufacturer sent besides, as JSON text.',
    limit_battery_charge_w Int64 CODEC(ZSTD(1)) COMMENT 'Largest plausible power into the battery, in W, as the gateway knew it when the reading came.',
    limit_battery_discharge_w Int64 CODEC(ZSTD(1)) COMMENT 'Largest plausible power out of the battery, in W, as the gateway knew it when the reading came.',
    limit_home_w Int64 CODEC(ZSTD(1)) COMMENT 'Largest plausible power of the home, in W, as the gateway knew it when the reading came.',
    limit_solar_w Int64 CODEC(ZSTD(1)) COMMENT 'Largest plausible power of the solar panels, in W, as the gateway knew it when the reading came.',
    counter_modulus_wh Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Value at which the counters of the device roll over to zero, in Wh; null when none is declared.',
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'When the gateway received the reading, ms precision, UTC.',
    _topic LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Kafka topic of the point.',
    _partition Int32 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka partition of the point.',
    _offset Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset of the record that holds the point.',
    _index Int32 CODEC(ZSTD(1)) COMMENT 'Place of the point in its record, from 0.',
    _version UInt64 CODEC(Delta, ZSTD(1)) COMMENT '_offset * 1024 + _index. The row with the highest version of a key is the right one.',
    INDEX position_partition _partition TYPE minmax GRANULARITY 1,
    INDEX position_offset _offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(_version)
PARTITION BY toYYYYMM(timestamp)
ORDER BY (client_id, device_id, timestamp, in_chain)
SETTINGS
    index_granularity = 1024,
    min_compress_block_size = 16384,
    non_replicated_deduplication_window = 10000
COMMENT 'Counter readings as they came: what derived intervals are computed from, and can be computed from again. Read with FINAL.';

CREATE TABLE IF NOT EXISTS rejected (
    reason LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Why the record or point could not be stored.',
    rejected_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Time of the Kafka record, ms precision, UTC.',
    record String CODEC(ZSTD(3)) COMMENT 'The original bytes.',
    _topic LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Kafka topic of the point.',
    _partition Int32 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka partition of the point.',
    _offset Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Kafka offset of the record that holds the point.',
    _index Int32 CODEC(ZSTD(1)) COMMENT 'Place of the point in its record, from 0.',
    _version UInt64 CODEC(Delta, ZSTD(1)) COMMENT '_offset * 1024 + _index of the point that caused it: the point itself, or the one that displaced it.',
    replayed_at DateTime64(3, 'UTC') DEFAULT toDateTime64(0, 3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'When the record was last appended to its topic again (wattline rejected replay), ms precision, UTC; 1970 when it was not.',
    INDEX position_partition _partition TYPE minmax GRANULARITY 1,
    INDEX position_offset _offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(_version)
PARTITION BY toYYYYMM(rejected_at)
ORDER BY (_topic, _partition, _offset, _index)
SETTINGS
    non_replicated_deduplication_window = 10000
COMMENT 'What was accepted by a gateway and could not be stored, with its original bytes. Read with FINAL.';
