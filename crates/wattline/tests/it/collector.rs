//! What a collector of traces is sent.
//!
//! `WATTLINE_TEST_COLLECTOR` names an OpenTelemetry Collector (`deploy/local/collector`), which then stands between
//! the process and the test and hands on what it understands.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{Span as Sent, status::StatusCode};
use prost::Message as _;

use crate::process::{Process, until};
use crate::site::Site;

const WITHIN: Duration = Duration::from_secs(30);
const SPANS_PATH: &str = "/v1/traces";

/// A span as it was sent, with the name of the service that it is of.
#[derive(Clone, Debug)]
pub struct Span {
    pub service: String,
    sent: Sent,
}

impl Span {
    pub fn name(&self) -> &str {
        &self.sent.name
    }

    pub fn kind(&self) -> SpanKind {
        self.sent.kind()
    }

    pub fn trace_id(&self) -> String {
        hex(&self.sent.trace_id)
    }

    pub fn id(&self) -> String {
        hex(&self.sent.span_id)
    }

    pub fn parent_id(&self) -> String {
        hex(&self.sent.parent_span_id)
    }

    /// The traces and spans that it has links to.
    pub fn links(&self) -> Vec<(String, String)> {
        self.sent.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect()
    }

    pub fn is_error(&self) -> bool {
        self.sent.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
    }

    #[track_caller]
    pub fn attribute(&self, key: &str) -> String {
        attribute(&self.sent.attributes, key).unwrap_or_else(|| panic!("no {key} in {self:#?}"))
    }
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    let Some(AnyValue { value: Some(value) }) = &attribute.value else { return None };
    Some(match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub struct Collector {
    /// What `traces.otlp_endpoint` is to be.
    pub endpoint: String,
    spans: Arc<Mutex<Vec<Span>>>,
    _between: Option<Process>,
}

impl Collector {
    /// Takes spans until the process ends.
    pub fn start(site: &Site) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let spans = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&spans);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                thread::spawn(move || while take(&stream, &seen).is_ok() {});
            }
        });
        let own = format!("http://{address}");
        let between = program().map(|program| between(site, &program, &own));
        let (endpoint, between) = between.map_or((own, None), |(at, process)| (at, Some(process)));
        Collector { endpoint, spans, _between: between }
    }

    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a span that is like this.
    #[track_caller]
    pub fn span(&self, what: &str, like: impl Fn(&Span) -> bool) -> Span {
        until(what, WITHIN, || self.spans().into_iter().find(&like))
    }
}

#[expect(clippy::disallowed_methods, reason = "a test has nobody to hand it its arguments")]
fn program() -> Option<String> {
    std::env::var("WATTLINE_TEST_COLLECTOR").ok()
}

fn between(site: &Site, program: &str, endpoint: &str) -> (String, Process) {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let file = site.path("collector.yaml");
    let configuration = format!(
        "receivers: {{otlp: {{protocols: {{http: {{endpoint: \"127.0.0.1:{port}\"}}}}}}}}
exporters: {{otlphttp: {{endpoint: \"{endpoint}\", compression: none, sending_queue: {{enabled: false}}}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [otlphttp]}}}}
"
    );
    fs::write(&file, configuration).expect("the collector's configuration");
    let mut command = Command::new(program);
    command.arg(format!("--config=file:{}", file.display()));
    let process = Process::start("collector".to_owned(), command, &site.path("."));
    until("the collector listens", WITHIN, || TcpStream::connect(("127.0.0.1", port)).ok().map(drop));
    (format!("http://127.0.0.1:{port}"), process)
}

/// One request, which has to be one of OTLP over HTTP with Protobuf.
fn take(stream: &TcpStream, seen: &Mutex<Vec<Span>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_lowercase());
    }
    let header = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)).map(str::trim);
    assert_eq!(head[0], format!("post {SPANS_PATH} http/1.1"));
    assert_eq!(header("content-type:"), Some("application/x-protobuf"));
    let length = header("content-length:").and_then(|length| length.parse().ok()).expect("a length");
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let request = ExportTraceServiceRequest::decode(body.as_slice()).expect("a request of OTLP");
    let spans = request.resource_spans.into_iter().flat_map(|of| {
        let resource = of.resource.expect("a resource").attributes;
        let named = |key| attribute(&resource, key).unwrap_or_else(|| panic!("no {key}"));
        assert_eq!(named("service.version"), env!("CARGO_PKG_VERSION"));
        assert!(!named("service.instance.id").is_empty());
        let service = named("service.name");
        let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.map(move |sent| Span { service: service.clone(), sent })
    });
    seen.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
    let mut writer = stream;
    writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")
}
