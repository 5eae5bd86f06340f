//! What wraps a pass: time, outcome, span. Nothing in a pass knows of it.

use std::sync::Arc;
use std::time::Instant;

use restate_plan::Outcome;

use super::{Error, Pass};
use crate::runtime::metrics::{Controller, Ended, Metrics};

/// Counts how a pass ended, also where it was dropped before its end.
pub(crate) async fn observed<F>(
    metrics: &Arc<Metrics>,
    controller: Controller,
    pass: F,
) -> Result<Pass, Error>
where
    F: Future<Output = Result<Pass, Error>>,
{
    let mut timer =
        Timer { metrics: metrics.clone(), controller, begun: Instant::now(), ended: Ended::Abandoned };
    let result = pass.await;
    timer.ended = ended(&result);
    if let Err(error) = &result {
        metrics.failed(controller, error.category());
    }
    result
}

fn ended(result: &Result<Pass, Error>) -> Ended {
    match result {
        Ok(Pass { outcome: Outcome::Settled, .. }) => Ended::Settled,
        Ok(Pass { outcome: Outcome::Waiting { .. }, .. }) => Ended::Waiting,
        Err(error) if error.is_quiet() => Ended::Waiting,
        Err(_) => Ended::Failed,
    }
}

struct Timer {
    metrics: Arc<Metrics>,
    controller: Controller,
    begun: Instant,
    ended: Ended,
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.metrics.pass_ended(self.controller, self.ended, self.begun.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pass_that_is_dropped_is_counted_as_abandoned() {
        let metrics = Arc::new(Metrics::default());
        let pass = observed(&metrics, Controller::Cluster, std::future::pending());
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), pass).await.is_err());
        let settled = async { Ok(Pass { outcome: Outcome::Settled, acted: false, unsaid: None }) };
        observed(&metrics, Controller::Cluster, settled).await.unwrap();
        let text = metrics.text().unwrap();
        for ended in ["abandoned", "settled"] {
            let line = format!(r#"reconciliations_total{{controller="cluster",ended="{ended}"}} 1"#);
            assert!(text.contains(&line), "{text}");
        }
    }
}
