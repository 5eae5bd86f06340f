//! Waiting for what comes with time.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

use crate::Result;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);

/// Looks again and again until there is something; an error with the last thing seen when the time is up.
///
/// `look` gives what was waited for, or says what it sees instead. Its errors count as "not yet": a server that
/// restarts refuses for a moment.
pub async fn eventually<T, F>(what: &str, limit: Duration, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Result<T, String>>>,
{
    let deadline = Instant::now() + limit;
    loop {
        let seen = match look().await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(seen)) => seen,
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() > deadline {
            bail!("waited {} s for {what}; last seen: {seen}", limit.as_secs());
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_late_is_found() {
        let mut looks = 0;
        let found = eventually("three", Duration::from_secs(5), || {
            looks += 1;
            let seen = looks;
            async move {
                match seen {
                    1 => bail!("not there"),
                    2 => Ok(Err("two".to_owned())),
                    three => Ok(Ok(three)),
                }
            }
        });
        assert_eq!(found.await.unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_comes_is_an_error_with_the_last_thing_seen() {
        let look = || async { Ok(Err::<(), _>("still two".to_owned())) };
        let error = eventually("three", Duration::from_secs(5), look).await.unwrap_err().to_string();
        assert_eq!(error, "waited 5 s for three; last seen: still two");
    }
}
