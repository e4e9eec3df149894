//! Rust that may abstain, and then a model.

use std::sync::Arc;

use serde_json::Value;

use super::audit::Auditor;
use super::{About, Answer, Audited, BoxFuture, CallError, Component, Context, Outcome, Side};
use crate::schema::same;

pub(super) struct Hybrid {
    about: About,
    code: Arc<dyn Component>,
    model: Arc<dyn Component>,
    auditor: Auditor,
}

impl Hybrid {
    pub(super) fn new(name: &str, code: Arc<dyn Component>, model: Arc<dyn Component>) -> Self {
        let behind = model.about();
        let digests = [code.about().digest.as_deref(), behind.digest.as_deref()];
        let about = About {
            side: Side::Hybrid,
            description: if behind.description.is_empty() { name.to_owned() } else { behind.description.clone() },
            digest: digests.iter().any(Option::is_some).then(|| digests.map(|digest| digest.unwrap_or("-")).join("+")),
            ..behind.clone()
        };
        Self { about, code, model, auditor: Auditor::default() }
    }

    /// What the code says, held against the model for some of them.
    async fn ask_code(&self, ctx: &Context, input: &Value) -> Result<Option<Value>, CallError> {
        if self.auditor.is_demoted() {
            return Ok(None);
        }
        let outcome = self.code.call(ctx, input.clone()).await.map_err(|error| error.on(Side::Code))?;
        let Outcome::Answer(Answer { value, .. }) = outcome else { return Ok(None) };
        if self.auditor.picks() {
            // A model that fails says nothing of the code.
            if let Ok(Outcome::Answer(said)) = self.model.call(ctx, input.clone()).await {
                let agreed = same(&said.value, &value);
                let evidence = self.auditor.saw(agreed);
                ctx.audited(Audited { output: Some(said.value), agreed, evidence });
            }
        }
        Ok(Some(value))
    }
}

impl Component for Hybrid {
    fn about(&self) -> &About {
        &self.about
    }

    fn call<'a>(&'a self, ctx: &'a Context, input: Value) -> BoxFuture<'a, Result<Outcome, CallError>> {
        Box::pin(async move {
            if let Some(value) = self.ask_code(ctx, &input).await? {
                return Ok(Outcome::Answer(Answer { value, side: Some(Side::Code), model: None }));
            }
            let side = self.model.about().side;
            match self.model.call(ctx, input).await.map_err(|error| error.on(side))? {
                Outcome::Answer(mut answer) => {
                    answer.side.get_or_insert(side);
                    Ok(Outcome::Answer(answer))
                }
                Outcome::Abstained => Ok(Outcome::Abstained),
            }
        })
    }

    fn auditor(&self) -> Option<&Auditor> {
        Some(&self.auditor)
    }
}
