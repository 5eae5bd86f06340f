//! HTTP/2 without TLS. The first part of the path, where there is one, is the service's name: one process can be
//! as many different deployments as a test needs. A name that Restate would not take serves nothing.

use std::convert::Infallible;
use std::future::Future;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use restate_sdk::endpoint::{Endpoint, HandleOptions, ProtocolMode, ResponseBody};
use tokio::net::{TcpListener, TcpStream};

use crate::names::{self, Offer};

/// What this process was told to be.
#[derive(Clone)]
pub(crate) struct Program {
    /// The service's name where the path gives none.
    pub(crate) name: String,
    /// What each answer begins with.
    pub(crate) version: String,
    /// What it serves.
    pub(crate) offer: Offer,
}

/// Serves until `end` completes. Connections that are open then end with the process: Restate tries again.
pub(crate) async fn until<T>(listener: TcpListener, program: Program, end: impl Future<Output = T>) {
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                tokio::spawn(connection(stream, program.clone()));
            },
            _ = &mut end => return,
        }
    }
}

async fn connection(stream: TcpStream, program: Program) {
    let service =
        service_fn(move |request| std::future::ready(Ok::<_, Infallible>(answer(&program, request))));
    let served =
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::warn!(%error, "a connection ended early");
    }
}

fn answer(program: &Program, request: Request<Incoming>) -> Response<ResponseBody> {
    let name = service_name(request.uri().path()).unwrap_or(&program.name).to_owned();
    let endpoint = names::endpoint(&name, &program.version, &program.offer)
        .unwrap_or_else(|| Endpoint::builder().build());
    endpoint.handle_with_options(request, HandleOptions { protocol_mode: ProtocolMode::BidiStream })
}

/// `/NAME/discover` and `/NAME/invoke/…` name a service, `/discover` and `/invoke/…` do not.
fn service_name(path: &str) -> Option<&str> {
    let first = path.split('/').nth(1)?;
    let bare = matches!(first, "" | "discover" | "health" | "invoke");
    (!bare).then_some(first)
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty};
    use rstest::rstest;

    use super::*;
    use crate::ledger::Ledger;

    #[rstest]
    #[case("/discover", None)]
    #[case("/invoke/greeter/greet", None)]
    #[case("/", None)]
    #[case("/orders-7/discover", Some("orders-7"))]
    #[case("/orders-7/invoke/orders-7/greet", Some("orders-7"))]
    fn the_path_may_name_the_service(#[case] path: &str, #[case] name: Option<&str>) {
        assert_eq!(service_name(path), name);
    }

    #[rstest]
    #[case::all(Offer::All, &["orders-7", "orders-7-counter", "orders-7-job"])]
    #[case::one(Offer::Greeter, &["orders-7"])]
    #[case::told_to_a_ledger(Offer::Trail(Ledger::at("10.0.0.1:80")), &["orders-7"])]
    #[tokio::test]
    async fn discovery_shows_what_is_offered_by_the_name_given(
        #[case] offer: Offer,
        #[case] expected: &[&str],
    ) {
        let endpoint = names::endpoint("orders-7", "v1", &offer).unwrap();
        let request = Request::get("/orders-7/discover")
            .header("accept", "application/vnd.restate.endpointmanifest.v3+json")
            .body(Empty::<bytes::Bytes>::new())
            .unwrap();
        let body = endpoint.handle(request).into_body().collect().await.unwrap().to_bytes();
        let manifest: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let services = manifest["services"].as_array().unwrap();
        let names: Vec<_> = services.iter().map(|service| service["name"].as_str().unwrap()).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn a_name_that_restate_would_refuse_is_no_endpoint() {
        assert!(names::endpoint("7 orders", "v1", &Offer::All).is_none());
    }
}
