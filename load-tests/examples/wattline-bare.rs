//! What a gateway is held against: a hyper handler that reads bodies and parses them with simd-json into structs
//! that borrow, and does nothing else.
//!
//! It answers with the number of points. It has the runtime and the allocator of `wattline`, so that what differs
//! is the work. An example, so that the fleet itself is built without its dependencies.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::Write as _;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use wattline_fleet::yardstick::Telemetry;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

thread_local! {
    static BUFFERS: RefCell<simd_json::Buffers> = RefCell::default();
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream));
    }
}

async fn serve(stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    // A client that goes away is no event here.
    let _ = connection.await;
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = match read(request.into_body()).await {
        Some(mut body) => count(&mut body).to_string(),
        None => "unread".to_owned(),
    };
    Ok(Response::new(Full::new(text.into())))
}

async fn read(mut incoming: Incoming) -> Option<Vec<u8>> {
    let mut body = Vec::with_capacity(incoming.size_hint().lower() as usize);
    while let Some(frame) = incoming.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            body.extend_from_slice(&data);
        }
    }
    Some(body)
}

fn count(body: &mut [u8]) -> usize {
    BUFFERS.with_borrow_mut(|buffers| {
        simd_json::serde::from_slice_with_buffers::<Telemetry<'_>>(body, buffers)
            .map_or(0, |request| request.telemetry.len())
    })
}
