//! What carries one request: a stream of an HTTP/2 connection, or an HTTP/1 connection as a whole. It can be cut.
//!
//! A body ends only when it is asked for more, and nobody asks where the client does not read. So whoever bounds an
//! answer in time cuts what carries it: the stream is reset, the connection closed.

use hyper::rt::Executor;
use tokio_util::sync::CancellationToken;

tokio::task_local! {
    static CUT: CancellationToken;
}

/// Cuts what carries the request at hand; nothing where there is no connection.
pub(crate) fn cut() -> impl FnOnce() + Send + 'static {
    let cut = CUT.try_with(CancellationToken::clone).ok();
    move || drop(cut.inspect(CancellationToken::cancel))
}

/// Runs what carries requests until it ends or one of them has it cut.
pub(super) async fn carried(carrier: impl Future) {
    let cut = CancellationToken::new();
    tokio::select! {
        () = cut.cancelled() => {}
        _ = CUT.scope(cut.clone(), carrier) => {}
    }
}

/// Runs each stream of an HTTP/2 connection as a task of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams;

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(carried(stream));
    }
}
