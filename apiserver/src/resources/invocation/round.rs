//! A round of questions to several Restates: some at a time, and all of them within one time.
//!
//! Invariant: however many are silent, a round ends well before the minute that a request lives in the aggregation
//! layer (T12); who was not heard by then counts as one that did not answer.

use std::time::Duration;

use apiserver_machinery::status::Status;
use futures::future::{BoxFuture, FutureExt};
use futures::{Stream, StreamExt, stream};
use tokio::time::{Instant, timeout_at};

/// So many are asked at a time. Each has turnstiles of its own; this is for what an answer takes in memory.
const AT_A_TIME: usize = 8;
/// For all of them.
pub(super) const BUDGET: Duration = Duration::from_secs(25);

/// A question to one of them.
pub(super) type Question<'a, A> = BoxFuture<'a, Result<A, Status>>;

/// What each says, in the order of the questions. The next ones are asked while an earlier one is waited for.
pub(super) fn in_order<'a, A: Send + 'a>(
    questions: Vec<Question<'a, A>>,
) -> impl Stream<Item = Result<A, Status>> + Send + 'a {
    stream::iter(bounded(questions)).buffered(AT_A_TIME)
}

/// The same, as they come.
pub(super) fn as_they_come<'a, A: Send + 'a>(
    questions: Vec<Question<'a, A>>,
) -> impl Stream<Item = Result<A, Status>> + Send + 'a {
    stream::iter(bounded(questions)).buffer_unordered(AT_A_TIME)
}

fn bounded<'a, A: Send + 'a>(questions: Vec<Question<'a, A>>) -> Vec<Question<'a, A>> {
    let end = Instant::now() + BUDGET;
    let bounded = move |question: Question<'a, A>| async move {
        if Instant::now() >= end {
            return Err(late());
        }
        timeout_at(end, question).await.unwrap_or_else(|_| Err(late()))
    };
    questions.into_iter().map(|question| bounded(question).boxed()).collect()
}

fn late() -> Status {
    Status::timeout("a Restate was not heard in time: others took too long, or it did", 0)
}

#[cfg(test)]
mod tests {
    use futures::future::{pending, ready};

    use super::*;
    use crate::resources::tests::retry_after;

    fn silent() -> Question<'static, u32> {
        pending().boxed()
    }

    fn slow(answer: u32) -> Question<'static, u32> {
        async move {
            tokio::time::sleep(Duration::from_secs(10)).await;
            Ok(answer)
        }
        .boxed()
    }

    /// R11: those that answer are heard, whoever else hangs.
    #[tokio::test(start_paused = true)]
    async fn r11_t12_many_silent_ones_take_no_longer_than_one() {
        let start = Instant::now();
        let silent = (0..20).map(|_| silent());
        let questions = [ready(Ok(1)).boxed()].into_iter().chain(silent).chain([ready(Ok(2)).boxed()]);
        let answers: Vec<_> = in_order(questions.collect()).collect().await;
        assert_eq!(start.elapsed(), BUDGET);
        assert_eq!(
            answers.iter().filter(|answer| answer.is_err()).count(),
            21,
            "who had no turn was not heard"
        );
        assert_eq!(answers[0], Ok(1));
        let late = answers[1].as_ref().unwrap_err();
        assert_eq!((late.code().as_u16(), retry_after(late)), (504, 0), "it would take as long again");
    }

    #[tokio::test(start_paused = true)]
    async fn r12_the_order_is_that_of_the_questions() {
        let start = Instant::now();
        let questions = vec![slow(1), ready(Ok(2)).boxed(), slow(3), slow(4)];
        assert_eq!(in_order(questions).collect::<Vec<_>>().await, [Ok(1), Ok(2), Ok(3), Ok(4)]);
        assert_eq!(start.elapsed().as_secs(), 10, "side by side");
    }

    #[tokio::test(start_paused = true)]
    async fn who_knows_is_not_waited_for_behind_others() {
        let start = Instant::now();
        let answers = as_they_come(vec![silent(), slow(1), ready(Ok(2)).boxed()]);
        assert_eq!(std::pin::pin!(answers).next().await, Some(Ok(2)));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
