use std::fmt;

use serde::Serialize;

/// What the audit found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Nothing is missing, nothing is there that should not be. What is pending does not count against it.
    pub exact: bool,
    #[serde(flatten)]
    pub totals: Totals,
    pub partitions: Vec<PartitionReport>,
}

/// Points and intervals, of a partition or of all.
///
/// `kafka_points` = `clickhouse_points` + `rejected` + `duplicates` + `pending_clickhouse`, and the same for
/// Parquet, where all is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Points that Kafka has; a record that cannot be decoded is one.
    pub kafka_points: u64,
    /// Points that a reader of ClickHouse sees.
    pub clickhouse_points: u64,
    /// Different points in Parquet.
    pub parquet_points: u64,
    /// Points that are in the table of the rejected.
    pub rejected: u64,
    /// Points that repeat an earlier one of the same device and time.
    pub duplicates: u64,
    /// Points that the sink does not have and need not have yet.
    pub pending_clickhouse: u64,
    pub pending_parquet: u64,
    /// Pairs of consecutive readings in Kafka, and how many of them have a row.
    pub intervals_expected: u64,
    pub intervals_clickhouse: u64,
    pub intervals_parquet: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionReport {
    pub topic: String,
    pub partition: i32,
    pub exact: bool,
    #[serde(flatten)]
    pub totals: Totals,
    /// A sentence for each kind of problem, which counts them and names the first few.
    pub problems: Vec<String>,
}

impl Report {
    pub(crate) fn new(partitions: Vec<PartitionReport>) -> Self {
        let mut totals = Totals::default();
        for partition in &partitions {
            totals.add(&partition.totals);
        }
        Report { exact: partitions.iter().all(|partition| partition.exact), totals, partitions }
    }
}

impl Totals {
    fn add(&mut self, other: &Totals) {
        self.kafka_points += other.kafka_points;
        self.clickhouse_points += other.clickhouse_points;
        self.parquet_points += other.parquet_points;
        self.rejected += other.rejected;
        self.duplicates += other.duplicates;
        self.pending_clickhouse += other.pending_clickhouse;
        self.pending_parquet += other.pending_parquet;
        self.intervals_expected += other.intervals_expected;
        self.intervals_clickhouse += other.intervals_clickhouse;
        self.intervals_parquet += other.intervals_parquet;
    }

    fn columns(&self) -> [(&'static str, u64); 10] {
        [
            ("Kafka", self.kafka_points),
            ("ClickHouse", self.clickhouse_points),
            ("Parquet", self.parquet_points),
            ("rejected", self.rejected),
            ("duplicates", self.duplicates),
            ("pending CH", self.pending_clickhouse),
            ("pending Pq", self.pending_parquet),
            ("intervals", self.intervals_expected),
            ("in CH", self.intervals_clickhouse),
            ("in Pq", self.intervals_parquet),
        ]
    }
}

/// A table, and below it what is wrong.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |partition: &PartitionReport| format!("{}/{}", partition.topic, partition.partition);
        let name_width =
            self.partitions.iter().map(|partition| name(partition).len()).max().unwrap_or(0).max(9);
        // The totals are the widest numbers.
        let widths = self.totals.columns().map(|(title, value)| title.len().max(value.to_string().len()));
        let row = |f: &mut fmt::Formatter<'_>, name: &str, totals: &Totals, exact: bool| {
            write!(f, "{name:<name_width$}")?;
            for ((_, value), width) in totals.columns().into_iter().zip(widths) {
                write!(f, "  {value:>width$}")?;
            }
            writeln!(f, "  {}", if exact { "exact" } else { "NOT EXACT" })
        };
        write!(f, "{:<name_width$}", "partition")?;
        for ((title, _), width) in self.totals.columns().into_iter().zip(widths) {
            write!(f, "  {title:>width$}")?;
        }
        writeln!(f)?;
        for partition in &self.partitions {
            row(f, &name(partition), &partition.totals, partition.exact)?;
        }
        row(f, "all", &self.totals, self.exact)?;
        for partition in &self.partitions {
            for problem in &partition.problems {
                writeln!(f, "{}: {problem}", name(partition))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(partition: i32, kafka_points: u64, problems: &[&str]) -> PartitionReport {
        PartitionReport {
            topic: "wattline.counters".to_owned(),
            partition,
            exact: problems.is_empty(),
            totals: Totals { kafka_points, clickhouse_points: 1, duplicates: 2, ..Totals::default() },
            problems: problems.iter().map(|&problem| problem.to_owned()).collect(),
        }
    }

    #[test]
    fn is_a_table_for_people_and_json_for_programs() {
        let report =
            Report::new(vec![partition(0, 3, &[]), partition(11, 1_234_567, &["Parquet: missing (1): x"])]);
        expect_test::expect![[r#"
            partition               Kafka  ClickHouse  Parquet  rejected  duplicates  pending CH  pending Pq  intervals  in CH  in Pq
            wattline.counters/0         3           1        0         0           2           0           0          0      0      0  exact
            wattline.counters/11  1234567           1        0         0           2           0           0          0      0      0  NOT EXACT
            all                   1234570           2        0         0           4           0           0          0      0      0  NOT EXACT
            wattline.counters/11: Parquet: missing (1): x
        "#]]
        .assert_eq(&report.to_string());
        expect_test::expect![[r#"{"exact":false,"kafka_points":1234570,"clickhouse_points":2,"parquet_points":0,"rejected":0,"duplicates":4,"pending_clickhouse":0,"pending_parquet":0,"intervals_expected":0,"intervals_clickhouse":0,"intervals_parquet":0,"partitions":[{"topic":"wattline.counters","partition":0,"exact":true,"kafka_points":3,"clickhouse_points":1,"parquet_points":0,"rejected":0,"duplicates":2,"pending_clickhouse":0,"pending_parquet":0,"intervals_expected":0,"intervals_clickhouse":0,"intervals_parquet":0,"problems":[]},{"topic":"wattline.counters","partition":11,"exact":false,"kafka_points":1234567,"clickhouse_points":1,"parquet_points":0,"rejected":0,"duplicates":2,"pending_clickhouse":0,"pending_parquet":0,"intervals_expected":0,"intervals_clickhouse":0,"intervals_parquet":0,"problems":["Parquet: missing (1): x"]}]}"#]].assert_eq(&serde_json::to_string(&report).unwrap());
    }
}
