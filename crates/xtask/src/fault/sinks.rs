//! Faults of ClickHouse and of the disk under Parquet.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::Scene;
use super::lab::{CLICKHOUSE, Lab, Role, WORKERS};
use super::shim::{Disk, Failing};
use crate::process;

pub fn clickhouse_kill(scene: &mut Scene) -> anyhow::Result<()> {
    const KILLS: u32 = 8;
    let Scene { lab, dice, .. } = scene;
    for kill in 1..=KILLS {
        lab.pass(dice.milliseconds(1_000, 4_000))?;
        lab.kill(CLICKHOUSE)?;
        println!("    kill {kill} of {KILLS}");
        lab.pass(dice.milliseconds(100, 2_000))?;
        lab.start_service(CLICKHOUSE)?;
        lab.wait_service(CLICKHOUSE)?;
    }
    Ok(())
}

pub fn clickhouse_reply_lost(scene: &mut Scene) -> anyhow::Result<()> {
    const TIMES: u32 = 15;
    let Scene { lab, dice, .. } = scene;
    for time in 1..=TIMES {
        lab.clickhouse_proxy.order("drop-replies")?;
        let lost_for = dice.milliseconds(300, 2_500);
        println!("    time {time} of {TIMES}: replies are lost for {:.1} s", lost_for.as_secs_f64());
        lab.pass(lost_for)?;
        lab.clickhouse_proxy.order("pass")?;
        lab.pass(dice.milliseconds(500, 3_000))?;
    }
    Ok(())
}

pub fn clickhouse_stalled(scene: &mut Scene) -> anyhow::Result<()> {
    const TIMES: u32 = 3;
    let Scene { lab, dice, .. } = scene;
    for time in 1..=TIMES {
        lab.clickhouse_proxy.order("stall")?;
        let still = dice.milliseconds(11_000, 16_000);
        println!("    time {time} of {TIMES}: nothing moves for {:.1} s", still.as_secs_f64());
        lab.pass(still)?;
        lab.clickhouse_proxy.order("pass")?;
        lab.pass(dice.milliseconds(3_000, 6_000))?;
    }
    Ok(())
}

pub fn clickhouse_away(scene: &mut Scene) -> anyhow::Result<()> {
    const AWAY: Duration = Duration::from_secs(60);
    const WORKER_BYTES_MAX: u64 = 512 << 20;
    let lab = &mut scene.lab;
    let [worker, ..] = WORKERS;
    lab.kill(CLICKHOUSE)?;
    println!("    ClickHouse is away for {} s", AWAY.as_secs());
    let began = Instant::now();
    let mut bytes_max = 0;
    while began.elapsed() < AWAY {
        lab.pass(Duration::from_secs(1))?;
        bytes_max = bytes_max.max(lab.resident_bytes(worker).unwrap_or(0));
    }
    println!("    the worker held {} MiB at most", bytes_max >> 20);
    ensure!(bytes_max < WORKER_BYTES_MAX, "that is too much");
    ensure!(lab.restarts == 0, "the worker did not wait");
    lab.start_service(CLICKHOUSE)?;
    lab.wait_service(CLICKHOUSE)
}

pub fn clickhouse_refusing(scene: &mut Scene) -> anyhow::Result<()> {
    const TIMES: u32 = 3;
    const TABLES: [&str; 2] = ["intervals", "readings"];
    let Scene { lab, dice, .. } = scene;
    for time in 1..=TIMES {
        for table in TABLES {
            lab.sql(&format!("ALTER TABLE wattline.{table} MODIFY SETTING parts_to_throw_insert = 1"))?;
        }
        let refusing = dice.milliseconds(4_000, 10_000);
        println!("    time {time} of {TIMES}: too many parts for {:.1} s", refusing.as_secs_f64());
        lab.pass(refusing)?;
        for table in TABLES {
            lab.sql(&format!("ALTER TABLE wattline.{table} RESET SETTING parts_to_throw_insert"))?;
        }
        lab.pass(dice.milliseconds(2_000, 4_000))?;
    }
    let log = fs::read_to_string(lab.stack.log(WORKERS[0])).unwrap_or_default();
    ensure!(log.contains("code 252"), "the worker's log tells of no refusal");
    ensure!(lab.restarts == 0, "the worker did not wait");
    Ok(())
}

/// A small file system, which root can have; anybody else limits the size of the worker's files.
pub fn parquet_disk_full(scene: &mut Scene) -> anyhow::Result<()> {
    const TIMES: u32 = 3;
    let Scene { lab, dice, .. } = scene;
    let disk = SmallDisk::mount(lab)?;
    if disk.is_none() {
        println!("    no file system can be mounted here: the worker's files are limited instead");
    }
    for time in 1..=TIMES {
        let full_for = dice.milliseconds(5_000, 10_000);
        println!("    time {time} of {TIMES}: no space for {:.1} s", full_for.as_secs_f64());
        match &disk {
            Some(disk) => {
                disk.fill()?;
                lab.pass(full_for)?;
                disk.make_room()?;
            }
            None => {
                limit_files(lab, Some(4 * 1024))?;
                lab.pass(full_for)?;
                limit_files(lab, None)?;
            }
        }
        lab.pass(dice.milliseconds(3_000, 5_000))?;
    }
    // Its log may have been on the full disk, so it is asked for its metrics.
    let metrics = lab.metrics(WORKERS[0])?;
    ensure!(metrics.contains("kind=\"disk_full\""), "the worker met no full disk:\n{metrics}");
    ensure!(lab.restarts == 0, "the worker did not wait");
    if let Some(disk) = disk {
        // All is stored and counted on the small disk; it goes when nobody uses it any more.
        scene.lab.at_end(move || disk.unmount());
    }
    Ok(())
}

struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    const SIZE: &str = "size=256m";

    /// Mounts an empty one over the folder of Parquet, with what was there copied onto it.
    fn mount(lab: &mut Lab) -> anyhow::Result<Option<SmallDisk>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let [worker, ..] = WORKERS;
        let at = lab.parquet();
        lab.terminate(worker)?;
        let aside = at.with_extension("aside");
        fs::rename(&at, &aside).context("moving the Parquet files aside")?;
        fs::create_dir(&at)?;
        let path = at.display().to_string();
        let is_mounted =
            process::succeeds("mount", &["-t", "tmpfs", "-o", Self::SIZE, "wattline-fault", &path]);
        process::run(Command::new("cp").arg("-a").arg(format!("{}/.", aside.display())).arg(&at))?;
        fs::remove_dir_all(&aside)?;
        lab.start_worker(worker, None)?;
        lab.wait_process(worker)?;
        Ok(is_mounted.then_some(SmallDisk { at }))
    }

    fn filler(&self) -> PathBuf {
        self.at.join("filler")
    }

    fn fill(&self) -> anyhow::Result<()> {
        let mut filler = fs::File::create(self.filler())?;
        let block = vec![0; 4096];
        while filler.write_all(&block).is_ok() {}
        Ok(())
    }

    fn make_room(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.filler())?)
    }

    fn unmount(self) {
        unmount(&self.at);
    }
}

fn unmount(at: &Path) {
    let _ = process::succeeds("umount", &[&at.display().to_string()]);
}

/// A write beyond the limit fails: the lab's workers ignore the signal that goes with it.
fn limit_files(lab: &mut Lab, bytes: Option<u64>) -> anyhow::Result<()> {
    let worker = lab.stack.service(WORKERS[0]).context("a worker runs")?;
    let limit = Rlimit { current: bytes, maximum: None };
    prlimit(Pid::from_raw(worker.pid), Resource::Fsize, limit).context("limiting the worker's files")?;
    Ok(())
}

pub fn parquet_away(scene: &mut Scene) -> anyhow::Result<()> {
    const TIMES: u32 = 4;
    let Scene { lab, dice, .. } = scene;
    let at = lab.parquet();
    let aside = at.with_extension("aside");
    for time in 1..=TIMES {
        let away = dice.milliseconds(3_000, 8_000);
        println!("    time {time} of {TIMES}: away for {:.1} s", away.as_secs_f64());
        fs::rename(&at, &aside).context("moving the Parquet files aside")?;
        // In the place of the folder stands a file, so that nothing can be made there.
        fs::write(&at, "")?;
        lab.pass(away)?;
        fs::remove_file(&at)?;
        fs::rename(&aside, &at).context("moving the Parquet files back")?;
        lab.pass(dice.milliseconds(2_000, 4_000))?;
    }
    Ok(())
}

/// Writes, syncs of files and syncs of folders fail in turn. A worker that took a sync's error for nothing, or
/// tried the sync once more, would leave files of zeros behind.
pub fn parquet_eio(scene: &mut Scene) -> anyhow::Result<()> {
    const ROUNDS: u32 = 2;
    /// A worker that failed waits a second before it begins anew, and then a file has to be old enough.
    const MET_DEADLINE: Duration = Duration::from_secs(30);
    let Scene { lab, dice, .. } = scene;
    let [worker, ..] = WORKERS;
    let disk = Disk::load(lab, Role::Worker, &lab.parquet())?;
    lab.terminate(worker)?;
    lab.start_worker(worker, None)?;
    lab.wait_process(worker)?;
    let errors = |lab: &Lab| lab.metric(worker, "wattline_parquet_errors_total", &["kind=\"io\""]);
    for round in 1..=ROUNDS {
        for failing in [Failing::Writes, Failing::SyncsOfFiles, Failing::SyncsOfFolders] {
            let before = errors(lab)?;
            let failing_for = dice.milliseconds(3_000, 8_000);
            println!("    round {round} of {ROUNDS}: {failing} fail for {:.1} s", failing_for.as_secs_f64());
            disk.fail(failing)?;
            lab.pass(failing_for)?;
            process::wait_for("an error of the disk", MET_DEADLINE, || {
                lab.supervise()?;
                Ok((errors(lab)? > before).then_some(()))
            })?;
            disk.mend()?;
            lab.pass(dice.milliseconds(3_000, 5_000))?;
        }
    }
    ensure!(lab.restarts == 0, "the worker did not wait");
    Ok(())
}
