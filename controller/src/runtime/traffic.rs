//! Counts the requests to the API server, as a layer around the client. Invariant: it changes nothing.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use tower::{Layer, Service};

use super::metrics::{Answer, Metrics, Verb};

/// Counts what passes.
#[derive(Clone, Debug)]
pub(crate) struct Counted(pub(crate) Arc<Metrics>);

impl<S> Layer<S> for Counted {
    type Service = CountedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CountedService { inner, metrics: self.0.clone() }
    }
}

/// The client with its counter.
#[derive(Clone, Debug)]
pub(crate) struct CountedService<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S, In, Out> Service<Request<In>> for CountedService<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Send + 'static,
    S::Error: Send,
    Out: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let (metrics, verb) = (self.metrics.clone(), verb(request.method()));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            metrics.asked(verb, kind_of(answer.as_ref().ok().map(Response::status)));
            answer
        })
    }
}

fn verb(method: &Method) -> Verb {
    match *method {
        Method::POST => Verb::Create,
        Method::PATCH => Verb::Patch,
        Method::PUT => Verb::Replace,
        Method::DELETE => Verb::Delete,
        _ => Verb::Read,
    }
}

fn kind_of(status: Option<StatusCode>) -> Answer {
    match status {
        None => Answer::Unreachable,
        Some(StatusCode::CONFLICT) => Answer::Conflict,
        Some(status) if status.is_client_error() => Answer::Refused,
        Some(status) if status.is_server_error() => Answer::Failed,
        Some(_) => Answer::Done,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(None, Answer::Unreachable)]
    #[case(Some(StatusCode::CREATED), Answer::Done)]
    #[case(Some(StatusCode::CONFLICT), Answer::Conflict)]
    #[case(Some(StatusCode::UNPROCESSABLE_ENTITY), Answer::Refused)]
    #[case(Some(StatusCode::GATEWAY_TIMEOUT), Answer::Failed)]
    fn answers_are_told_apart(#[case] status: Option<StatusCode>, #[case] answer: Answer) {
        assert_eq!(kind_of(status), answer);
    }
}
