//! RestateCloudEnvironment: read, shown, and never changed until its turn comes. An environment that carries our
//! finalizer already is held when it is deleted, with the reason and the way out.

use std::sync::Arc;

use jiff::Timestamp;
use kube::{Api, Client, ResourceExt};
use restate_crd::condition::{ConditionStatus, ConditionType, Reason, Verdict};
use restate_crd::{Conditions, RestateCloudEnvironment, RestateCloudEnvironmentStatus, finalizer};
use restate_plan::{EventKind, Finalizer, LookAgain, Note, Outcome, Plan, Step};

use crate::engine::{Context, Decision, Error, Kind};
use crate::runtime::metrics::Controller;
use crate::watches::{Change, Stores};

/// Annotation by which people let a held environment go, with everything that still relies on it.
const OVERRIDE: &str = "restate.dev/abandon";

impl Kind for RestateCloudEnvironment {
    const CONTROLLER: Controller = Controller::CloudEnvironment;
    const FINALIZER: &'static str = finalizer::CLOUD_ENVIRONMENT;
    type Seen = ();

    fn api(&self, client: &Client) -> Api<Self> {
        Api::all(client.clone())
    }

    async fn gather(_: &Arc<Self>, _: &Context) -> Result<(), Error> {
        Ok(())
    }

    fn decide(object: &Self, (): &(), now: Timestamp) -> Decision<RestateCloudEnvironmentStatus> {
        let going = object.metadata.deletion_timestamp.is_some();
        if going && object.annotations().get(OVERRIDE).is_some_and(|value| value == "true") {
            return decision(object, Outcome::Settled, Finalizer::Release);
        }
        let outcome =
            Outcome::Waiting { on: Reason::ModeNotSupported.into(), look_again: LookAgain::OnChange };
        let mut decision = decision(object, outcome, Finalizer::Leave);
        let (reason, message) = if going { held() } else { shown() };
        let verdict = Verdict::new(ConditionStatus::False, reason, message.clone());
        let verdict = verdict.of_generation(object.metadata.generation);
        decision.status.observed_generation = object.metadata.generation;
        decision.status.conditions.set(ConditionType::Ready, verdict, now);
        if Some(&decision.status) != object.status.as_ref() {
            decision.plan.steps.push(note(reason, message));
        }
        decision
    }

    fn keep(stores: &Stores, object: Self) -> Option<Change<Self>> {
        stores.environments.absorb(object)
    }

    fn conditions(status: &mut RestateCloudEnvironmentStatus) -> &mut Conditions {
        &mut status.conditions
    }
}

fn decision(
    object: &RestateCloudEnvironment,
    outcome: Outcome,
    finalizer: Finalizer,
) -> Decision<RestateCloudEnvironmentStatus> {
    let status = object.status.clone().unwrap_or_default();
    Decision {
        plan: Plan { steps: Vec::new(), parts: Vec::new(), outcome },
        status,
        finalizer,
        demand: None,
        known: None,
    }
}

fn shown() -> (Reason, String) {
    let message = "Restate Cloud is not supported yet: this environment is shown and never changed";
    (Reason::ModeNotSupported, message.to_owned())
}

fn held() -> (Reason, String) {
    let message = format!(
        "the deletion is held: tunnels of this environment may still carry work, and Restate Cloud is not supported \
         yet; to let it go with what still relies on it, set the annotation {OVERRIDE}: \"true\""
    );
    (Reason::DeletionHeld, message)
}

fn note(reason: Reason, message: String) -> Step {
    Step::Note(Note { kind: EventKind::Warning, reason: reason.into(), action: "Hold", message })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn environment(metadata: &serde_json::Value) -> RestateCloudEnvironment {
        serde_json::from_value(json!({
            "apiVersion": "restate.dev/v1beta1", "kind": "RestateCloudEnvironment", "metadata": metadata,
            "spec": {"environmentId": "env_1", "region": "us", "signingPublicKey": "publickeyv1_1",
                     "authentication": {"secret": {"name": "token", "key": "token"}}},
        }))
        .unwrap()
    }

    fn decide(object: &RestateCloudEnvironment) -> Decision<RestateCloudEnvironmentStatus> {
        RestateCloudEnvironment::decide(object, &(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn it_is_shown_and_a_second_look_says_nothing() {
        let mut object = environment(&json!({"name": "cloud", "generation": 2}));
        let first = decide(&object);
        assert_eq!(first.finalizer, Finalizer::Leave);
        assert!(matches!(first.plan.steps.as_slice(), [Step::Note(_)]), "{:?}", first.plan.steps);
        object.status = Some(first.status.clone());
        let second = decide(&object);
        assert_eq!((second.plan.steps, second.status), (Vec::new(), first.status));
    }

    #[test]
    fn a_deletion_is_held_until_people_override_it() {
        let going = json!({"name": "cloud", "deletionTimestamp": "2026-01-01T00:00:00Z"});
        let held = decide(&environment(&going));
        assert_eq!(held.finalizer, Finalizer::Leave);
        let ready = held.status.conditions.get(ConditionType::Ready).unwrap().clone();
        assert_eq!(ready.reason.as_deref(), Some("DeletionHeld"));
        assert!(ready.message.unwrap().contains(OVERRIDE));

        let mut overridden = going.clone();
        overridden["annotations"] = json!({OVERRIDE: "true"});
        assert_eq!(decide(&environment(&overridden)).finalizer, Finalizer::Release);
    }
}
