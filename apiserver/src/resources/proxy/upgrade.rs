//! Connections that become something else: web sockets, and whatever else both ends agree on (P9).
//!
//! Invariant: bytes flow only after Restate itself has answered 101 with the protocol that was asked for. Such a
//! connection is a long one, has a bound of its own, and ends when the server drains.

use std::sync::Arc;

use apiserver_machinery::shutdown::Draining;
use apiserver_machinery::status::Status;
use axum::body::Body;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::turnstile::Turn;

/// Upgraded connections at a time: each holds two sockets.
const AT_A_TIME: usize = 256;

/// Bounds them. Clones share the bound.
#[derive(Clone, Debug)]
pub(super) struct Upgrades(Arc<Semaphore>);

/// The caller's end, and its place among those at a time.
pub(super) struct Wish {
    pub(super) protocol: HeaderValue,
    caller: OnUpgrade,
    draining: Draining,
    permit: OwnedSemaphorePermit,
}

impl Default for Upgrades {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_A_TIME)))
    }
}

impl Upgrades {
    /// What the caller wants to upgrade to, if anything.
    pub(super) fn wish(&self, request: &mut Request<Body>) -> Result<Option<Wish>, Status> {
        let Some(protocol) = protocol(request) else { return Ok(None) };
        let permit = Arc::clone(&self.0).try_acquire_owned().map_err(|_| {
            Status::too_many_requests("Too many upgraded connections, please try again later.", 1)
        })?;
        let draining = request.extensions().get::<Draining>().cloned().unwrap_or_else(Draining::never);
        Ok(Some(Wish { protocol, caller: hyper::upgrade::on(request), draining, permit }))
    }
}

/// Only HTTP/1.1 has this kind of upgrade, and only a GET asks for it.
fn protocol(request: &Request<Body>) -> Option<HeaderValue> {
    let possible = request.version() == Version::HTTP_11 && request.method() == Method::GET;
    let protocol = request.headers().get(UPGRADE)?;
    (possible && says_upgrade(request.headers())).then(|| protocol.clone())
}

fn says_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
}

impl Wish {
    /// Joins both ends once the caller has seen the answer. Fails where Restate agreed to something else.
    pub(super) fn join<B>(self, answer: &mut Response<B>, turn: Option<Turn>) -> Result<(), Status> {
        let Self { protocol, caller, draining, permit } = self;
        let agreed = answer.headers().get(UPGRADE).is_some_and(|value| same(value, &protocol));
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS || !agreed {
            return Err(Status::unavailable("Restate upgraded to something that nobody asked for"));
        }
        let restate = hyper::upgrade::on(answer);
        tokio::spawn(async move {
            tokio::select! {
                ended = pipe(caller, restate) => if let Err(error) = ended {
                    tracing::debug!(%error, "an upgraded connection broke");
                },
                () = draining.turn_to_end() => {}
            }
            drop((permit, turn));
        });
        Ok(())
    }
}

fn same(one: &HeaderValue, other: &HeaderValue) -> bool {
    one.as_bytes().eq_ignore_ascii_case(other.as_bytes())
}

async fn pipe(caller: OnUpgrade, restate: OnUpgrade) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (caller, restate) = tokio::try_join!(caller, restate)?;
    tokio::io::copy_bidirectional(&mut TokioIo::new(caller), &mut TokioIo::new(restate)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::asked(Version::HTTP_11, "GET", "keep-alive, Upgrade", true)]
    #[case::not_said(Version::HTTP_11, "GET", "keep-alive", false)]
    #[case::http2(Version::HTTP_2, "GET", "upgrade", false)]
    #[case::http10(Version::HTTP_10, "GET", "upgrade", false)]
    #[case::writes(Version::HTTP_11, "POST", "upgrade", false)]
    fn p9_an_upgrade_is_asked_for_in_one_way(
        #[case] version: Version,
        #[case] method: &str,
        #[case] connection: &str,
        #[case] wanted: bool,
    ) {
        let request = Request::builder()
            .version(version)
            .method(method)
            .header(CONNECTION, connection)
            .header(UPGRADE, "websocket")
            .body(Body::empty())
            .unwrap();
        assert_eq!(protocol(&request).is_some(), wanted);
    }

    #[test]
    fn c14_there_is_a_bound() {
        let upgrades = Upgrades(Arc::new(Semaphore::new(1)));
        let request = || {
            let request = Request::builder().header(CONNECTION, "upgrade").header(UPGRADE, "websocket");
            request.body(Body::empty()).unwrap()
        };
        let first = upgrades.wish(&mut request()).unwrap();
        assert!(first.is_some());
        assert_eq!(upgrades.wish(&mut request()).err().unwrap().code(), 429);
        drop(first);
        assert!(upgrades.wish(&mut request()).is_ok());
    }
}
