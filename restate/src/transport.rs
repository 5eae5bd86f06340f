//! The one HTTP client: TLS, resolver, deadlines, bounded bodies.
//!
//! Stage in the flow: under [`crate::admin`] and [`crate::query`]. Invariant: an answer arrives whole, within its
//! deadline and its limit, or it is an error; no redirect is followed and no proxy of the environment is used,
//! because either could lead to a host that the policy refuses. Not for gRPC: that is [`crate::node`].

mod error;
mod passage;
mod tls;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode, header};
use reqwest::{Client, RequestBuilder, Response, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::endpoint::resolve::Guarded;
use crate::endpoint::{Endpoint, Policy};

pub use error::{Error, Refused};
pub use passage::{Carried, Head, Passage, Place, pointed_to};
pub use tls::Error as TlsError;

/// A host that drops packets must not eat a whole deadline: others behind the same name get their turn.
const CONNECT: Duration = Duration::from_secs(3);
/// Errors are read for people. What is cut is no JSON any more, and Restate may say a long statement again.
const ERROR_BODY: usize = 64 * 1024;

/// The HTTP client that all endpoints share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Transport {
    client: Client,
}

/// What makes a [`Transport`].
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which addresses may be contacted.
    pub policy: Policy,
    /// PEM certificates to trust besides the system's.
    pub extra_ca: Vec<Vec<u8>>,
}

impl Transport {
    /// A client under this policy that trusts the system's certificates and these.
    pub fn new(options: &Options) -> Result<Self, tls::Error> {
        let Options { policy, extra_ca } = options;
        let client = Client::builder()
            .tls_backend_preconfigured(tls::config(extra_ca)?)
            .dns_resolver(Guarded(policy.clone()))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(CONNECT)
            .user_agent(concat!("restate-operator/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(tls::Error::Client)?;
        Ok(Self { client })
    }
}

/// One question: where, how long, how much.
#[derive(Clone, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) method: Method,
    /// Path below the endpoint's, without a slash before it; segments already encoded.
    pub(crate) path: &'a str,
    pub(crate) deadline: Duration,
    pub(crate) limit: usize,
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(Error::Shape)
    }
}

impl Transport {
    /// Asks, and reads the answer to its end. Anything but 2xx is an error.
    pub(crate) async fn ask(
        &self,
        endpoint: &Endpoint,
        question: &Question<'_>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Answer, Error> {
        let request = self.request(endpoint, question)?;
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let exchange = exchange(request, question.limit);
        match tokio::time::timeout(question.deadline, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::TimedOut { after: question.deadline }),
        }
    }

    /// Asks, and reads the answer up to the limit; whether there was more. Closing the connection ends the rest.
    pub(crate) async fn ask_for_beginning(
        &self,
        endpoint: &Endpoint,
        question: &Question<'_>,
        body: &(impl Serialize + Sync),
    ) -> Result<(Bytes, bool), Error> {
        let request = self.request(endpoint, question)?.json(body);
        let exchange = async { up_to(successful(request).await?, question.limit).await };
        match tokio::time::timeout(question.deadline, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::TimedOut { after: question.deadline }),
        }
    }

    fn request(&self, endpoint: &Endpoint, question: &Question<'_>) -> Result<RequestBuilder, Error> {
        let url = endpoint.url().join(question.path).map_err(Error::Path)?;
        let request = self
            .client
            .request(question.method.clone(), url)
            .header(header::ACCEPT, "application/json")
            .headers(endpoint.headers().clone());
        Ok(match endpoint.token() {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }
}

async fn exchange(request: RequestBuilder, limit: usize) -> Result<Answer, Error> {
    let response = successful(request).await?;
    let status = response.status();
    let body = whole(response, limit).await?;
    Ok(Answer { status, body })
}

/// Anything but 2xx is an error, with the words of whoever refused.
async fn successful(request: RequestBuilder) -> Result<Response, Error> {
    let response = request.send().await.map_err(Error::sending)?;
    let status = response.status();
    if status.is_redirection() {
        return Err(Error::Redirected { status });
    }
    if status.is_success() {
        return Ok(response);
    }
    let text = beginning(response).await;
    Err(Error::Refused(Refused::read(status, &text)))
}

/// The first bytes, and whether there were more.
async fn up_to(mut response: Response, limit: usize) -> Result<(Bytes, bool), Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(Error::Broken)? {
        let room = limit - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok((body.freeze(), true));
        }
    }
    Ok((body.freeze(), false))
}

async fn whole(mut response: Response, limit: usize) -> Result<Bytes, Error> {
    let announced = response.content_length().unwrap_or_default();
    if usize::try_from(announced).unwrap_or(usize::MAX) > limit {
        return Err(Error::TooLarge { limit });
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(Error::Broken)? {
        if body.len() + chunk.len() > limit {
            return Err(Error::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// What could be read of an error's body; a broken one must not hide the status.
async fn beginning(mut response: Response) -> Bytes {
    let mut body = BytesMut::new();
    while body.len() < ERROR_BODY {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    body.truncate(ERROR_BODY);
    body.freeze()
}

#[cfg(test)]
mod tests;
