//! Faults of the gateway, and clients that mean it no good.

use std::fs;
use std::io::{ErrorKind, PipeWriter, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Scene;
use super::lab::{GATEWAY, Lab};
use super::load::ok_so_far;
use super::shell::after_shell;
use crate::process::wait_for;

/// The gateway of the lab gives headers 3 s and bodies 5 s; a busy machine adds to it.
const CLOSED_DEADLINE: Duration = Duration::from_secs(15);
const SERVED_DEADLINE: Duration = Duration::from_secs(45);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

pub fn gateway_kill(scene: &mut Scene) -> anyhow::Result<()> {
    const KILLS: u32 = 15;
    let Scene { lab, dice, .. } = scene;
    for kill in 1..=KILLS {
        lab.pass(dice.milliseconds(500, 3_000))?;
        lab.kill(GATEWAY)?;
        println!("    kill {kill} of {KILLS}");
        lab.start_gateway()?;
        lab.wait_process(GATEWAY)?;
    }
    Ok(())
}

pub fn slow_headers(scene: &mut Scene) -> anyhow::Result<()> {
    let request =
        "POST /v1/telemetry/BATTERY HTTP/1.1\r\nHost: x\r\nX-Slow: ".to_owned() + &"x".repeat(1_000);
    drip(&mut scene.lab, "", &request)
}

pub fn slow_bodies(scene: &mut Scene) -> anyhow::Result<()> {
    let head = head(&scene.lab, "Content-Length: 1000")?;
    drip(&mut scene.lab, &head, &"[".repeat(1_000))
}

/// Many clients that send a byte now and then. Each has to be answered 408, or closed, in time.
fn drip(lab: &mut Lab, at_once: &str, slowly: &str) -> anyhow::Result<()> {
    const CLIENTS: usize = 200;
    const BYTE_EVERY: Duration = Duration::from_millis(250);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = connect(lab)?;
        stream.write_all(at_once.as_bytes())?;
        stream.set_nonblocking(true)?;
        clients.push(stream);
    }
    let began = Instant::now();
    let mut answered = 0;
    for byte in slowly.as_bytes() {
        clients.retain_mut(|stream| {
            let mut answer = [0; 512];
            match stream.read(&mut answer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => stream.write_all(&[*byte]).is_ok(),
                Ok(bytes) => {
                    answered += usize::from(answer[..bytes].starts_with(b"HTTP/1.1 408"));
                    false
                }
                Err(_) => false,
            }
        });
        if clients.is_empty() {
            let seconds = began.elapsed().as_secs_f64();
            println!(
                "    {CLIENTS} slow clients are gone after {seconds:.1} s, {answered} of them answered 408"
            );
            return is_served(lab);
        }
        ensure!(began.elapsed() < CLOSED_DEADLINE, "{} slow clients are still there", clients.len());
        lab.pass(BYTE_EVERY)?;
    }
    bail!("{} slow clients could send everything", clients.len())
}

pub fn endless_chunks(scene: &mut Scene) -> anyhow::Result<()> {
    const CLIENTS: usize = 10;
    const BYTES_MAX: u64 = 64 << 20;
    let lab = &mut scene.lab;
    let head = head(lab, "Transfer-Encoding: chunked")?;
    let mut chunk = b"10000\r\n".to_vec();
    chunk.extend([b' '; 0x10000]);
    chunk.extend(b"\r\n");
    for client in 1..=CLIENTS {
        let mut stream = connect(lab)?;
        stream.set_write_timeout(Some(CLOSED_DEADLINE))?;
        stream.write_all(head.as_bytes())?;
        let mut sent = 0;
        let began = Instant::now();
        while stream.write_all(&chunk).is_ok() {
            sent += chunk.len() as u64;
            ensure!(sent < BYTES_MAX, "client {client} could send {} MiB", sent >> 20);
            ensure!(began.elapsed() < CLOSED_DEADLINE, "client {client} can go on for ever");
        }
        let mut answer = [0; 12];
        let answered = match stream.read_exact(&mut answer) {
            Ok(()) => String::from_utf8_lossy(&answer[9..]).into_owned(),
            Err(_) => "no answer".to_owned(),
        };
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "    client {client} of {CLIENTS}: closed after {seconds:.1} s and {} MiB, {answered}",
            sent >> 20
        );
    }
    is_served(lab)
}

pub fn many_connections(scene: &mut Scene) -> anyhow::Result<()> {
    const CONNECTIONS: usize = 10_000;
    const FEW_FILES: u64 = 256;
    let lab = &mut scene.lab;
    let room = raise_file_limit()?.saturating_sub(200);
    let connections = CONNECTIONS.min(usize::try_from(room)?);
    let held = hold(lab, connections)?;
    println!("    {} connections are open", held.len());
    is_served(lab)?;
    drop(held);

    println!("    a gateway with {FEW_FILES} file descriptors");
    lab.kill(GATEWAY)?;
    let mut limited = after_shell(&format!("ulimit -n {FEW_FILES}"), &lab.gateway_command());
    lab.start_wanted(GATEWAY, &mut limited)?;
    lab.wait_process(GATEWAY)?;
    let held = hold(lab, connections.min(2_000))?;
    println!("    {} connections are open or wait", held.len());
    lab.pass(Duration::from_secs(5))?;
    ensure!(lab.is_running(GATEWAY) && lab.restarts == 0, "the gateway ended");
    drop(held);
    is_served(lab)
}

/// Opens connections and sends nothing.
fn hold(lab: &Lab, connections: usize) -> anyhow::Result<Vec<TcpStream>> {
    let mut held = Vec::with_capacity(connections);
    for _ in 0..connections {
        match connect(lab) {
            Ok(stream) => held.push(stream),
            // The listen queue is full: that is a bound, too.
            Err(_) if !held.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(held)
}

pub fn raise_file_limit() -> anyhow::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .context("raising the file limit")?;
    Ok(limit.maximum.unwrap_or(u64::from(u32::MAX)))
}

/// The database does not answer: another process holds the locks that its readers need.
pub fn directory_away(scene: &mut Scene) -> anyhow::Result<()> {
    /// The gateway of the lab goes on for 5 s with what it knows, and a reader waits for the lock for 5 s.
    const STALE: Duration = Duration::from_secs(20);
    const SEEN: Duration = Duration::from_secs(4);
    let lab = &mut scene.lab;
    let lock = lock_directory(lab)?;
    println!("    the directory is away");
    let before = ok_so_far(lab)?;
    lab.pass(SEEN)?;
    let served = ok_so_far(lab)? - before;
    println!("    {served} points were answered OK in its first {} s", SEEN.as_secs());
    ensure!(served > 0, "the gateway should go on for a while");
    lab.pass(STALE)?;
    let before = ok_so_far(lab)?;
    lab.pass(SEEN)?;
    let served = ok_so_far(lab)? - before;
    ensure!(served == 0, "{served} points were answered OK by a directory of long ago");
    println!("    after {} s the gateway refuses", STALE.as_secs());
    drop(lock);
    lab.stack.forget(LOCK)?;
    is_served(lab)
}

const LOCK: &str = "directory-lock";

/// Locks what SQLite's readers lock (the bytes 120 to 127 of the -shm file) until the pipe is dropped.
fn lock_directory(lab: &mut Lab) -> anyhow::Result<PipeWriter> {
    const PROGRAM: &str = "import fcntl, sys\n\
        file = open(sys.argv[1], 'r+b')\n\
        fcntl.lockf(file, fcntl.LOCK_EX, 8, 120)\n\
        print('locked', flush=True)\n\
        sys.stdin.read()\n";
    let (input, end) = std::io::pipe()?;
    let log = lab.stack.log(LOCK);
    let output = fs::File::create(&log)?;
    let mut command = Command::new("python3");
    command.args(["-c", PROGRAM]).arg(lab.site.folder().join("wattline.db-shm"));
    command.stdin(input).stdout(output.try_clone()?).stderr(output);
    lab.stack.start_attached(LOCK, &mut command)?;
    wait_for("the lock of the directory", CLOSED_DEADLINE, || {
        Ok(fs::read_to_string(&log)?.contains("locked").then_some(()))
    })?;
    Ok(end)
}

fn head(lab: &Lab, length: &str) -> anyhow::Result<String> {
    let token = fs::read_to_string(lab.site.token_file()).context("reading the token")?;
    Ok(format!(
        "POST /v1/telemetry/BATTERY HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\n{length}\r\n\r\n",
        token.trim()
    ))
}

fn connect(lab: &Lab) -> anyhow::Result<TcpStream> {
    let address: SocketAddr = lab.site.url().trim_start_matches("http://").parse()?;
    let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(CLOSED_DEADLINE))?;
    Ok(stream)
}

/// Whether the fleet still gets its OKs.
pub fn is_served(lab: &mut Lab) -> anyhow::Result<()> {
    let before = ok_so_far(lab)?;
    wait_for("a point answered OK", SERVED_DEADLINE, || {
        lab.supervise()?;
        Ok((ok_so_far(lab)? > before).then_some(()))
    })
}
