//! Bodies that know when they end: a request is over when its answer has been sent, not when it has begun.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::task::AbortHandle;

use super::streams;

/// Keeps `guard` until the body has been sent or given up.
pub fn holding(body: Body, guard: impl Send + 'static) -> Body {
    counting(body, move |_| drop(guard))
}

/// Calls `ended` with the number of bytes once the body has been sent or given up.
pub fn counting(body: Body, ended: impl FnOnce(u64) + Send + 'static) -> Body {
    Body::new(Counting { body, bytes: 0, ended: Some(Box::new(ended)) })
}

/// Whether a body was not read to its end because it is longer than it may be.
pub fn is_over_the_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .any(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>)
}

/// Breaks the body off once `end` completes, unless it has been sent by then, and cuts what carries it. What it holds
/// is let go in that moment, also where the client does not read and nobody asks the body for more.
pub(crate) fn until(body: Body, end: impl Future<Output = ()> + Send + 'static) -> Body {
    if HttpBody::is_end_stream(&body) {
        return body;
    }
    let open = Arc::new(Mutex::new(Open { body: Some(body), reader: None }));
    let (held, cut) = (Arc::downgrade(&open), streams::cut());
    let clock = tokio::spawn(async move {
        end.await;
        if let Some(open) = held.upgrade() {
            break_off(&open);
            cut();
        }
    });
    Body::new(Bounded { open, clock: clock.abort_handle() })
}

/// A body that somebody else may break off.
struct Bounded {
    open: Arc<Mutex<Open>>,
    clock: AbortHandle,
}

struct Open {
    /// None once it is broken off.
    body: Option<Body>,
    /// Who waits for more of it.
    reader: Option<Waker>,
}

fn break_off(open: &Mutex<Open>) {
    let (body, reader) = {
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        (open.body.take(), open.reader.take())
    };
    drop(body);
    if let Some(reader) = reader {
        reader.wake();
    }
}

impl Bounded {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut open = self.open();
        let Some(body) = &mut open.body else {
            let late = io::Error::new(io::ErrorKind::TimedOut, "the time for this answer is over");
            return Poll::Ready(Some(Err(axum::Error::new(late))));
        };
        let polled = Pin::new(body).poll_frame(context);
        open.reader = polled.is_pending().then(|| context.waker().clone());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.open().body.as_ref().is_some_and(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.open().body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        self.clock.abort();
    }
}

struct Counting {
    body: Body,
    bytes: u64,
    ended: Option<Box<dyn FnOnce(u64) + Send>>,
}

impl HttpBody for Counting {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let length = frame.data_ref().map_or(0, Bytes::len);
            self.bytes = self.bytes.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            ended(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use std::time::Duration;

    use http_body_util::BodyExt;
    use tokio::sync::Semaphore;
    use tokio::time::sleep;

    use super::*;

    /// A body without end that holds the only permit, and the permits.
    fn endless() -> (Body, Arc<Semaphore>) {
        let permits = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&permits).try_acquire_owned().unwrap();
        let first = futures::stream::iter([Ok::<_, std::convert::Infallible>("first")]);
        let body = Body::from_stream(futures::StreamExt::chain(first, futures::stream::pending()));
        (until(holding(body, permit), sleep(Duration::from_mins(1))), permits)
    }

    #[tokio::test(start_paused = true)]
    async fn c11_what_nobody_reads_is_let_go_at_its_time() {
        let (mut body, permits) = endless();
        sleep(Duration::from_secs(59)).await;
        assert_eq!(permits.available_permits(), 0);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(permits.available_permits(), 1, "nobody has read, and the permit is back");
        assert!(body.frame().await.unwrap().is_err(), "whoever reads on sees that something is missing");
    }

    #[tokio::test(start_paused = true)]
    async fn c11_who_waits_for_more_is_told_at_its_time() {
        let (mut body, permits) = endless();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
        assert!(body.frame().await.unwrap().is_err());
        assert_eq!(permits.available_permits(), 1);
    }

    #[tokio::test]
    async fn c11_what_is_in_time_is_whole() {
        let body = until(Body::from("hello"), sleep(Duration::from_mins(1)));
        assert_eq!(HttpBody::size_hint(&body).exact(), Some(5));
        assert_eq!(axum::body::to_bytes(body, 100).await.unwrap(), "hello");
    }

    #[tokio::test]
    async fn m1_bytes_are_counted_when_the_body_ends() {
        let seen = Arc::new(Mutex::new(None));
        let note = Arc::clone(&seen);
        let body = counting(Body::from("hello"), move |bytes| *note.lock().unwrap() = Some(bytes));
        assert_eq!(*seen.lock().unwrap(), None);
        axum::body::to_bytes(body, 100).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), Some(5));
    }
}
