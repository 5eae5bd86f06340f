//! Bodies that know when they end: a request is over when its answer has been sent, not when it has begun.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};

/// Keeps `guard` until the body has been sent or given up.
pub fn holding(body: Body, guard: impl Send + 'static) -> Body {
    counting(body, move |_| drop(guard))
}

/// Calls `ended` with the number of bytes once the body has been sent or given up.
pub fn counting(body: Body, ended: impl FnOnce(u64) + Send + 'static) -> Body {
    Body::new(Counting { body, bytes: 0, ended: Some(Box::new(ended)) })
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

    use super::*;

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
