//! Removal from Restate. Invariant: sent once per plan; whether it is sent again is for the next plan to say.

use std::time::Duration;

use restate_plan::{Deregistration, Proof};

use super::{Error, Executor};

/// How long the call may take: it only removes metadata.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

impl Executor {
    /// Removes a deployment from Restate. That it is not there any more is what was wanted.
    pub(super) async fn deregister(&self, wanted: &Deregistration) -> Result<(), Error> {
        let Deregistration { admin, deployment, version, proof } = wanted;
        let (why, asked_at) = match proof {
            Proof::Idle { asked_at } => ("idle", Some(asked_at)),
            Proof::Deleted { asked_at } => ("deleted", Some(asked_at)),
            Proof::Abandoned { .. } => ("abandoned", None),
        };
        let _turn = self.turn(admin, ("Deregister", DEADLINE)).await?;
        tracing::info!(%deployment, version = %version.object, why, asked_at = asked_at.map(tracing::field::display),
            "removes a deployment from Restate");
        let call = self.restates.deregister(admin, deployment);
        let answer = tokio::time::timeout(DEADLINE, call).await;
        let answer = answer.map_err(|_| Error::Deadline { what: "DELETE of a deployment" })?;
        answer.map_err(|source| Error::Deregister {
            deployment: deployment.to_string(),
            source: Box::new(source),
        })?;
        self.restates.look_now(admin);
        Ok(())
    }
}
