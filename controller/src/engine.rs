//! The one reconciliation for all kinds: gather → decide (validate, plan, status: pure) → execute → publish.
//!
//! Invariants: only gather, execute and publish reach the outside; a pass over an object that is as it should be
//! writes nothing and asks nobody; an error backs off per object and is forgotten at the first success.

mod behind;
mod context;
mod finalize;
mod kind;
mod observe;
mod pace;
mod publish;
mod run;
#[cfg(test)]
mod tests;
mod warn;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use restate_plan::{Finalizer, ObjectRef, Outcome};

pub(crate) use context::Context;
pub(crate) use kind::{Decision, Kind};
pub(crate) use observe::observed;
pub(crate) use publish::Said;
pub(crate) use run::run;

use crate::execute;

/// Why a pass failed. The variant's name, or that of the cause, is its category.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub(crate) enum Error {
    /// What a plan needs could not be looked up.
    #[error("failed to look at {what}")]
    Gather { what: Box<ObjectRef>, source: Box<kube::Error> },
    /// A step failed.
    #[error(transparent)]
    Execute(#[from] execute::Error),
    /// The status could not be written.
    #[error(transparent)]
    Publish(execute::Error),
    /// The finalizer could not be set or taken away.
    #[error("failed to change the finalizers")]
    Finalize { source: Box<dyn std::error::Error + Send + Sync> },
}

impl Error {
    /// Its category, for metrics.
    pub(crate) fn category(&self) -> &'static str {
        match self {
            Self::Execute(error) | Self::Publish(error) => error.into(),
            Self::Gather { .. } | Self::Finalize { .. } => self.into(),
        }
    }

    /// Whether it only means that somebody else was faster: look again, and say nothing.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self, Self::Execute(error) | Self::Publish(error) if error.is_quiet())
    }

    /// How long to wait before the next look, where the failure says so itself.
    pub(crate) fn rest(&self) -> Option<Duration> {
        match self {
            Self::Execute(error) | Self::Publish(error) => error.rest(),
            Self::Gather { .. } | Self::Finalize { .. } => None,
        }
    }

    /// Whether what was looked for is not there, nor its kind.
    pub(crate) fn is_absence(&self) -> bool {
        let Self::Gather { source, .. } = self else { return false };
        matches!(&**source, kube::Error::Api(status) if status.code == 404)
    }

    /// Whether it only repeats what failed before.
    pub(crate) fn was_said(&self) -> bool {
        matches!(self, Self::Execute(execute::Error::Resting { .. }))
    }

    /// The whole chain of causes as one line.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            // Of the API server's refusals, its own words alone.
            let refused = refusal(cause);
            let words = refused.map_or_else(|| cause.to_string(), |status| status.message.clone());
            if !text.contains(&words) {
                text = format!("{text}: {words}");
            }
            source = if refused.is_some() { None } else { cause.source() };
        }
        text
    }
}

fn refusal<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a kube::core::Status> {
    let boxed = || cause.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref);
    match cause.downcast_ref::<kube::Error>().or_else(boxed)? {
        kube::Error::Api(status) => Some(status),
        _ => None,
    }
}

/// Looks something up that is in no store, but not for ever.
pub(crate) async fn look<T, F>(what: &ObjectRef, request: F) -> Result<T, Error>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    match tokio::time::timeout(execute::API_DEADLINE, request).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(source)) => Err(Error::Gather { what: Box::new(what.clone()), source: Box::new(source) }),
        Err(_) => Err(execute::Error::Slow { verb: "get", object: Box::new(what.clone()) }.into()),
    }
}

/// How a pass ended.
#[derive(Debug)]
pub(crate) struct Pass {
    /// Where it leaves the object.
    pub(crate) outcome: Outcome,
    /// Whether it changed anything: then the next pass comes at once.
    pub(crate) acted: bool,
    /// When the status may be written that was held back.
    pub(crate) unsaid: Option<Duration>,
}

/// One pass over one object. What is said of it waits for the end of acts, unless there is none.
pub(crate) async fn reconcile<K: Kind>(
    object: Arc<K>,
    context: &Context,
    restless: bool,
) -> Result<Pass, Error> {
    let mut decision = decide(&object, context).await?;
    if let (Some(who), Some(demand)) = (K::wanted_by(&object), &decision.demand) {
        context.restates.demand(&who, demand, &decision.plan.outcome, decision.known.take());
    }
    if finalize::is_missing(object.as_ref(), decision.finalizer) {
        finalize::change(&object, context).await?;
    }
    let subject = object.object_ref(&());
    let mut done = context.executor.run(&decision.plan.steps, &decision.plan.parts, &subject).await;
    if let Some((registration, rejection)) = done.rejected.take() {
        record(object.as_ref(), &registration, &rejection, context, &subject).await?;
        return Ok(Pass { outcome: decision.plan.outcome, acted: true, unsaid: None });
    }
    let failed = done.failed.take().map(Error::from);
    if let Some(error) = &failed {
        warn::failed(error, context, &subject).await;
    }
    let published = if done.acted > 0 && failed.is_none() && !restless {
        // The next pass comes at once and knows more: what several steps in a row make of it is written once.
        Ok(None)
    } else {
        publish::publish(&object, decision.status, failed.as_ref(), context).await
    };
    let unsaid = match (failed, published) {
        (Some(error), _) | (None, Err(error)) => return Err(error),
        (None, Ok(unsaid)) => unsaid,
    };
    if decision.finalizer == Finalizer::Release {
        finalize::change(&object, context).await?;
    }
    Ok(Pass { outcome: decision.plan.outcome, acted: done.acted > 0, unsaid })
}

/// What was looked at is let go: steps can take long, and many passes are under way.
async fn decide<K: Kind>(object: &Arc<K>, context: &Context) -> Result<Decision<K::Status>, Error> {
    let seen = K::gather(object, context).await?;
    Ok(K::decide(object, &seen, context.now()))
}

/// A refusal is written down where the next plan finds it, and said.
async fn record<K: Kind>(
    object: &K,
    registration: &restate_plan::Registration,
    rejection: &execute::Rejection,
    context: &Context,
    subject: &ObjectReference,
) -> Result<(), Error> {
    tracing::warn!(
        uri = registration.uri,
        code = rejection.code,
        rejection.message,
        "Restate refuses for good"
    );
    warn::rejected(rejection, context, subject).await;
    let steps = K::remember(object, registration, rejection, context.now());
    match context.executor.run(&steps, &[], subject).await.failed {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}
