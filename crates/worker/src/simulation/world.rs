//! The world of a simulation: what outlives an owner of the partition, and what can go wrong in it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal64Type, Int32Type, Int64Type, TimestampMillisecondType, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use jiff::civil::Date;
use tokio::sync::Notify;
use tokio::time::sleep;
use wattline_clickhouse_sink::{
    Around, ClickHouseError, DisplacedReading, Range, Source, StoredReading, Table, Thousandths,
};
use wattline_kafka::CommitError;
use wattline_model::Position;
use wattline_parquet_sink::{Kind as FileKind, ParquetSinkError};

use crate::sinks::{Files, Offsets, RejectedTopic, Tables};

/// SplitMix64: small, and the same everywhere.
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(super) fn fork(&mut self) -> Rng {
        Rng(self.next())
    }
}

/// A row of a table or a file: its key, its version, its place, and the rest as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub key: String,
    pub version: u64,
    pub offset: i64,
    pub index: i32,
    pub time_ms: i64,
    pub text: String,
    reading: Option<Box<StoredReadingRow>>,
    /// The bytes of a rejected record.
    record: Vec<u8>,
}

/// What a look-up gives back, in an order that can be compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct StoredReadingRow {
    client_id: String,
    device_id: String,
    timestamp_ms: i64,
    counters: [i64; 4],
    state_of_charge: Option<i64>,
    limits: [i64; 4],
    is_online: bool,
}

impl Row {
    pub(super) fn counters(&self) -> Option<wattline_model::Counters> {
        self.reading.as_ref().map(|reading| reading.counters)
    }

    /// The start, the energies, the qualities and the gap of an interval.
    pub(super) fn interval_text(&self) -> String {
        let value = |name: &str| {
            let field = self.text.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
            field.unwrap_or_default().to_owned()
        };
        let names = wattline_model::COUNTERS.map(|quantity| quantity.name());
        let energy = names.map(value);
        let quality = names.map(|name| value(&name.replace("_wh", "_quality")));
        format!("{} {energy:?} {quality:?} {}", value("start_time"), value("gap"))
    }
}

#[derive(Clone)]
pub(super) struct World(Arc<Mutex<State>>);

pub(super) struct State {
    rng: Rng,
    generation: u64,
    committed: Option<(i64, String)>,
    pub tables: BTreeMap<&'static str, Vec<Row>>,
    tokens: HashSet<String>,
    pub files: BTreeMap<String, Vec<Row>>,
    temporary: BTreeSet<(u64, String)>,
    is_healed: bool,
}

impl World {
    pub(super) fn new(rng: Rng) -> Self {
        World(Arc::new(Mutex::new(State {
            rng,
            generation: 0,
            committed: None,
            tables: BTreeMap::new(),
            tokens: HashSet::new(),
            files: BTreeMap::new(),
            temporary: BTreeSet::new(),
            is_healed: false,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn actor(&self, generation: u64) -> Actor {
        Actor {
            world: self.clone(),
            generation,
            steps: Arc::new(AtomicU64::new(0)),
            stepped: Arc::new(Notify::new()),
            frozen_ms: Arc::new(AtomicU64::new(0)),
        }
    }
}

impl State {
    pub(super) fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    pub(super) fn committed(&self) -> Option<(i64, String)> {
        self.committed.clone()
    }

    pub(super) fn heal(&mut self) {
        self.is_healed = true;
    }

    pub(super) fn drop_temporary_files(&mut self, generation: u64) {
        self.temporary.retain(|(of, _)| *of != generation);
    }

    fn fails(&mut self, one_in: u64) -> bool {
        !self.is_healed && self.rng.one_in(one_in)
    }

    /// The newest row of each key, as a reader with FINAL sees the table.
    pub(super) fn newest(&self, table: Table) -> BTreeMap<&str, &Row> {
        newest(self.tables.get(table.name()).into_iter().flatten())
    }

    fn merge(&mut self, table: Table) {
        let rows = self.tables.entry(table.name()).or_default();
        let kept = newest(rows.iter()).into_values().cloned().collect();
        *rows = kept;
    }
}

/// The row of the highest version of each key; of several, the one that came last.
pub(super) fn newest<'a>(rows: impl Iterator<Item = &'a Row>) -> BTreeMap<&'a str, &'a Row> {
    let mut newest = BTreeMap::<&str, &Row>::new();
    for row in rows {
        let known = newest.entry(&row.key).or_insert(row);
        if row.version >= known.version {
            *known = row;
        }
    }
    newest
}

/// One owner's hand in the world.
#[derive(Clone)]
pub(super) struct Actor {
    world: World,
    generation: u64,
    steps: Arc<AtomicU64>,
    stepped: Arc<Notify>,
    frozen_ms: Arc<AtomicU64>,
}

impl Actor {
    /// Between any two things that an owner does, time passes; a frozen one stands still for longer.
    async fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.stepped.notify_waiters();
        let pause_ms = self.world.lock().rng.below(40);
        sleep(Duration::from_millis(pause_ms)).await;
        let frozen_ms = self.frozen_ms.swap(0, Ordering::Relaxed);
        sleep(Duration::from_millis(frozen_ms)).await;
    }

    pub(super) async fn after_steps(&self, steps: u64) {
        while self.steps.load(Ordering::Relaxed) < steps {
            self.stepped.notified().await;
        }
    }

    pub(super) fn freeze(&self, time: Duration) {
        self.frozen_ms.store(time.as_millis() as u64, Ordering::Relaxed);
    }
}

pub(super) struct SimOffsets(pub Actor);

impl Offsets for SimOffsets {
    async fn commit(&self, offset: i64, metadata: String) -> Result<(), CommitError> {
        self.0.step().await;
        let is_doubtful = {
            let mut world = self.0.world.lock();
            if world.generation != self.0.generation {
                return Err(CommitError::NotOurs);
            }
            let is_doubtful = world.fails(15);
            // A commit that was not answered may have been made or not.
            if !is_doubtful || world.rng.one_in(2) {
                assert!(
                    world.committed.as_ref().is_none_or(|(before, _)| *before <= offset),
                    "an offset goes back"
                );
                world.committed = Some((offset, metadata));
            }
            is_doubtful
        };
        self.0.step().await;
        if is_doubtful {
            let code = rdkafka_timed_out();
            return Err(CommitError::Doubtful(code));
        }
        Ok(())
    }
}

fn rdkafka_timed_out() -> wattline_kafka::KafkaError {
    wattline_kafka::KafkaError::ConsumerCommit(wattline_kafka::KafkaErrorCode::RequestTimedOut)
}

pub(super) struct SimTables(pub Actor);

fn unreachable() -> ClickHouseError {
    ClickHouseError::Unreachable { during: "insert", source: Source::Deadline(Duration::from_secs(1)) }
}

impl SimTables {
    async fn write(&self, table: Table, rows: Vec<Row>, token: Option<&str>) -> Result<(), ClickHouseError> {
        self.0.step().await;
        let outcome = {
            let mut world = self.0.world.lock();
            if world.fails(12) {
                return Err(unreachable());
            }
            let token = token.map(|token| format!("{table}/{token}"));
            let is_known = token.is_some_and(|token| !world.tokens.insert(token));
            // Not every part of an insert is there when the server dies in the middle.
            let is_cut = world.fails(10);
            let rows: Vec<Row> =
                if is_cut { rows.into_iter().filter(|_| world.rng.one_in(2)).collect() } else { rows };
            if !is_known {
                world.tables.entry(table.name()).or_default().extend(rows);
            }
            let is_lost = world.fails(10);
            if world.rng.one_in(3) {
                world.merge(table);
            }
            if is_cut || is_lost { Err(unreachable()) } else { Ok(()) }
        };
        self.0.step().await;
        outcome
    }
}

impl Tables for SimTables {
    async fn insert(&self, table: Table, rows: &RecordBatch, token: &str) -> Result<(), ClickHouseError> {
        self.write(table, rows_of(table, rows), Some(token)).await
    }

    async fn insert_missing(
        &self,
        table: Table,
        rows: &RecordBatch,
        range: Range<'_>,
    ) -> Result<(), ClickHouseError> {
        self.0.step().await;
        let rows = rows_of(table, rows);
        assert!(
            rows.iter()
                .all(|row| (range.first..=range.last).contains(&row.offset) || table == Table::Rejected)
        );
        let missing = {
            let mut world = self.0.world.lock();
            if world.fails(12) {
                return Err(unreachable());
            }
            let place = |row: &Row| (row.offset, row.index, row.time_ms);
            let there: HashSet<_> = world.tables.entry(table.name()).or_default().iter().map(place).collect();
            rows.into_iter().filter(|row| !there.contains(&place(row))).collect::<Vec<_>>()
        };
        self.write(table, missing, None).await
    }

    async fn holds(&self, _: &str, _: i32) -> Result<bool, ClickHouseError> {
        Ok(self.0.world.lock().tables.values().any(|rows| !rows.is_empty()))
    }

    async fn neighbours(
        &self,
        _: &str,
        _: i32,
        before_offset: i64,
        devices: &[Around<'_>],
    ) -> Result<Vec<StoredReading>, ClickHouseError> {
        self.0.step().await;
        let mut world = self.0.world.lock();
        if world.fails(12) {
            return Err(unreachable());
        }
        let mut found = Vec::new();
        for device in devices {
            let mut by_time = BTreeMap::<i64, &Row>::new();
            for row in world.tables.get(Table::Readings.name()).into_iter().flatten() {
                let Some(reading) = row.reading.as_ref().filter(|_| row.offset < before_offset) else {
                    continue;
                };
                if (&*reading.client_id, &*reading.device_id) != (device.client_id, device.device_id) {
                    continue;
                }
                let known = by_time.entry(reading.timestamp_ms).or_insert(row);
                if Some(reading.counters) > known.reading.as_ref().map(|known| known.counters) {
                    *known = row;
                }
            }
            let before = by_time.range(..device.min_ms).next_back();
            let within = by_time.range(device.min_ms..=device.max_ms);
            let after = by_time.range(device.max_ms + 1..).next();
            found.extend(before.into_iter().chain(within).chain(after).map(|(_, row)| stored(row)));
        }
        Ok(found)
    }

    async fn displaced(&self, _: &str, _: i32, first: i64) -> Result<Vec<DisplacedReading>, ClickHouseError> {
        self.0.step().await;
        let mut world = self.0.world.lock();
        if world.fails(12) {
            return Err(unreachable());
        }
        let rejected = world.tables.get(Table::Rejected.name()).into_iter().flatten();
        let since = Position { offset: first, index: 0 }.version();
        Ok(rejected
            .filter(|row| row.offset < first && row.version >= since && row.text.contains("CONFLICT"))
            .map(|row| DisplacedReading { offset: row.offset, index: row.index, record: row.record.clone() })
            .collect())
    }
}

pub(super) struct SimFiles(pub Actor);

pub(super) struct SimPart {
    name: String,
    rows: Vec<Row>,
}

impl Files for SimFiles {
    type Part = SimPart;

    fn sweep(&self, _: &str, _: i32) -> Result<(), ParquetSinkError> {
        Ok(())
    }

    async fn holds(&self, _: &str, _: i32) -> Result<bool, ParquetSinkError> {
        Ok(!self.0.world.lock().files.is_empty())
    }

    fn open(
        &self,
        kind: FileKind,
        topic: &str,
        partition: i32,
        first: i64,
        _: SchemaRef,
    ) -> Result<SimPart, ParquetSinkError> {
        let mut world = self.0.world.lock();
        if world.fails(60) {
            return Err(disk_full());
        }
        let name = format!("{kind}/{topic}-{partition}-{first}");
        world.temporary.insert((self.0.generation, name.clone()));
        Ok(SimPart { name, rows: Vec::new() })
    }

    fn append(&self, part: &mut SimPart, rows: &RecordBatch) -> Result<(), ParquetSinkError> {
        if self.0.world.lock().fails(60) {
            return Err(disk_full());
        }
        let table = if part.name.starts_with("intervals") { Table::Intervals } else { Table::Readings };
        part.rows.extend(rows_of(table, rows));
        Ok(())
    }

    fn bytes(&self, part: &SimPart) -> usize {
        part.rows.len()
    }

    async fn finish(&self, part: SimPart, last: i64, day: Date) -> Result<(), ParquetSinkError> {
        self.0.step().await;
        {
            let mut world = self.0.world.lock();
            if world.fails(40) {
                return Err(disk_full());
            }
            world.files.entry(format!("{day}/{}-{last}", part.name)).or_insert(part.rows);
        }
        self.0.step().await;
        Ok(())
    }
}

fn disk_full() -> ParquetSinkError {
    ParquetSinkError::DiskFull { path: "disk".into(), source: std::io::ErrorKind::StorageFull.into() }
}

pub(super) struct SimRejected(pub Actor);

impl RejectedTopic for SimRejected {
    async fn append(&self, _: Vec<Vec<u8>>) -> bool {
        self.0.step().await;
        true
    }
}

/// The rows of a batch.
pub(super) fn rows_of(table: Table, batch: &RecordBatch) -> Vec<Row> {
    let time = match table {
        Table::Intervals => Some("end_time"),
        Table::Readings => Some("timestamp"),
        Table::Rejected => None,
    };
    let key: &[&str] = match table {
        Table::Intervals => &["client_id", "device_id", "source", "end_time"],
        Table::Readings => &["client_id", "device_id", "timestamp", "in_chain"],
        Table::Rejected => &["_topic", "_partition", "_offset", "_index"],
    };
    (0..batch.num_rows())
        .map(|at| Row {
            key: key.iter().map(|name| text(batch, name, at)).collect::<Vec<_>>().join("|"),
            version: column(batch, "_version").as_primitive::<UInt64Type>().value(at),
            offset: column(batch, "_offset").as_primitive::<Int64Type>().value(at),
            index: column(batch, "_index").as_primitive::<Int32Type>().value(at),
            time_ms: time
                .map_or(0, |name| column(batch, name).as_primitive::<TimestampMillisecondType>().value(at)),
            text: content(batch, at),
            reading: (table == Table::Readings).then(|| reading(batch, at)).flatten(),
            record: batch
                .column_by_name("record")
                .map_or(Vec::new(), |records| records.as_binary::<i32>().value(at).to_vec()),
        })
        .collect()
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a dyn Array {
    &**batch.column_by_name(name).expect("a column of the table")
}

/// Everything that a reader of the row sees but its place.
fn content(batch: &RecordBatch, at: usize) -> String {
    let schema = batch.schema();
    let names = schema.fields().iter().map(|field| field.name()).filter(|name| !name.starts_with('_'));
    names
        .filter(|name| *name != "received_at" && *name != "rejected_at" && *name != "record")
        .map(|name| format!("{name}={}", text(batch, name, at)))
        .collect::<Vec<_>>()
        .join(" ")
}

fn text(batch: &RecordBatch, name: &str, at: usize) -> String {
    let array = column(batch, name);
    if array.is_null(at) {
        return "null".into();
    }
    match array.data_type() {
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            dictionary.values().as_string::<i32>().value(dictionary.normalized_keys()[at]).to_owned()
        }
        DataType::Utf8 => array.as_string::<i32>().value(at).to_owned(),
        DataType::Boolean => array.as_boolean().value(at).to_string(),
        DataType::Decimal64(_, _) => array.as_primitive::<Decimal64Type>().value(at).to_string(),
        DataType::Timestamp(_, _) => array.as_primitive::<TimestampMillisecondType>().value(at).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(at).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(at).to_string(),
        other => unreachable!("no column has the type {other}"),
    }
}

fn reading(batch: &RecordBatch, at: usize) -> Option<Box<StoredReadingRow>> {
    let decimal = |name: &str| {
        let array = column(batch, name).as_primitive::<Decimal64Type>();
        (!array.is_null(at)).then(|| array.value(at))
    };
    let counters = wattline_model::COUNTERS.map(|quantity| decimal(quantity.name()));
    let [Some(charge), Some(discharge), Some(home), Some(solar)] = counters else { return None };
    let limit = |name: &str| column(batch, name).as_primitive::<Int64Type>().value(at);
    Some(Box::new(StoredReadingRow {
        client_id: text(batch, "client_id", at),
        device_id: text(batch, "device_id", at),
        timestamp_ms: column(batch, "timestamp").as_primitive::<TimestampMillisecondType>().value(at),
        counters: [charge, discharge, home, solar],
        state_of_charge: decimal("battery_last_state_of_charge_percentage"),
        limits: ["limit_battery_charge_w", "limit_battery_discharge_w", "limit_home_w", "limit_solar_w"]
            .map(limit),
        is_online: column(batch, "last_is_online").as_boolean().value(at),
    }))
}

fn stored(row: &Row) -> StoredReading {
    let reading = row.reading.as_ref().expect("a reading with counters");
    let [charge, discharge, home, solar] = reading.counters.map(|counter| Some(Thousandths(counter)));
    let [limit_battery_charge_w, limit_battery_discharge_w, limit_home_w, limit_solar_w] = reading.limits;
    StoredReading {
        client_id: reading.client_id.clone(),
        device_id: reading.device_id.clone(),
        timestamp_ms: reading.timestamp_ms,
        battery_total_energy_charge_wh: charge,
        battery_total_energy_discharge_wh: discharge,
        home_total_energy_wh: home,
        solar_total_energy_wh: solar,
        last_is_online: reading.is_online,
        last_is_grid_online: Some(true),
        last_mode: None,
        battery_last_power_charge_w: None,
        battery_last_power_discharge_w: None,
        battery_last_stored_energy_wh: None,
        battery_last_capacity_energy_wh: None,
        home_last_power_w: None,
        solar_last_power_w: None,
        battery_last_state_of_charge_percentage: reading.state_of_charge.map(Thousandths),
        battery_last_state_of_health_percentage: None,
        battery_last_backup_reserve_percentage: None,
        oem_raw_data: None,
        limit_battery_charge_w,
        limit_battery_discharge_w,
        limit_home_w,
        limit_solar_w,
        counter_modulus_wh: None,
        received_at_ms: 0,
        offset: row.offset,
        index: row.index,
    }
}
