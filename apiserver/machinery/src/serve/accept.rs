//! The accept loop: one task for each connection.
//!
//! Invariant: a peer that is slow, silent or malicious costs one task and its buffers, for a bounded time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::Limits;
use super::connection::Connection;
use super::streams::{self, Streams};
use crate::metrics::Metrics;
use crate::shutdown::random_share;
use crate::tls::peer::PeerCertificates;

const HANDSHAKE: Duration = Duration::from_secs(10);
/// T3: time for the head of a request, and its size.
const HEAD: Duration = Duration::from_secs(32);
const HEAD_SIZE: u32 = 1024 * 1024;
/// A user may be in hundreds of groups, each with a header of its own.
const HEADERS: usize = 2048;
/// T2: per stream; a connection may have sixteen windows in flight.
const WINDOW: u32 = 256 * 1024;
/// What is written for a stream and not sent yet: a thousand slow readers hold no more than this each.
const UNSENT: usize = 128 * 1024;
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(15);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

pub(super) struct Acceptor {
    pub(super) config: Arc<ServerConfig>,
    pub(super) metrics: Metrics,
    pub(super) router: Router,
    pub(super) limits: Limits,
    /// No new connections; those that are open end gracefully.
    pub(super) stop: CancellationToken,
    /// Those that are still open end at once.
    pub(super) cut: CancellationToken,
    pub(super) connections: TaskTracker,
}

impl Acceptor {
    pub(super) async fn run(self, listener: TcpListener) {
        let own = Arc::new(self);
        loop {
            let accepted = tokio::select! {
                () = own.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, from)) => {
                    own.connections.spawn(Arc::clone(&own).serve(stream, from));
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, from: SocketAddr) {
        tokio::select! {
            () = self.cut.cancelled() => {}
            () = self.handshake_and_serve(stream, from) => {}
        }
    }

    async fn handshake_and_serve(&self, stream: TcpStream, from: SocketAddr) {
        match self.handshake(stream).await {
            Ok(stream) => {
                let peer = PeerCertificates::new(stream.get_ref().1.peer_certificates());
                streams::carried(self.answer(stream, Connection::new(peer, from))).await;
            }
            Err(error) => {
                self.metrics.handshake_failed();
                tracing::debug!(%from, %error, "TLS handshake failed");
            }
        }
    }

    async fn handshake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(PING).with_interval(PONG))?;
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
        tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await?
    }

    async fn answer(&self, stream: TlsStream<TcpStream>, connection: Connection) {
        let service = service_fn(|mut request: http::Request<Incoming>| {
            connection.mark(request.extensions_mut());
            self.router.clone().oneshot(request.map(Body::new))
        });
        let builder = builder(self.limits);
        let mut served =
            std::pin::pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = served.as_mut() => ended,
            () = self.time_to_go(&connection) => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(from = %connection.from(), error, "connection ended with an error");
        }
    }

    async fn time_to_go(&self, connection: &Connection) {
        let age = async {
            match self.limits.connection_age {
                Some(age) => tokio::time::sleep(age.mul_f64(1.0 + random_share() / 4.0)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = connection.to_be_closed() => {}
            () = connection.idle_for(self.limits.idle) => {}
            () = age => {}
        }
    }
}

fn builder(limits: Limits) -> Builder<Streams> {
    let mut builder = Builder::new(Streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_SIZE as usize)
        .max_headers(HEADERS);
    // One connection carries all that go through kube-apiserver: requests that some of them give up before they are
    // looked at must not end it for the others.
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(limits.streams as usize)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW * 16)
        .max_send_buf_size(UNSENT)
        .max_header_list_size(HEAD_SIZE)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG);
    builder
}
