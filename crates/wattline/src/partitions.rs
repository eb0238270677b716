//! `wattline partitions`: more partitions for topics in use.
//!
//! All points of a device have to be in one partition: its chain of readings is looked up there, and the versions
//! of its rows grow with the offsets there. So no device is moved. Partitions are added first, and used by
//! devices that come later.

use std::io::{Write as _, stdout};

use anyhow::{Context as _, bail, ensure};
use tokio::task::spawn_blocking;
use wattline_directory::{Directory, PARTITIONS_MAX, Partitions};
use wattline_kafka::{Connection, Examiner, TopicState, add_partitions};

use crate::arguments::PartitionsCommand;
use crate::config::Config;

/// After this every client of Kafka has asked anew what a topic is like.
const HEARD_MINUTES: u32 = 5;

pub async fn run(config: Config, command: PartitionsCommand) -> anyhow::Result<()> {
    let directory = Directory::open(&config.directory.url).await?;
    directory.check().await?;
    let site = Site::look(&config, &directory).await?;
    match command {
        PartitionsCommand::Show => site.show()?,
        PartitionsCommand::Add { count, yes } => site.add(&directory, count, yes).await?,
        PartitionsCommand::Use { yes } => site.use_all(&directory, yes).await?,
    }
    directory.close().await;
    Ok(())
}

struct Site {
    kafka: Connection,
    topics: [(String, TopicState); 2],
    noted: Option<Partitions>,
}

impl Site {
    async fn look(config: &Config, directory: &Directory) -> anyhow::Result<Self> {
        let kafka = config.kafka.connection()?;
        let names = [config.kafka.topic_intervals.clone(), config.kafka.topic_counters.clone()];
        let connection = kafka.clone();
        let topics = spawn_blocking(move || {
            let examiner = Examiner::new(&connection)?;
            let state = |name: String| {
                let state = examiner.topic(&name)?;
                let state = state
                    .with_context(|| format!("Kafka has no topic {name}; `wattline migrate` creates it"))?;
                anyhow::Ok((name, state))
            };
            let [intervals, counters] = names;
            anyhow::Ok([state(intervals)?, state(counters)?])
        })
        .await??;
        Ok(Site { kafka, topics, noted: directory.partitions().await? })
    }

    fn show(&self) -> anyhow::Result<()> {
        let mut out = stdout();
        for (name, state) in &self.topics {
            let there = state.partitions as u32;
            let (base, of_new) = self.noted.map_or((there, there), |noted| (noted.base, noted.of_new));
            writeln!(
                out,
                "{name}: {there} partitions, new devices go into {of_new}, the first ones into {base}"
            )?;
        }
        Ok(())
    }

    /// Both topics have to have equally many, or be on their way to `count`.
    fn check(&self, count: u32) -> anyhow::Result<u32> {
        let counts = self.topics.each_ref().map(|(_, state)| state.partitions as u32);
        let now = counts[0].min(counts[1]);
        ensure!(
            counts.iter().all(|there| *there == now || *there == count),
            "{} has {} partitions and {} has {}: they have to have equally many",
            self.topics[0].0,
            counts[0],
            self.topics[1].0,
            counts[1]
        );
        for (name, state) in &self.topics {
            ensure!(
                state.leaderless == 0 && state.in_sync == state.replicas,
                "{name} is not whole: {} partitions without a leader, one with {} of {} copies in sync; \
                 `wattline doctor` says more",
                state.leaderless,
                state.in_sync,
                state.replicas
            );
        }
        Ok(now)
    }

    async fn add(&self, directory: &Directory, count: u32, yes: bool) -> anyhow::Result<()> {
        let now = self.check(count)?;
        ensure!(count <= PARTITIONS_MAX, "at most {PARTITIONS_MAX}");
        ensure!(count > now, "there are {now} partitions already; they can only become more");
        if let Some(noted) = self.noted
            && noted.of_new < now
        {
            bail!("those that were added before are not used yet: `wattline partitions use`");
        }
        let mut out = stdout();
        if !yes {
            writeln!(
                out,
                "This would add partitions to {} and {}, from {now} to {count}. Devices that are there stay where they \
                 are. Partitions cannot be taken away again. Add --yes to do it.",
                self.topics[0].0, self.topics[1].0
            )?;
            return Ok(());
        }
        // Before Kafka has them: a gateway that starts in between goes by what is noted.
        directory.keep_partitions(now).await?;
        let short = self.topics.iter().filter(|(_, state)| (state.partitions as u32) < count);
        let short: Vec<&str> = short.map(|(name, _)| name.as_str()).collect();
        add_partitions(&self.kafka, &short, count).await?;
        writeln!(
            out,
            "Both topics have {count} partitions. Set kafka.partitions = {count} in every configuration. In \
             {HEARD_MINUTES} minutes gateways and workers have heard of them; then new devices may use them: \
             `wattline partitions use --yes`."
        )?;
        Ok(())
    }

    async fn use_all(&self, directory: &Directory, yes: bool) -> anyhow::Result<()> {
        let count = self.check(0)?;
        let Some(noted) = self.noted else { bail!("no partitions were added: `wattline partitions add`") };
        ensure!(noted.of_new < count, "new devices go into all {count} partitions already");
        let mut out = stdout();
        if !yes {
            writeln!(
                out,
                "This would place new devices among {count} partitions instead of {}. Devices that are there stay where \
                 they are. Add --yes to do it.",
                noted.of_new
            )?;
            return Ok(());
        }
        directory.use_partitions(count).await?;
        writeln!(out, "Devices that are new from now on are placed among {count} partitions.")?;
        Ok(())
    }
}
