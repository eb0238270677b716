-- What an analyst reads: the devices of the directory, and views over the tables.
--
-- The views are plain ones over FINAL, so each answer is computed from the rows as they are when it is
-- asked for. A materialised view sees inserted rows only, and would add an interval a second time when a
-- late reading or a replay replaces it. Those that add up have parameters, so that the time goes to where
-- the tables are read: SELECT * FROM energy_by_client(since = '…', until = '…', minutes = 60).
--
-- A range of time has the intervals that end after `since` and at `until` or before: the end is in the key
-- and decides the partition. No rows of one key lie in two months, so FINAL need not look across them.

CREATE TABLE IF NOT EXISTS devices (
    client_id LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'The client the device belongs to.',
    device_id String CODEC(ZSTD(1)) COMMENT 'The client''s own id of the device; two clients may use the same.',
    site_id Nullable(String) CODEC(ZSTD(1)) COMMENT 'The site the device is at now; null where it has none.',
    type LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'BATTERY or EV_CHARGER.',
    manufacturer_name Nullable(String) CODEC(ZSTD(1)) COMMENT 'Who made the device; null when not declared.',
    product_name Nullable(String) CODEC(ZSTD(1)) COMMENT 'What the manufacturer calls the device; null when not declared.',
    battery_capacity_wh Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Declared capacity of the battery, in Wh; null when not declared.',
    battery_power_input_w Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Declared largest power into the battery, in W; null when not declared.',
    battery_power_output_w Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Declared largest power out of the battery, in W; null when not declared.',
    counter_modulus_wh Nullable(Decimal(18, 3)) CODEC(ZSTD(1)) COMMENT 'Value at which the battery counters roll over to zero, in Wh; null when none is declared.',
    created_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'When the directory first had the device, ms precision, UTC.',
    deleted_at Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)) COMMENT 'When the device was deleted from the directory, ms precision, UTC; null while it is there.',
    _version UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'Number of the change in the directory. The row with the highest version of a key is the right one.'
)
ENGINE = ReplacingMergeTree(_version)
ORDER BY (client_id, device_id)
COMMENT 'The devices of the directory, as `wattline devices publish` last wrote them. Read with FINAL.';

CREATE OR REPLACE VIEW intervals_latest (
    client_id LowCardinality(String) COMMENT 'The client the device belongs to.',
    device_id String COMMENT 'The client''s own id of the device; two clients may use the same.',
    source LowCardinality(String) COMMENT 'REPORTED: the interval came as such. COUNTER: derived from two consecutive counter readings.',
    start_time DateTime64(3, 'UTC') COMMENT 'Start of the interval (included), ms precision, UTC.',
    end_time DateTime64(3, 'UTC') COMMENT 'End of the interval (excluded), ms precision, UTC. Part of the key.',
    battery_total_energy_charge_wh Nullable(Decimal(18, 3)) COMMENT 'Energy charged into the battery in the interval, in Wh; null where it is not known (see the quality).',
    battery_total_energy_discharge_wh Nullable(Decimal(18, 3)) COMMENT 'Energy discharged from the battery in the interval, in Wh; null where it is not known (see the quality).',
    home_total_energy_wh Nullable(Decimal(18, 3)) COMMENT 'Energy used by the home in the interval, in Wh; null where it is not known (see the quality).',
    solar_total_energy_wh Nullable(Decimal(18, 3)) COMMENT 'Energy made by the solar panels in the interval, in Wh; null where it is not known (see the quality).',
    battery_total_energy_charge_quality LowCardinality(String) COMMENT 'What battery_total_energy_charge_wh rests on: REPORTED, or for derived intervals VALID, JITTER, ROLLOVER (exact), RESET (a lower bound), JUMP, REBASE (null).',
    battery_total_energy_discharge_quality LowCardinality(String) COMMENT 'What battery_total_energy_discharge_wh rests on: REPORTED, or for derived intervals VALID, JITTER, ROLLOVER (exact), RESET (a lower bound), JUMP, REBASE (null).',
    home_total_energy_quality LowCardinality(String) COMMENT 'What home_total_energy_wh rests on: REPORTED, or for derived intervals VALID, JITTER, ROLLOVER (exact), RESET (a lower bound), JUMP, REBASE (null).',
    solar_total_energy_quality LowCardinality(String) COMMENT 'What solar_total_energy_wh rests on: REPORTED, or for derived intervals VALID, JITTER, ROLLOVER (exact), RESET (a lower bound), JUMP, REBASE (null).',
    gap Bool COMMENT 'Derived from two readings more than 15 minutes apart. Never interpolated.',
    last_is_online Bool COMMENT 'Whether the device was online at the end of the interval.',
    last_is_grid_online Nullable(Bool) COMMENT 'Whether the grid was there at the end of the interval; null when not reported.',
    last_mode LowCardinality(Nullable(String)) COMMENT 'Mode of the battery at the end of the interval: CHARGE, DISCHARGE, STANDBY, BACKUP, SELF_CONSUMPTION, SAVINGS, or null.',
    battery_last_power_charge_w Nullable(Decimal(18, 3)) COMMENT 'Power into the battery at the end of the interval, in W.',
    battery_last_power_discharge_w Nullable(Decimal(18, 3)) COMMENT 'Power out of the battery at the end of the interval, in W.',
    battery_last_stored_energy_wh Nullable(Decimal(18, 3)) COMMENT 'Energy stored in the battery at the end of the interval, in Wh.',
    battery_last_capacity_energy_wh Nullable(Decimal(18, 3)) COMMENT 'Usable capacity of the battery at the end of the interval, in Wh.',
    home_last_power_w Nullable(Decimal(18, 3)) COMMENT 'Power used by the home at the end of the interval, in W.',
    solar_last_power_w Nullable(Decimal(18, 3)) COMMENT 'Power of the solar panels at the end of the interval, in W.',
    battery_last_state_of_charge_percentage Nullable(Decimal(18, 3)) COMMENT 'State of charge at the end of the interval, 0 to 100 %.',
    battery_last_state_of_health_percentage Nullable(Decimal(18, 3)) COMMENT 'State of health at the end of the interval, 0 to 100 %.',
    battery_last_backup_reserve_percentage Nullable(Decimal(18, 3)) COMMENT 'Share of the charge kept for outages, 0 to 100 %. Deprecated by the API, kept as it came.',
    oem_raw_data Nullable(String) COMMENT 'What the manufacturer sent besides, as JSON text.',
    received_at DateTime64(3, 'UTC') COMMENT 'When the gateway received the point (the younger reading of a derived interval), ms precision, UTC.',
    _topic LowCardinality(String) COMMENT 'Kafka topic of the point (of the younger reading when derived).',
    _partition Int32 COMMENT 'Kafka partition of the point (of the younger reading when derived).',
    _offset Int64 COMMENT 'Kafka offset of the record that holds the point (of the younger reading when derived).',
    _index Int32 COMMENT 'Place of the point (of the younger reading when derived) in its record, from 0.',
    _version UInt64 COMMENT '_offset * 1024 + _index. The row with the highest version of a key is the right one.'
) AS
SELECT
    client_id, device_id, source, start_time, end_time, battery_total_energy_charge_wh,
    battery_total_energy_discharge_wh, home_total_energy_wh, solar_total_energy_wh,
    battery_total_energy_charge_quality, battery_total_energy_discharge_quality, home_total_energy_quality,
    solar_total_energy_quality, gap, last_is_online, last_is_grid_online, last_mode,
    battery_last_power_charge_w, battery_last_power_discharge_w, battery_last_stored_energy_wh,
    battery_last_capacity_energy_wh, home_last_power_w, solar_last_power_w,
    battery_last_state_of_charge_percentage, battery_last_state_of_health_percentage,
    battery_last_backup_reserve_percentage, oem_raw_data, received_at, _topic, _partition, _offset, _index,
    _version
FROM intervals FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Energy of each device by interval, the right row of each key. A device may have both sources for one time: energy_intervals chooses.';

CREATE OR REPLACE VIEW readings_latest (
    client_id LowCardinality(String) COMMENT 'The client the device belongs to.',
    device_id String COMMENT 'The client''s own id of the device; two clients may use the same.',
    timestamp DateTime64(3, 'UTC') COMMENT 'Time of the reading by the device, ms precision, UTC.',
    in_chain Bool COMMENT 'Whether the reading carries counters, and so takes part in the chain that intervals are derived from.',
    battery_total_energy_charge_wh Nullable(Decimal(18, 3)) COMMENT 'Lifetime counter of the energy charged into the battery, in Wh; null in a reading without counters.',
    battery_total_energy_discharge_wh Nullable(Decimal(18, 3)) COMMENT 'Lifetime counter of the energy discharged from the battery, in Wh; null in a reading without counters.',
    home_total_energy_wh Nullable(Decimal(18, 3)) COMMENT 'Lifetime counter of the energy used by the home, in Wh; null in a reading without counters.',
    solar_total_energy_wh Nullable(Decimal(18, 3)) COMMENT 'Lifetime counter of the energy made by the solar panels, in Wh; null in a reading without counters.',
    last_is_online Bool COMMENT 'Whether the device was online at the time of the reading.',
    last_is_grid_online Nullable(Bool) COMMENT 'Whether the grid was there at the time of the reading; null when not reported.',
    last_mode LowCardinality(Nullable(String)) COMMENT 'Mode of the battery at the time of the reading: CHARGE, DISCHARGE, STANDBY, BACKUP, SELF_CONSUMPTION, SAVINGS, or null.',
    battery_last_power_charge_w Nullable(Decimal(18, 3)) COMMENT 'Power into the battery at the time of the reading, in W.',
    battery_last_power_discharge_w Nullable(Decimal(18, 3)) COMMENT 'Power out of the battery at the time of the reading, in W.',
    battery_last_stored_energy_wh Nullable(Decimal(18, 3)) COMMENT 'Energy stored in the battery at the time of the reading, in Wh.',
    battery_last_capacity_energy_wh Nullable(Decimal(18, 3)) COMMENT 'Usable capacity of the battery at the time of the reading, in Wh.',
    home_last_power_w Nullable(Decimal(18, 3)) COMMENT 'Power used by the home at the time of the reading, in W.',
    solar_last_power_w Nullable(Decimal(18, 3)) COMMENT 'Power of the solar panels at the time of the reading, in W.',
    battery_last_state_of_charge_percentage Nullable(Decimal(18, 3)) COMMENT 'State of charge at the time of the reading, 0 to 100 %.',
    battery_last_state_of_health_percentage Nullable(Decimal(18, 3)) COMMENT 'State of health at the time of the reading, 0 to 100 %.',
    battery_last_backup_reserve_percentage Nullable(Decimal(18, 3)) COMMENT 'Share of the charge kept for outages, 0 to 100 %. Deprecated by the API, kept as it came.',
    oem_raw_data Nullable(String) COMMENT 'What the manufacturer sent besides, as JSON text.',
    limit_battery_charge_w Int64 COMMENT 'Largest plausible power into the battery, in W, as the gateway knew it when the reading came.',
    limit_battery_discharge_w Int64 COMMENT 'Largest plausible power out of the battery, in W, as the gateway knew it when the reading came.',
    limit_home_w Int64 COMMENT 'Largest plausible power of the home, in W, as the gateway knew it when the reading came.',
    limit_solar_w Int64 COMMENT 'Largest plausible power of the solar panels, in W, as the gateway knew it when the reading came.',
    counter_modulus_wh Nullable(Decimal(18, 3)) COMMENT 'Value at which the counters of the device roll over to zero, in Wh; null when none is declared.',
    received_at DateTime64(3, 'UTC') COMMENT 'When the gateway received the reading, ms precision, UTC.',
    _topic LowCardinality(String) COMMENT 'Kafka topic of the point.',
    _partition Int32 COMMENT 'Kafka partition of the point.',
    _offset Int64 COMMENT 'Kafka offset of the record that holds the point.',
    _index Int32 COMMENT 'Place of the point in its record, from 0.',
    _version UInt64 COMMENT '_offset * 1024 + _index. The row with the highest version of a key is the right one.'
) AS
SELECT
    client_id, device_id, timestamp, in_chain, battery_total_energy_charge_wh,
    battery_total_energy_discharge_wh, home_total_energy_wh, solar_total_energy_wh, last_is_online,
    last_is_grid_online, last_mode, battery_last_power_charge_w, battery_last_power_discharge_w,
    battery_last_stored_energy_wh, battery_last_capacity_energy_wh, home_last_power_w, solar_last_power_w,
    battery_last_state_of_charge_percentage, battery_last_state_of_health_percentage,
    battery_last_backup_reserve_percentage, oem_raw_data, limit_battery_charge_w, limit_battery_discharge_w,
    limit_home_w, limit_solar_w, counter_modulus_wh, received_at, _topic, _partition, _offset, _index,
    _version
FROM readings FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Counter readings as they came, the right row of each key.';

CREATE OR REPLACE VIEW rejected_latest (
    reason LowCardinality(String) COMMENT 'Why the record or point could not be stored.',
    rejected_at DateTime64(3, 'UTC') COMMENT 'Time of the Kafka record, ms precision, UTC.',
    record String COMMENT 'The original bytes.',
    _topic LowCardinality(String) COMMENT 'Kafka topic of the point.',
    _partition Int32 COMMENT 'Kafka partition of the point.',
    _offset Int64 COMMENT 'Kafka offset of the record that holds the point.',
    _index Int32 COMMENT 'Place of the point in its record, from 0.',
    _version UInt64 COMMENT '_offset * 1024 + _index of the point that caused it: the point itself, or the one that displaced it.',
    replayed_at DateTime64(3, 'UTC') COMMENT 'When the record was last appended to its topic again (wattline rejected replay), ms precision, UTC; 1970 when it was not.'
) AS
SELECT
    reason, rejected_at, record, _topic, _partition, _offset, _index, _version, replayed_at
FROM rejected FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'What was accepted by a gateway and could not be stored, each once.';

CREATE OR REPLACE VIEW devices_latest (
    client_id LowCardinality(String) COMMENT 'The client the device belongs to.',
    device_id String COMMENT 'The client''s own id of the device; two clients may use the same.',
    site_id Nullable(String) COMMENT 'The site the device is at now; null where it has none.',
    type LowCardinality(String) COMMENT 'BATTERY or EV_CHARGER.',
    manufacturer_name Nullable(String) COMMENT 'Who made the device; null when not declared.',
    product_name Nullable(String) COMMENT 'What the manufacturer calls the device; null when not declared.',
    battery_capacity_wh Nullable(Decimal(18, 3)) COMMENT 'Declared capacity of the battery, in Wh; null when not declared.',
    battery_power_input_w Nullable(Decimal(18, 3)) COMMENT 'Declared largest power into the battery, in W; null when not declared.',
    battery_power_output_w Nullable(Decimal(18, 3)) COMMENT 'Declared largest power out of the battery, in W; null when not declared.',
    counter_modulus_wh Nullable(Decimal(18, 3)) COMMENT 'Value at which the battery counters roll over to zero, in Wh; null when none is declared.',
    created_at DateTime64(3, 'UTC') COMMENT 'When the directory first had the device, ms precision, UTC.',
    deleted_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the device was deleted from the directory, ms precision, UTC; null while it is there.',
    _version UInt64 COMMENT 'Number of the change in the directory. The row with the highest version of a key is the right one.'
) AS
SELECT
    client_id, device_id, site_id, type, manufacturer_name, product_name, battery_capacity_wh,
    battery_power_input_w, battery_power_output_w, counter_modulus_wh, created_at, deleted_at, _version
FROM devices FINAL
COMMENT 'The devices of the directory, deleted ones too, as `wattline devices publish` last wrote them.';

CREATE OR REPLACE VIEW energy_intervals (
    client_id LowCardinality(String) COMMENT 'The client the device belongs to.',
    device_id String COMMENT 'The client''s own id of the device.',
    source LowCardinality(String) COMMENT 'REPORTED or COUNTER.',
    start_time DateTime64(3, 'UTC') COMMENT 'Start of the interval (included), UTC.',
    end_time DateTime64(3, 'UTC') COMMENT 'End of the interval (excluded), UTC.',
    battery_total_energy_charge_wh Nullable(Decimal(18, 3)) COMMENT 'Energy charged into the battery in the interval, in Wh; null where it is not known.',
    battery_total_energy_discharge_wh Nullable(Decimal(18, 3)) COMMENT 'Energy discharged from the battery in the interval, in Wh; null where it is not known.',
    home_total_energy_wh Nullable(Decimal(18, 3)) COMMENT 'Energy used by the home in the interval, in Wh; null where it is not known.',
    solar_total_energy_wh Nullable(Decimal(18, 3)) COMMENT 'Energy made by the solar panels in the interval, in Wh; null where it is not known.',
    is_complete Bool COMMENT 'All four energies are known and none is a lower bound (RESET).',
    gap Bool COMMENT 'Derived from two readings more than 15 minutes apart.',
    last_is_online Bool COMMENT 'Whether the device was online at the end of the interval.'
) AS
WITH toBool(
    isNotNull(battery_total_energy_charge_wh) AND isNotNull(battery_total_energy_discharge_wh)
    AND isNotNull(home_total_energy_wh) AND isNotNull(solar_total_energy_wh)
    AND NOT has([battery_total_energy_charge_quality, battery_total_energy_discharge_quality,
                 home_total_energy_quality, solar_total_energy_quality], 'RESET')) AS complete
SELECT
    client_id, device_id, source, start_time, end_time,
    battery_total_energy_charge_wh, battery_total_energy_discharge_wh, home_total_energy_wh, solar_total_energy_wh,
    complete AS is_complete, gap, last_is_online
FROM intervals FINAL
WHERE source = 'REPORTED'
    AND end_time > {since:DateTime64(3, 'UTC')} AND end_time <= {until:DateTime64(3, 'UTC')}
UNION ALL
-- A derived interval is left out where a reported one of its device overlaps it. Behind `start_time` in
-- the order of time, `covered_until` is the latest end of the reported intervals so far.
SELECT
    client_id, device_id, source, start_time, end_time,
    battery_total_energy_charge_wh, battery_total_energy_discharge_wh, home_total_energy_wh, solar_total_energy_wh,
    complete AS is_complete, gap, last_is_online
FROM
(
    SELECT * FROM intervals FINAL
    WHERE source = 'COUNTER'
        AND end_time > {since:DateTime64(3, 'UTC')} AND end_time <= {until:DateTime64(3, 'UTC')}
) AS derived
ASOF LEFT JOIN
(
    SELECT client_id, device_id, start_time AS reported_from,
        max(end_time) OVER (PARTITION BY client_id, device_id ORDER BY start_time
                            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS covered_until
    FROM intervals FINAL
    WHERE source = 'REPORTED'
        AND end_time > (SELECT min(start_time) FROM intervals WHERE source = 'COUNTER'
            AND end_time > {since:DateTime64(3, 'UTC')} AND end_time <= {until:DateTime64(3, 'UTC')})
        -- A reported interval is a day long at most.
        AND end_time < {until:DateTime64(3, 'UTC')} + INTERVAL 1 DAY
        AND (client_id, device_id) IN (SELECT client_id, device_id FROM intervals WHERE source = 'COUNTER'
            AND end_time > {since:DateTime64(3, 'UTC')} AND end_time <= {until:DateTime64(3, 'UTC')})
) AS reported
ON derived.client_id = reported.client_id AND derived.device_id = reported.device_id
    AND derived.end_time > reported.reported_from
WHERE ifNull(reported.covered_until <= derived.start_time, true)
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Intervals of each device that end after `since` and not after `until`, of one source at any time: where a device has reported intervals, derived ones that overlap them are left out. Parameters: since, until.';

CREATE OR REPLACE VIEW energy_by_device (
    period_start DateTime('UTC') COMMENT 'Start of the period, UTC. An interval counts, whole, in the period that it ends in.',
    client_id LowCardinality(String) COMMENT 'The client the device belongs to.',
    site_id Nullable(String) COMMENT 'The site the device is at now; null where it has none or its devices were not published.',
    device_id String COMMENT 'The client''s own id of the device.',
    intervals UInt64 COMMENT 'Intervals that were added up.',
    incomplete UInt64 COMMENT 'Intervals of which an energy is not known, or only as a lower bound.',
    battery_total_energy_charge_wh Nullable(Decimal(38, 3)) COMMENT 'Energy charged into batteries, in Wh; null where none is known.',
    battery_total_energy_discharge_wh Nullable(Decimal(38, 3)) COMMENT 'Energy discharged from batteries, in Wh; null where none is known.',
    home_total_energy_wh Nullable(Decimal(38, 3)) COMMENT 'Energy used by homes, in Wh; null where none is known.',
    solar_total_energy_wh Nullable(Decimal(38, 3)) COMMENT 'Energy made by solar panels, in Wh; null where none is known.'
) AS
SELECT period_start, client_id, site_id, device_id, intervals, incomplete,
    charge_wh AS battery_total_energy_charge_wh, discharge_wh AS battery_total_energy_discharge_wh,
    home_wh AS home_total_energy_wh, solar_wh AS solar_total_energy_wh
FROM
(
    SELECT
        toDateTime(toStartOfInterval(end_time - INTERVAL 1 MILLISECOND, toIntervalMinute({minutes:UInt32})), 'UTC') AS period_start,
        client_id, device_id, count() AS intervals, countIf(NOT is_complete) AS incomplete,
        sum(battery_total_energy_charge_wh) AS charge_wh, sum(battery_total_energy_discharge_wh) AS discharge_wh,
        sum(home_total_energy_wh) AS home_wh, sum(solar_total_energy_wh) AS solar_wh
    FROM energy_intervals(since = {since:DateTime64(3, 'UTC')}, until = {until:DateTime64(3, 'UTC')})
    GROUP BY period_start, client_id, device_id
) AS energy
LEFT ANY JOIN (SELECT client_id, device_id, site_id FROM devices FINAL) AS devices USING (client_id, device_id)
COMMENT 'Energy of each device by periods of so many minutes. Parameters: since, until, minutes (5, 60, 1440 for days in UTC).';

CREATE OR REPLACE VIEW energy_by_site (
    period_start DateTime('UTC') COMMENT 'Start of the period, UTC. An interval counts, whole, in the period that it ends in.',
    client_id LowCardinality(String) COMMENT 'The client the site belongs to.',
    site_id Nullable(String) COMMENT 'The site; null for the devices without one.',
    devices UInt64 COMMENT 'Devices that have an interval in the period.',
    intervals UInt64 COMMENT 'Intervals that were added up.',
    incomplete UInt64 COMMENT 'Intervals of which an energy is not known, or only as a lower bound.',
    battery_total_energy_charge_wh Nullable(Decimal(38, 3)) COMMENT 'Energy charged into batteries, in Wh; null where none is known.',
    battery_total_energy_discharge_wh Nullable(Decimal(38, 3)) COMMENT 'Energy discharged from batteries, in Wh; null where none is known.',
    home_total_energy_wh Nullable(Decimal(38, 3)) COMMENT 'Energy used by homes, in Wh; null where none is known.',
    solar_total_energy_wh Nullable(Decimal(38, 3)) COMMENT 'Energy made by solar panels, in Wh; null where none is known.'
) AS
SELECT period_start, client_id, site_id, count() AS devices, sum(of_device.intervals) AS intervals,
    sum(of_device.incomplete) AS incomplete,
    sum(of_device.battery_total_energy_charge_wh) AS battery_total_energy_charge_wh,
    sum(of_device.battery_total_energy_discharge_wh) AS battery_total_energy_discharge_wh,
    sum(of_device.home_total_energy_wh) AS home_total_energy_wh,
    sum(of_device.solar_total_energy_wh) AS solar_total_energy_wh
FROM energy_by_device(since = {since:DateTime64(3, 'UTC')}, until = {until:DateTime64(3, 'UTC')},
                      minutes = {minutes:UInt32}) AS of_device
GROUP BY period_start, client_id, site_id
COMMENT 'Energy of each site by periods of so many minutes. Parameters: since, until, minutes (5, 60, 1440 for days in UTC).';

CREATE OR REPLACE VIEW energy_by_client (
    period_start DateTime('UTC') COMMENT 'Start of the period, UTC. An interval counts, whole, in the period that it ends in.',
    client_id LowCardinality(String) COMMENT 'The client.',
    devices UInt64 COMMENT 'Devices that have an interval in the period.',
    intervals UInt64 COMMENT 'Intervals that were added up.',
    incomplete UInt64 COMMENT 'Intervals of which an energy is not known, or only as a lower bound.',
    battery_total_energy_charge_wh Nullable(Decimal(38, 3)) COMMENT 'Energy charged into batteries, in Wh; null where none is known.',
    battery_total_energy_discharge_wh Nullable(Decimal(38, 3)) COMMENT 'Energy discharged from batteries, in Wh; null where none is known.',
    home_total_energy_wh Nullable(Decimal(38, 3)) COMMENT 'Energy used by homes, in Wh; null where none is known.',
    solar_total_energy_wh Nullable(Decimal(38, 3)) COMMENT 'Energy made by solar panels, in Wh; null where none is known.'
) AS
SELECT period_start, client_id, count() AS devices, sum(of_device.intervals) AS intervals,
    sum(of_device.incomplete) AS incomplete,
    sum(of_device.battery_total_energy_charge_wh) AS battery_total_energy_charge_wh,
    sum(of_device.battery_total_energy_discharge_wh) AS battery_total_energy_discharge_wh,
    sum(of_device.home_total_energy_wh) AS home_total_energy_wh,
    sum(of_device.solar_total_energy_wh) AS solar_total_energy_wh
FROM energy_by_device(since = {since:DateTime64(3, 'UTC')}, until = {until:DateTime64(3, 'UTC')},
                      minutes = {minutes:UInt32}) AS of_device
GROUP BY period_start, client_id
COMMENT 'Energy of each client by periods of so many minutes. Parameters: since, until, minutes (5, 60, 1440 for days in UTC).';

CREATE OR REPLACE VIEW device_states (
    client_id LowCardinality(String) COMMENT 'The client the device belongs to.',
    site_id Nullable(String) COMMENT 'The site the device is at now; null where it has none or its devices were not published.',
    device_id String COMMENT 'The client''s own id of the device.',
    known_at DateTime64(3, 'UTC') COMMENT 'Time of the state by the device: the end of its last interval, or its last reading, UTC.',
    last_is_online Bool COMMENT 'Whether the device was online then.',
    last_is_grid_online Nullable(Bool) COMMENT 'Whether the grid was there; null when not reported.',
    last_mode Nullable(String) COMMENT 'Mode of the battery: CHARGE, DISCHARGE, STANDBY, BACKUP, SELF_CONSUMPTION, SAVINGS, or null.',
    battery_last_power_charge_w Nullable(Decimal(18, 3)) COMMENT 'Power into the battery, in W.',
    battery_last_power_discharge_w Nullable(Decimal(18, 3)) COMMENT 'Power out of the battery, in W.',
    battery_last_stored_energy_wh Nullable(Decimal(18, 3)) COMMENT 'Energy stored in the battery, in Wh.',
    battery_last_capacity_energy_wh Nullable(Decimal(18, 3)) COMMENT 'Usable capacity of the battery, in Wh.',
    home_last_power_w Nullable(Decimal(18, 3)) COMMENT 'Power used by the home, in W.',
    solar_last_power_w Nullable(Decimal(18, 3)) COMMENT 'Power of the solar panels, in W.',
    battery_last_state_of_charge_percentage Nullable(Decimal(18, 3)) COMMENT 'State of charge, 0 to 100 %.',
    battery_last_state_of_health_percentage Nullable(Decimal(18, 3)) COMMENT 'State of health, 0 to 100 %.',
    battery_last_backup_reserve_percentage Nullable(Decimal(18, 3)) COMMENT 'Share of the charge kept for outages, 0 to 100 %.'
) AS
SELECT client_id, site_id, device_id, known_at,
    state.1 AS last_is_online, state.2 AS last_is_grid_online, state.3 AS last_mode,
    state.4 AS battery_last_power_charge_w, state.5 AS battery_last_power_discharge_w,
    state.6 AS battery_last_stored_energy_wh, state.7 AS battery_last_capacity_energy_wh,
    state.8 AS home_last_power_w, state.9 AS solar_last_power_w,
    state.10 AS battery_last_state_of_charge_percentage, state.11 AS battery_last_state_of_health_percentage,
    state.12 AS battery_last_backup_reserve_percentage
FROM
(
    -- In a tuple: argMax passes over nulls, and a null of the last state has to stay one.
    SELECT client_id, device_id, max(at) AS known_at, argMax(of_point, (at, rank)) AS state
    FROM
    (
        SELECT client_id, device_id, end_time AS at, 2 AS rank, tuple(
                last_is_online, last_is_grid_online, last_mode, battery_last_power_charge_w,
                battery_last_power_discharge_w, battery_last_stored_energy_wh, battery_last_capacity_energy_wh,
                home_last_power_w, solar_last_power_w, battery_last_state_of_charge_percentage,
                battery_last_state_of_health_percentage, battery_last_backup_reserve_percentage) AS of_point
        FROM intervals FINAL
        WHERE source = 'REPORTED'
            AND end_time > {since:DateTime64(3, 'UTC')} AND end_time <= {until:DateTime64(3, 'UTC')}
        UNION ALL
        SELECT client_id, device_id, timestamp AS at, toUInt8(in_chain) AS rank, tuple(
                last_is_online, last_is_grid_online, last_mode, battery_last_power_charge_w,
                battery_last_power_discharge_w, battery_last_stored_energy_wh, battery_last_capacity_energy_wh,
                home_last_power_w, solar_last_power_w, battery_last_state_of_charge_percentage,
                battery_last_state_of_health_percentage, battery_last_backup_reserve_percentage) AS of_point
        FROM readings FINAL
        WHERE timestamp > {since:DateTime64(3, 'UTC')} AND timestamp <= {until:DateTime64(3, 'UTC')}
    )
    GROUP BY client_id, device_id
) AS states
LEFT ANY JOIN (SELECT client_id, device_id, site_id FROM devices FINAL) AS devices USING (client_id, device_id)
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'The last state of each device that is known at `until` and younger than `since`, from reported intervals and from readings. Parameters: since, until.';

CREATE OR REPLACE VIEW availability (
    client_id LowCardinality(String) COMMENT 'The client the device belongs to.',
    site_id Nullable(String) COMMENT 'The site the device is at now; null where it has none or its devices were not published.',
    device_id String COMMENT 'The client''s own id of the device. Those of the directory that sent nothing are here too.',
    intervals UInt64 COMMENT 'Intervals in the range, gaps not counted.',
    present_share Float64 COMMENT 'Share of the range, 0 to 1, that the intervals cover: the points that could be expected and are there.',
    online_share Float64 COMMENT 'Share of the range, 0 to 1, covered by intervals at whose end the device was online.',
    last_end Nullable(DateTime64(3, 'UTC')) COMMENT 'End of the last interval in the range, UTC; null where there is none.'
) AS
WITH dateDiff('millisecond', {since:DateTime64(3, 'UTC')}, {until:DateTime64(3, 'UTC')}) AS range_ms
SELECT client_id, anyIf(site, is_device) AS site_id, device_id, sum(points) AS intervals,
    round(sum(present_ms) / range_ms, 4) AS present_share, round(sum(online_ms) / range_ms, 4) AS online_share,
    max(ends) AS last_end
FROM
(
    SELECT client_id, device_id, false AS is_device, CAST(NULL, 'Nullable(String)') AS site, count() AS points,
        sum(dateDiff('millisecond', greatest(start_time, {since:DateTime64(3, 'UTC')}), end_time)) AS present_ms,
        sumIf(dateDiff('millisecond', greatest(start_time, {since:DateTime64(3, 'UTC')}), end_time), last_is_online) AS online_ms,
        toNullable(max(end_time)) AS ends
    FROM energy_intervals(since = {since:DateTime64(3, 'UTC')}, until = {until:DateTime64(3, 'UTC')})
    WHERE NOT gap
    GROUP BY client_id, device_id
    UNION ALL
    SELECT client_id, device_id, true AS is_device, site_id AS site, 0 AS points, 0 AS present_ms, 0 AS online_ms, NULL AS ends
    FROM devices FINAL
    WHERE deleted_at IS NULL AND type = 'BATTERY'
)
GROUP BY client_id, device_id
COMMENT 'How much of a range of time each battery has points for, and was online. Parameters: since, until.';

CREATE OR REPLACE VIEW energy_quality (
    client_id LowCardinality(String) COMMENT 'The client.',
    energy String COMMENT 'Which energy: battery_charge, battery_discharge, home, solar.',
    quality LowCardinality(String) COMMENT 'What it rests on: REPORTED, or for derived intervals VALID, JITTER, ROLLOVER (exact), RESET (a lower bound), JUMP, REBASE (null).',
    intervals UInt64 COMMENT 'Intervals whose energy is of this quality.',
    known_wh Nullable(Decimal(38, 3)) COMMENT 'Sum of those energies, in Wh; null where none is known.'
) AS
SELECT client_id, of_energy.1 AS energy, of_energy.2 AS quality, count() AS intervals, sum(of_energy.3) AS known_wh
FROM
(
    SELECT client_id, arrayJoin([
        ('battery_charge', battery_total_energy_charge_quality, battery_total_energy_charge_wh),
        ('battery_discharge', battery_total_energy_discharge_quality, battery_total_energy_discharge_wh),
        ('home', home_total_energy_quality, home_total_energy_wh),
        ('solar', solar_total_energy_quality, solar_total_energy_wh)]) AS of_energy
    FROM intervals FINAL
    WHERE end_time > {since:DateTime64(3, 'UTC')} AND end_time <= {until:DateTime64(3, 'UTC')}
)
GROUP BY client_id, energy, quality
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'How many intervals of each client rest on what, for each of the four energies and both sources. Parameters: since, until.';
