//! A proxy in front of a service that can be cut.
//!
//! Kafka tells its clients where its brokers are, so its answers are rewritten: every mention of the broker's
//! address becomes the proxy's, which has the same length.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

pub struct Proxy {
    pub address: SocketAddr,
    line: Arc<Line>,
}

struct Line {
    service: SocketAddr,
    port: u16,
    is_kafka: bool,
    is_cut: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// In front of Kafka.
    pub fn new(broker: &str) -> Self {
        Proxy::start(broker, true)
    }

    /// In front of a service whose answers are passed on as they are.
    pub fn plain(service: &str) -> Self {
        Proxy::start(service, false)
    }

    fn start(service: &str, is_kafka: bool) -> Self {
        let service: SocketAddr = service.parse().expect("the address of the service");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let streams = Mutex::new(Vec::new());
        let is_cut = AtomicBool::new(false);
        let line = Arc::new(Line { service, port: address.port(), is_kafka, is_cut, streams });
        let accepting = Arc::clone(&line);
        // The thread ends with the process; a test has few proxies.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if !accepting.is_cut.load(Ordering::SeqCst) {
                    // A broker that does not answer looks like a connection that is closed.
                    let _ = accepting.serve(client);
                }
            }
        });
        Proxy { address, line }
    }

    /// Closes every connection, and new ones at once, until it is mended.
    pub fn cut(&self) {
        self.line.is_cut.store(true, Ordering::SeqCst);
        for stream in self.line.streams().drain(..) {
            // An error says that it is closed.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn mend(&self) {
        self.line.is_cut.store(false, Ordering::SeqCst);
    }
}

impl Line {
    fn streams(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(self: &Arc<Self>, mut client: TcpStream) -> io::Result<()> {
        let mut server = TcpStream::connect(self.service)?;
        let (mut from_client, mut to_client) = (client.try_clone()?, client.try_clone()?);
        let mut to_server = server.try_clone()?;
        self.streams().extend([client.try_clone()?, server.try_clone()?]);
        thread::spawn(move || {
            let _ = io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(Shutdown::Both);
        });
        let line = Arc::clone(self);
        thread::spawn(move || {
            let _ = match line.is_kafka {
                true => line.answers(&mut server, &mut to_client),
                false => io::copy(&mut server, &mut to_client).map(drop),
            };
            let _ = client.shutdown(Shutdown::Both);
            client.flush()
        });
        Ok(())
    }

    /// Passes on answers, one by one: four bytes of length and the rest.
    fn answers(&self, server: &mut TcpStream, client: &mut TcpStream) -> io::Result<()> {
        let mention = |port: u16| [b"127.0.0.1".as_slice(), &u32::from(port).to_be_bytes()].concat();
        let (broker, proxy) = (mention(self.service.port()), mention(self.port));
        loop {
            let mut length = [0; 4];
            server.read_exact(&mut length)?;
            let mut answer = vec![0; u32::from_be_bytes(length) as usize];
            server.read_exact(&mut answer)?;
            let mut from = 0;
            while let Some(at) =
                answer[from..].windows(broker.len()).position(|window| window == broker.as_slice())
            {
                answer[from + at..from + at + proxy.len()].copy_from_slice(&proxy);
                from += at + proxy.len();
            }
            client.write_all(&length)?;
            client.write_all(&answer)?;
        }
    }
}
