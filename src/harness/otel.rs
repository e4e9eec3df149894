//! Calls as OpenTelemetry spans, with the names of its conventions for generative AI.
//!
//! A call that a model answers is a `chat`, any other an `execute_tool`. Inputs and outputs may hold what is private:
//! they are left out unless they are asked for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanKind, Status, TraceContextExt as _, Tracer};
use opentelemetry::{Context, KeyValue};

use super::{Began, Crossing, Recorder, Side};

/// A run's name, and the number of a call in it.
type Call = (String, u64);

/// Tells a tracer of every call.
///
/// ```
/// use std::sync::Arc;
///
/// use llmc::harness::{Harness, Spans};
///
/// // With an exporter of your choice set up, else nothing happens.
/// let tracer = opentelemetry::global::tracer("my-program");
/// let harness = Harness::builder()
///     .function("shout", |text: String| text.to_uppercase())
///     .recorder(Arc::new(Spans::new(tracer)))
///     .build()?;
/// # Ok::<(), llmc::harness::BuildError>(())
/// ```
#[derive(Debug)]
pub struct Spans<T: Tracer> {
    tracer: T,
    with_content: bool,
    /// The spans of calls under way: those that they set in motion are below them.
    open: Mutex<HashMap<Call, Context>>,
}

impl<T: Tracer> Spans<T> {
    /// One that tells `tracer`.
    pub fn new(tracer: T) -> Self {
        Self { tracer, with_content: false, open: Mutex::default() }
    }

    /// Tells inputs and outputs, too.
    #[must_use]
    pub fn with_content(mut self) -> Self {
        self.with_content = true;
        self
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<Call, Context>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a provider is called there.
fn provider(name: &str) -> &str {
    match name {
        "embedded" => "llama.cpp",
        other => other,
    }
}

impl<T> Recorder for Spans<T>
where
    T: Tracer + Send + Sync,
    T::Span: Send + Sync + 'static,
{
    fn began(&self, began: &Began<'_>) {
        let above = began.parent.and_then(|parent| self.open().get(&(began.run.to_owned(), parent)).cloned());
        let above = above.unwrap_or_else(Context::current);
        let mut attributes = vec![KeyValue::new("llmc.run", began.run.to_owned())];
        let name = match began.model.filter(|_| began.side != Side::Code) {
            Some(model) => {
                let (from, model) = model.split_once('/').unwrap_or(("", model));
                attributes.extend([
                    KeyValue::new("gen_ai.operation.name", "chat"),
                    KeyValue::new("gen_ai.provider.name", provider(from).to_owned()),
                    KeyValue::new("gen_ai.request.model", model.to_owned()),
                    KeyValue::new("gen_ai.agent.name", began.component.to_owned()),
                ]);
                format!("chat {model}")
            }
            None => {
                attributes.extend([
                    KeyValue::new("gen_ai.operation.name", "execute_tool"),
                    KeyValue::new("gen_ai.tool.name", began.component.to_owned()),
                    KeyValue::new("gen_ai.tool.type", "function"),
                ]);
                format!("execute_tool {}", began.component)
            }
        };
        let kind =
            if began.model.is_some() && began.side != Side::Code { SpanKind::Client } else { SpanKind::Internal };
        let builder = self.tracer.span_builder(name).with_kind(kind).with_attributes(attributes);
        let span = builder.start_with_context(&self.tracer, &above);
        self.open().insert((began.run.to_owned(), began.id), above.with_span(span));
    }

    fn ended(&self, crossing: &Crossing) -> Result<(), String> {
        let Some(context) = self.open().remove(&(crossing.run.clone(), crossing.id)) else { return Ok(()) };
        let span = context.span();
        span.set_attribute(KeyValue::new("llmc.side", crossing.side.as_str()));
        if let Some(model) = &crossing.model {
            let name = model.split_once('/').map_or(model.as_str(), |(_, name)| name);
            span.set_attribute(KeyValue::new("gen_ai.response.model", name.to_owned()));
        }
        let usage = crossing.usage;
        if usage.requests > 0 {
            let tokens = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
            span.set_attribute(KeyValue::new("gen_ai.usage.input_tokens", tokens(usage.prompt_tokens)));
            span.set_attribute(KeyValue::new("gen_ai.usage.output_tokens", tokens(usage.completion_tokens)));
            span.set_attribute(KeyValue::new("llmc.usage.usd", usage.usd));
        }
        if !crossing.attempts.is_empty() {
            let attempts = i64::try_from(crossing.attempts.len()).unwrap_or(i64::MAX);
            span.set_attribute(KeyValue::new("llmc.attempts", attempts));
        }
        if let Some(origin) = crossing.from {
            span.set_attribute(KeyValue::new("llmc.from", format!("{origin:?}").to_lowercase()));
        }
        if self.with_content {
            span.set_attribute(KeyValue::new("gen_ai.input.messages", crossing.input.to_string()));
            if let Some(output) = &crossing.output {
                span.set_attribute(KeyValue::new("gen_ai.output.messages", output.to_string()));
            }
        }
        match &crossing.error {
            Some(error) => {
                span.set_attribute(KeyValue::new("error.type", error.class.as_str()));
                // The message may quote an answer.
                let message = if self.with_content { error.message.clone() } else { error.class.to_string() };
                span.set_status(Status::error(message));
            }
            None => span.set_status(Status::Ok),
        }
        let begun = SystemTime::UNIX_EPOCH + Duration::from_millis(crossing.started);
        span.end_with_timestamp(begun + Duration::from_micros(crossing.micros));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use opentelemetry::trace::{SpanId, TracerProvider as _};
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
    use serde_json::{Value, json};

    use super::*;
    use crate::harness::{About, BoxFuture, CallError, Class, Component, Context, Harness, Outcome, Usage};

    struct Asks(About);

    impl Component for Asks {
        fn about(&self) -> &About {
            &self.0
        }

        fn call<'a>(&'a self, ctx: &'a Context, input: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
            Box::pin(async move {
                let usage = Usage { prompt_tokens: 12, completion_tokens: 3, usd: 0.5, requests: 1 };
                ctx.took(ctx.put_aside(usage)?, usage);
                Ok(ctx.call_value("half", input).await?.into())
            })
        }
    }

    fn attribute(span: &SpanData, key: &str) -> Option<String> {
        span.attributes.iter().find(|one| one.key.as_str() == key).map(|one| one.value.to_string())
    }

    #[tokio::test]
    async fn spans_have_the_names_of_the_conventions_and_hang_together() {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let spans = Arc::new(Spans::new(provider.tracer("test")));
        let about = About { model: Some("openai/gpt-x".into()), ..About::on(Side::Model) };
        let mut builder = Harness::builder();
        builder.recorder(spans.clone()).component("asks", Asks(about));
        builder.try_function("half", |number: i64| if number % 2 == 0 { Ok(number / 2) } else { Err("odd: 9") });
        let ctx = builder.build().unwrap().run();
        assert_eq!(ctx.call::<i64>("asks", 4).await.unwrap(), 2);
        assert_eq!(ctx.call_value("asks", json!(9)).await.unwrap_err().class, Class::Failed);
        let told = exporter.get_finished_spans().unwrap();
        let [half, asks, odd, failed] = &told[..] else { panic!("{told:#?}") };
        assert_eq!((&*asks.name, &*half.name), ("chat gpt-x", "execute_tool half"));
        assert_eq!(half.parent_span_id, asks.span_context.span_id());
        assert_eq!(asks.parent_span_id, SpanId::INVALID);
        assert_eq!(attribute(asks, "gen_ai.provider.name").as_deref(), Some("openai"));
        assert_eq!(attribute(asks, "gen_ai.usage.input_tokens").as_deref(), Some("12"));
        assert_eq!(attribute(half, "gen_ai.tool.name").as_deref(), Some("half"));
        assert_eq!(attribute(odd, "error.type").as_deref(), Some("failed"));
        assert!(matches!(failed.status, Status::Error { .. }));
        assert!(!format!("{told:?}").contains("odd: 9"), "what was said stays private");
        assert!(spans.open().is_empty());
    }
}
