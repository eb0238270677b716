//! `wattline rebuild`: everything computed anew beside what is there, checked, and exchanged for it.

mod place;

use std::io::{Write as _, stdout};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use tokio::task::{JoinSet, spawn_blocking};
use tracing::{info, warn};
use wattline_clickhouse_sink::{ClickHouse, Left, Replacement as Tables};
use wattline_kafka::{Connection, Reader, TopicPartition, group_members, partition_counts};
use wattline_worker::{Progress, Rebuild};

use self::place::Place;
use crate::arguments::RebuildSource;
use crate::config::Config;

pub use place::refuse_moved;

/// Each holds a batch, an open file or two, and the cache of its devices.
const PARTITIONS_AT_ONCE_MAX: usize = 4;

pub async fn run(
    config: Config,
    from: RebuildSource,
    into: Option<String>,
    yes: bool,
) -> anyhow::Result<ExitCode> {
    let site = Site::new(&config, into.as_deref())?;
    let ends = site.ends_of_the_stopped().await?;
    match site.tables.left().await? {
        Left::Nothing => {}
        Left::UnderWay => return site.finish(yes).await,
        Left::Before => bail!(
            "the tables of before an earlier rebuild are still there; when nobody needs them: DROP DATABASE {}",
            site.tables.before()
        ),
    }
    site.files.check().await?;
    if from == RebuildSource::Kafka {
        site.check_that_kafka_has_all(&ends).await?;
    }
    let mut out = stdout();
    if !yes {
        writeln!(out, "From {from}, this would compute anew:")?;
        for (partition, end) in ends.iter().filter(|(_, end)| *end > 0) {
            writeln!(out, "  {partition} up to offset {end}")?;
        }
        writeln!(
            out,
            "and {}. It takes as much room again. Add --yes to do it.",
            site.files.plan(&config.clickhouse.database, site.tables.before())
        )?;
        return Ok(ExitCode::SUCCESS);
    }

    site.compute(from, &ends).await?;
    site.exchange(&ends).await?;
    site.say_done()?;
    Ok(ExitCode::SUCCESS)
}

/// The places of everything that is rebuilt, and the way there.
struct Site<'a> {
    config: &'a Config,
    kafka: Connection,
    tables: Tables,
    files: Place,
}

/// How far each partition is stored in both sinks.
type Ends = Vec<(TopicPartition, i64)>;

impl<'a> Site<'a> {
    fn new(config: &'a Config, into: Option<&str>) -> anyhow::Result<Self> {
        Ok(Site {
            config,
            kafka: config.kafka.connection()?,
            tables: Tables::of(&ClickHouse::new(config.clickhouse.settings()?)?),
            files: Place::new(config, into)?,
        })
    }

    /// Where the workers stopped. They have to have stopped, each with both sinks at the same offset.
    async fn ends_of_the_stopped(&self) -> anyhow::Result<Ends> {
        let (kafka, group) = (self.kafka.clone(), self.config.worker.group.clone());
        let topics = [self.config.kafka.topic_intervals.clone(), self.config.kafka.topic_counters.clone()];
        let (members, committed) = spawn_blocking(move || {
            let counts = partition_counts(&kafka)?;
            let mut partitions = Vec::new();
            for topic in topics {
                let count = counts
                    .get(&topic)
                    .with_context(|| format!("Kafka has no topic {topic}; `wattline migrate` creates it"))?;
                partitions.extend(
                    (0..*count).map(|partition| TopicPartition { topic: topic.as_str().into(), partition }),
                );
            }
            let members = group_members(&kafka, &group)?;
            let committed = Reader::committed(&kafka, &group, &partitions)?;
            anyhow::Ok((members, partitions.into_iter().zip(committed)))
        })
        .await??;
        ensure!(
            members.is_empty(),
            "the group {} has members ({}): stop all workers, with SIGTERM so that they write what they have, and \
             try again; one that was killed is a member for {} s more",
            self.config.worker.group,
            members.join(", "),
            self.config.worker.session_timeout_ms.div_ceil(1_000)
        );
        let mut ends = Vec::new();
        for (partition, committed) in committed {
            // Nothing is stored of a partition without an offset.
            let Some((offset, metadata)) = committed else { continue };
            let progress = Progress::parse(offset, &metadata)?;
            ensure!(
                progress == Progress::at(progress.clickhouse.done),
                "{partition} is stored in part ({progress}): start a worker, wait until it has nothing left to do, stop \
                 it with SIGTERM, and try again"
            );
            ends.push((partition, progress.clickhouse.done));
        }
        Ok(ends)
    }

    async fn check_that_kafka_has_all(&self, ends: &Ends) -> anyhow::Result<()> {
        let (kafka, ends) = (self.kafka.clone(), ends.clone());
        spawn_blocking(move || {
            let reader = Reader::new(&kafka)?;
            for (partition, end) in ends {
                let (low, high) = reader.watermarks(&partition.topic, partition.partition)?;
                ensure!(
                    low == 0,
                    "Kafka no longer has the first {low} records of {partition}: use --from parquet, which reads the \
                     points in the Parquet files"
                );
                ensure!(
                    end <= high,
                    "{partition} is stored up to offset {end}, and Kafka has it up to {high} only (was the topic made \
                     anew?): use --from parquet, which reads the points in the Parquet files"
                );
            }
            Ok(())
        })
        .await?
    }

    /// Computes everything into the new tables and the new folder, and audits it there.
    async fn compute(&self, from: RebuildSource, ends: &Ends) -> anyhow::Result<()> {
        let tables = self.tables.begin().await?;
        let (old, files) = (self.files.old(), self.files.begin().await?);
        let settings = self.config.worker.settings(&self.config.kafka, &self.config.parquet)?;
        let rebuild = Arc::new(Rebuild::new(settings, tables.clone(), files.clone())?);
        let mut running = JoinSet::new();
        for (partition, end) in ends.iter().cloned() {
            while running.len() >= PARTITIONS_AT_ONCE_MAX
                && let Some(computed) = running.join_next().await
            {
                computed??;
            }
            let (rebuild, kafka, old) = (Arc::clone(&rebuild), self.kafka.clone(), old.clone());
            running.spawn(async move {
                match from {
                    RebuildSource::Kafka => rebuild.from_kafka(&kafka, &partition, end).await?,
                    RebuildSource::Parquet => rebuild.from_parquet(&old, &partition, end).await?,
                }
                info!(%partition, end, "computed");
                anyhow::Ok(())
            });
        }
        while let Some(computed) = running.join_next().await {
            computed??;
        }
        match from {
            RebuildSource::Kafka => self.tables.copy_replay_marks().await?,
            RebuildSource::Parquet => self.tables.copy_rejected().await?,
        }

        let audit = wattline_audit::Settings {
            kafka: self.kafka.clone(),
            group: self.config.worker.group.clone(),
            topic_intervals: self.config.kafka.topic_intervals.clone(),
            topic_counters: self.config.kafka.topic_counters.clone(),
            complete: false,
        };
        let report = wattline_audit::audit(&audit, &tables, &files).await?;
        writeln!(stdout(), "{report}")?;
        ensure!(
            report.exact,
            "what was computed from {from} is not exact, so nothing was exchanged; the next rebuild clears it away"
        );
        wattline_failpoint::pass("rebuild-audited");
        Ok(())
    }

    async fn exchange(&self, ends: &Ends) -> anyhow::Result<()> {
        self.files.seal()?;
        self.tables.announce().await?;
        // A worker that begins from here on sees the announcement and ends.
        let now = self.ends_of_the_stopped().await;
        if now.as_ref().is_ok_and(|now| now == ends) {
            return self.exchange_announced().await;
        }
        self.tables.call_off().await?;
        now?;
        bail!("a worker stored records meanwhile, so nothing was exchanged: stop all workers and try again");
    }

    async fn exchange_announced(&self) -> anyhow::Result<()> {
        wattline_failpoint::pass("rebuild-announced");
        let files = self.files.exchange().await;
        files.context("the files are not exchanged; `wattline rebuild --yes` tries it again")?;
        wattline_failpoint::pass("rebuild-files-exchanged");
        let tables = self.tables.exchange().await;
        tables.context("the tables are not exchanged; `wattline rebuild --yes` goes on from here")?;
        wattline_failpoint::pass("rebuild-tables-exchanged");
        // Not before the audit of the new tables, which are to hold all that was computed.
        ClickHouse::new(self.config.clickhouse.settings()?)?.keep_for(self.config.retention()?).await?;
        Ok(self.tables.finish().await?)
    }

    /// Finishes an exchange that was cut short.
    async fn finish(&self, yes: bool) -> anyhow::Result<ExitCode> {
        if !yes {
            writeln!(stdout(), "An exchange was cut short. Add --yes to finish it; nothing is computed.")?;
            return Ok(ExitCode::SUCCESS);
        }
        self.files.check_cut_short().await?;
        self.exchange_announced().await?;
        self.say_done()?;
        Ok(ExitCode::SUCCESS)
    }

    fn say_done(&self) -> anyhow::Result<()> {
        let (database, (next, kept)) = (self.tables.before(), self.files.afterwards());
        writeln!(
            stdout(),
            "The exchange is done; {next}. What was there before is kept until you drop it:\n  DROP DATABASE \
             {database}\n  {kept}"
        )?;
        Ok(())
    }
}

/// A worker must not write while rebuilt tables take the place of the old ones. ClickHouse being away is no
/// reason not to start: a worker waits for it.
pub async fn refuse_during_exchange(tables: &ClickHouse) -> anyhow::Result<()> {
    match Tables::of(tables).left().await {
        Ok(Left::UnderWay) => {
            bail!("the exchange of a rebuild was cut short; `wattline rebuild --yes` finishes it")
        }
        Ok(Left::Nothing | Left::Before) => Ok(()),
        Err(cause) if cause.is_transient() => {
            warn!(%cause, "cannot ask whether the exchange of a rebuild is under way");
            Ok(())
        }
        Err(cause) => Err(cause.into()),
    }
}
