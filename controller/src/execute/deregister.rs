//! Removal from Restate. Invariants: sent once per plan; whether it is sent again is for the next plan to say. Where new
//! calls go is looked at once more, in our turn: somebody may have moved them by hand since the decision.

use std::time::Duration;

use restate_plan::{Deregistration, Proof};
use tokio::time::timeout;

use super::{Error, Executor};

/// How long the last look at routing may take.
const LAST_LOOK: Duration = Duration::from_secs(5);
/// How long the call may take: it only removes metadata.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

impl Executor {
    /// Removes a deployment from Restate. That it is not there any more is what was wanted.
    pub(super) async fn deregister(&self, wanted: &Deregistration) -> Result<(), Error> {
        let Deregistration { admin, deployment, version, offers: _, proof } = wanted;
        let (why, asked_at) = match proof {
            Proof::Idle { asked_at } => ("idle", Some(asked_at)),
            Proof::Deleted { asked_at } => ("deleted", Some(asked_at)),
            Proof::Abandoned { .. } => ("abandoned", None),
        };
        let _turn = self.turn(admin, ("Deregister", DEADLINE)).await?;
        self.is_still_unrouted(wanted).await?;
        self.still("Deregister", DEADLINE)?;
        tracing::info!(%deployment, version = %version.object, why, asked_at = asked_at.map(tracing::field::display),
            "removes a deployment from Restate");
        let call = self.restates.deregister(admin, deployment);
        let answer = timeout(DEADLINE, call).await;
        let answer = answer.map_err(|_| Error::Deadline { what: "DELETE of a deployment" })?;
        answer.map_err(|source| Error::Deregister {
            deployment: deployment.to_string(),
            source: Box::new(source),
        })?;
        self.restates.look_now(admin);
        Ok(())
    }

    async fn is_still_unrouted(&self, wanted: &Deregistration) -> Result<(), Error> {
        let Deregistration { admin, deployment, version, offers, proof: _ } = wanted;
        let look = timeout(LAST_LOOK, self.restates.routes(admin, offers.iter()));
        let answer = look.await.map_err(|_| Error::Deadline { what: "GET of a service" })?;
        let routes = answer.map_err(|source| Error::Deregister {
            deployment: deployment.to_string(),
            source: Box::new(source),
        })?;
        if routes.values().any(|to| to == deployment) {
            self.restates.look_now(admin);
            return Err(Error::Overtaken { object: Box::new(version.object.clone()) });
        }
        Ok(())
    }
}
