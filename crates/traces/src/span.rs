use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use opentelemetry::trace::{
    Link, SpanContext, SpanKind, Status, TraceContextExt as _, TraceId, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::sampling::{Allowance, Lot};
use crate::{Settings, context};

/// A span has links to no more spans than this.
pub const LINKS_MAX: usize = 64;

/// Begins the spans of what is sampled.
#[derive(Clone, Debug)]
pub struct Traces {
    tracer: SdkTracer,
    lot: Arc<Lot>,
    incoming: Arc<Allowance>,
}

/// Below which span of whom a sampled request begins; none where the trace begins with it.
#[derive(Debug)]
pub struct Parent(Option<SpanContext>);

impl Traces {
    pub(crate) fn new(settings: &Settings, provider: &SdkTracerProvider) -> Self {
        let scope = InstrumentationScope::builder("wattline").with_version(settings.version).build();
        Traces {
            tracer: provider.tracer_with_scope(scope),
            lot: Arc::new(Lot::new(settings.sample_ratio)),
            incoming: Arc::new(Allowance::new(settings.incoming_per_s)),
        }
    }

    /// Whether a request is traced, and below what. A caller that does not sample its trace is followed; one that
    /// does is as far as the allowance reaches, and then has the same chance as everybody.
    pub fn sample(&self, traceparent: Option<&[u8]>) -> Option<Parent> {
        let caller = traceparent.and_then(context::parse);
        let is_sampled = match &caller {
            Some(caller) if !caller.is_sampled() => false,
            Some(_) => self.incoming.take(Instant::now()) || self.lot.draw(),
            None => self.lot.draw(),
        };
        is_sampled.then_some(Parent(caller))
    }

    pub fn begin(
        &self,
        parent: Parent,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        attributes: Vec<KeyValue>,
    ) -> Span {
        let parent = parent.0.map_or_else(Context::new, |of| Context::new().with_remote_span_context(of));
        let builder = self.tracer.span_builder(name).with_kind(kind).with_attributes(attributes);
        Span::begin(&self.tracer, builder, &parent)
    }

    /// A trace of its own for what comes of several traces.
    pub fn begin_linked(
        &self,
        links: Vec<SpanContext>,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        attributes: Vec<KeyValue>,
    ) -> Span {
        let links = links.into_iter().map(Link::with_context).collect();
        let builder = self.tracer.span_builder(name).with_kind(kind).with_attributes(attributes);
        Span::begin(&self.tracer, builder.with_links(links), &Context::new())
    }

    /// The spans that these name, those that are not sampled left aside, and no more than a span may link to.
    pub fn linked<'a>(traceparents: impl Iterator<Item = &'a [u8]>) -> Vec<SpanContext> {
        traceparents.filter_map(context::parse).filter(SpanContext::is_sampled).take(LINKS_MAX).collect()
    }
}

/// A sampled span; it ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    context: Context,
    tracer: SdkTracer,
}

impl Span {
    fn begin(tracer: &SdkTracer, builder: opentelemetry::trace::SpanBuilder, parent: &Context) -> Self {
        let span = tracer.build_with_context(builder, parent);
        Span { context: Context::new().with_span(span), tracer: tracer.clone() }
    }

    pub fn child(
        &self,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        attributes: Vec<KeyValue>,
    ) -> Span {
        let builder = self.tracer.span_builder(name).with_kind(kind).with_attributes(attributes);
        Span::begin(&self.tracer, builder, &self.context)
    }

    pub fn set(&self, attributes: impl IntoIterator<Item = KeyValue>) {
        self.context.span().set_attributes(attributes);
    }

    /// What it is of went wrong.
    pub fn fail(&self, why: impl Into<Cow<'static, str>>) {
        self.context.span().set_status(Status::error(why));
    }

    pub fn context(&self) -> SpanContext {
        self.context.span().span_context().clone()
    }

    pub fn trace_id(&self) -> TraceId {
        self.context.span().span_context().trace_id()
    }

    /// The `traceparent` of what is done for the sake of this elsewhere.
    pub fn traceparent(&self) -> String {
        context::text(self.context.span().span_context())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SAMPLED: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const NOT_SAMPLED: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    fn traces(sample_ratio: f64, incoming_per_s: u32) -> Traces {
        let settings = Settings {
            endpoint: String::new(),
            sample_ratio,
            incoming_per_s,
            timeout: Duration::from_secs(1),
            queue_spans_max: 1,
            service: "test",
            version: "0",
        };
        Traces::new(&settings, &SdkTracerProvider::builder().build())
    }

    #[test]
    fn a_caller_is_followed_as_far_as_it_is_allowed() {
        let samples = |traces: &Traces, traceparent: Option<&[u8]>| traces.sample(traceparent).is_some();
        let none = traces(0.0, 1);
        assert!(samples(&none, Some(SAMPLED)), "the one of this second");
        assert!(!samples(&none, Some(SAMPLED)));
        assert!(!samples(&none, None) && !samples(&none, Some(NOT_SAMPLED)) && !samples(&none, Some(b"x")));
        let all = traces(1.0, 0);
        assert!(samples(&all, None) && samples(&all, Some(SAMPLED)) && samples(&all, Some(b"x")));
        assert!(!samples(&all, Some(NOT_SAMPLED)), "whoever does not sample is followed too");
    }

    #[test]
    fn a_trace_goes_on_with_the_id_of_the_caller() {
        let traces = traces(1.0, 1);
        let begin = |traceparent| {
            let parent = traces.sample(traceparent).expect("sampled");
            traces.begin(parent, SpanKind::Server, "GET", Vec::new())
        };
        let (followed, own) = (begin(Some(SAMPLED)), begin(None));
        assert_eq!(followed.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_ne!(own.trace_id(), followed.trace_id());
        let child = followed.child(SpanKind::Internal, "a step", Vec::new());
        let traceparent = child.traceparent();
        let linked = Traces::linked([traceparent.as_bytes(), NOT_SAMPLED, b"x"].into_iter());
        assert_eq!(linked.iter().map(SpanContext::span_id).collect::<Vec<_>>(), [child.context().span_id()]);
        assert_eq!(linked[0].trace_id(), followed.trace_id());
        assert_eq!(Traces::linked([SAMPLED; LINKS_MAX + 1].into_iter()).len(), LINKS_MAX);
    }
}
