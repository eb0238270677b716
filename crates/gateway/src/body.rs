use std::future::poll_fn;
use std::io::Read;
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};

use crate::budget::{OverBudget, Share};
use crate::problem::{Problem, Unavailable};
use crate::settings::Settings;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl From<OverBudget> for Problem {
    fn from(_: OverBudget) -> Self {
        Problem::Unavailable(Unavailable::OverBudget)
    }
}

/// Checks what the headers say about the body, before any of it is read.
pub(crate) fn check_headers(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::NotJson);
    }
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    let encoding = encodings.next();
    if encodings.next().is_some() {
        return Err(Problem::UnknownEncoding);
    }
    let name = encoding.map_or(Ok("identity"), |value| value.to_str()).unwrap_or_default().trim();
    [
        ("identity", Encoding::Identity),
        ("gzip", Encoding::Gzip),
        ("x-gzip", Encoding::Gzip),
        ("zstd", Encoding::Zstd),
    ]
    .into_iter()
    .find(|(known, _)| name.eq_ignore_ascii_case(known))
    .map(|(_, encoding)| encoding)
    .ok_or(Problem::UnknownEncoding)
}

/// Reads a body, within its size, its deadline and the budget of all bodies.
pub(crate) async fn read(
    body: &mut Incoming,
    settings: &Settings,
    share: &mut Share,
) -> Result<Bytes, Problem> {
    let max = settings.body_bytes_max;
    let declared = body.size_hint().exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if declared.is_some_and(|length| length > max) {
        return Err(Problem::TooLarge);
    }
    // What is declared is set aside at once; a body of unknown length takes its share as it comes.
    share.take(declared.unwrap_or(0))?;
    let began = Instant::now();

    let mut whole: Option<Bytes> = None;
    let mut joined = Vec::new();
    let mut length = 0;
    loop {
        // Its connection asks again once in a while, whether something came or not.
        let next = poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Pending if began.elapsed() > settings.body_timeout => Poll::Ready(Err(Problem::TooSlow)),
            next => next.map(Ok),
        });
        let frame = match next.await? {
            None => break,
            Some(Err(_)) => return Err(Problem::CutOff),
            Some(Ok(frame)) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length > max {
            return Err(Problem::TooLarge);
        }
        if declared.is_none() {
            share.take(data.len())?;
        }
        // A small body comes in one piece, and is not copied.
        match whole.take() {
            None if joined.is_empty() => whole = Some(data),
            None => joined.extend_from_slice(&data),
            Some(first) => {
                joined.reserve(declared.unwrap_or(first.len() + data.len()));
                joined.extend_from_slice(&first);
                joined.extend_from_slice(&data);
            }
        }
    }
    Ok(whole.unwrap_or_else(|| joined.into()))
}

/// Decompresses a body that is whole, within its size and the budget.
pub(crate) fn decompress(
    body: Bytes,
    encoding: Encoding,
    settings: &Settings,
    share: &mut Share,
) -> Result<Bytes, Problem> {
    // A frame may not ask for a larger window than 8 MiB, whatever its header says.
    const ZSTD_WINDOW_LOG_MAX: u32 = 23;
    match encoding {
        Encoding::Identity => Ok(body),
        Encoding::Gzip => inflate(flate2::bufread::MultiGzDecoder::new(&body[..]), settings, share),
        Encoding::Zstd => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(&body[..]).map_err(|_| Problem::BrokenEncoding)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|_| Problem::BrokenEncoding)?;
            inflate(decoder, settings, share)
        }
    }
}

fn inflate(mut decoder: impl Read, settings: &Settings, share: &mut Share) -> Result<Bytes, Problem> {
    const STEP_BYTES: usize = 64 * 1024;
    let mut inflated = Vec::new();
    loop {
        let from = inflated.len();
        if from > settings.body_decompressed_bytes_max {
            return Err(Problem::TooLarge);
        }
        share.take(STEP_BYTES)?;
        inflated.resize(from + STEP_BYTES, 0);
        let read = decoder.read(&mut inflated[from..]).map_err(|_| Problem::BrokenEncoding)?;
        inflated.truncate(from + read);
        if read == 0 {
            return Ok(inflated.into());
        }
    }
}
