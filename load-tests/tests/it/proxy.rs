//! The proxy as a process, in each of its modes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Long enough to see that nothing comes.
const QUIET: Duration = Duration::from_millis(300);

struct Proxy {
    process: Child,
    port: u16,
}

impl Proxy {
    fn before(target: u16) -> Proxy {
        let mut process = Command::new(env!("CARGO_BIN_EXE_wattline-proxy"))
            .args(["--target", &format!("127.0.0.1:{target}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the proxy starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        Proxy { port: line.trim().parse().expect("a port"), process }
    }

    fn order(&mut self, line: &str) {
        let stdin = self.process.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{line}").expect("the proxy reads");
        // An order is obeyed within moments, and not answered.
        std::thread::sleep(Duration::from_millis(100));
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the proxy listens");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        stream
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Answers each byte with `answer` and returns its port.
fn server(answer: u8) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = stream;
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() && stream.write_all(&[answer]).is_ok() {}
            });
        }
    });
    port
}

fn ask(stream: &mut TcpStream) -> std::io::Result<u8> {
    stream.write_all(b"?")?;
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    Ok(byte[0])
}

#[test]
fn each_mode_does_what_it_says() {
    let mut proxy = Proxy::before(server(b'a'));
    let mut stream = proxy.connect();
    assert_eq!(ask(&mut stream).expect("passed on"), b'a');

    proxy.order("stall");
    stream.set_read_timeout(Some(QUIET)).expect("a timeout");
    assert!(ask(&mut stream).is_err(), "nothing passes");
    proxy.order("pass");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    let mut held = [0];
    stream.read_exact(&mut held).expect("what was held arrives");
    assert_eq!(held, [b'a']);

    proxy.order("drop-replies");
    assert!(ask(&mut stream).is_err(), "the reply is lost and the connection closed");
    assert!(ask(&mut proxy.connect()).is_err(), "on new connections too");
    proxy.order("pass");
    let mut stream = proxy.connect();
    assert_eq!(ask(&mut stream).expect("passed on"), b'a');

    proxy.order("cut");
    assert!(ask(&mut stream).is_err(), "closed");
    assert!(ask(&mut proxy.connect()).is_err(), "closed at once");

    proxy.order(&format!("target 127.0.0.1:{}", server(b'b')));
    proxy.order("pass");
    assert_eq!(ask(&mut proxy.connect()).expect("passed on"), b'b');
}
