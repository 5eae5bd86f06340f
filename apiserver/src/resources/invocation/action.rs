//! `restateinvocations/{cancel,kill,purge,pause,resume,restart}`: found within the namespace first, then done.

use std::marker::PhantomData;

use apiserver_machinery::resource::{Call, CreatableSubresource};
use apiserver_machinery::status::{FieldError, Named, Status};
use apiserver_machinery::write::CreateOptions;
use http::StatusCode;
use restate_apiservice::{
    ActionOutcome, AsksForAction, GROUP, InvocationAction, RestateInvocationAction,
    RestateInvocationActionStatus, RestateInvocationRestart, RestateInvocationResume,
};
use restate_client::action::{Acted, Action, Onto};
use restate_client::admin::Error;
use restate_model::{EndpointKey, FailureKind};
use serde::de::DeserializeOwned;

use super::object::shown;
use super::obstacle::{Subject, obstacle};
use super::{Found, Invocations};
use crate::refusal::unanswered;
use crate::resources::service::service_type;

/// One action.
pub(super) struct Act<K> {
    invocations: Invocations,
    action: InvocationAction,
    kind: PhantomData<fn() -> K>,
}

/// How an action is to be done, whatever its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    from_entry: Option<u32>,
    version: Option<String>,
}

/// An object that says how.
pub(super) trait Wishes: AsksForAction + DeserializeOwned {
    fn wish(&self) -> Wish;
}

impl Wishes for RestateInvocationAction {
    fn wish(&self) -> Wish {
        Wish::default()
    }
}

impl Wishes for RestateInvocationResume {
    fn wish(&self) -> Wish {
        Wish { from_entry: None, version: self.spec.version.clone() }
    }
}

impl Wishes for RestateInvocationRestart {
    fn wish(&self) -> Wish {
        Wish { from_entry: self.spec.from_entry, version: self.spec.version.clone() }
    }
}

impl<K> Act<K> {
    pub(super) fn new(invocations: &Invocations, action: InvocationAction) -> Self {
        Self { invocations: invocations.clone(), action, kind: PhantomData }
    }
}

impl<K: Wishes> CreatableSubresource for Act<K> {
    type Object = K;

    async fn create(&self, call: &Call, mut object: K, options: &CreateOptions) -> Result<K, Status> {
        let wish = object.wish();
        refuse_invalid::<K>(self.action, &wish, call.name())?;
        let found = self.invocations.find(call).await?.ok_or_else(|| call.not_found())?;
        let onto = onto::<K>(&wish, &found)?;
        let outcome = if options.dry_run {
            self.would(call, &found, &wish)?
        } else {
            self.does(call, &found, (wish.from_entry, onto)).await?
        };
        object.set_status(RestateInvocationActionStatus {
            action: self.action,
            state: shown(found.invocation.state),
            message: words(self.action, &outcome),
            new_invocation: outcome.1.clone(),
            outcome: outcome.0,
        });
        Ok(object)
    }
}

/// What came of it, and the invocation that began.
type Outcome = (ActionOutcome, Option<String>);

impl<K: Wishes> Act<K> {
    fn would(&self, call: &Call, found: &Found, wish: &Wish) -> Result<Outcome, Status> {
        let subject = Subject {
            state: shown(found.invocation.state),
            service_type: service_type(found.invocation.target.kind),
            moves: wish.version.is_some(),
        };
        match obstacle(self.action, subject) {
            Some(why) => Err(Status::conflict(Named::from(&call.info), why)),
            None => Ok((ActionOutcome::DryRun, None)),
        }
    }

    async fn does(
        &self,
        call: &Call,
        found: &Found,
        (from, onto): (Option<u32>, Option<Onto>),
    ) -> Result<Outcome, Status> {
        let admin = &found.territory().admin;
        call.annotate("control.restate.dev/restate", admin.key.to_string());
        call.annotate("control.restate.dev/service", found.invocation.target.service.to_string());
        let client = self.invocations.atlas.restates.client(admin)?;
        let _turn = self.invocations.turnstiles.turn(&admin.key).await?;
        let acted = client.act(&found.invocation.id, &told(self.action, from, onto)).await;
        match acted {
            Ok(Acted::Done) => Ok((ActionOutcome::Done, None)),
            Ok(Acted::Accepted) => Ok((ActionOutcome::Accepted, None)),
            Ok(Acted::Restarted(id)) => Ok((ActionOutcome::Done, Some(id.to_string()))),
            Err(error) => Err(refused(call, &admin.key, &error)),
        }
    }
}

fn told(action: InvocationAction, from: Option<u32>, onto: Option<Onto>) -> Action {
    match action {
        InvocationAction::Cancel => Action::Cancel,
        InvocationAction::Kill => Action::Kill,
        InvocationAction::Purge => Action::Purge,
        InvocationAction::Pause => Action::Pause,
        InvocationAction::Resume => Action::Resume { onto },
        InvocationAction::Restart => Action::Restart { from, onto },
    }
}

fn refuse_invalid<K: Wishes>(action: InvocationAction, wish: &Wish, name: &str) -> Result<(), Status> {
    if action == InvocationAction::Restart && wish.version.is_some() && wish.from_entry.is_none() {
        let error = FieldError::forbidden("spec.version", "counts only together with spec.fromEntry");
        return Err(invalid::<K>(name, error));
    }
    Ok(())
}

/// Where it is to go on: a version of the same RestateDeployment, and of nobody else's (Z12).
fn onto<K: Wishes>(wish: &Wish, found: &Found) -> Result<Option<Onto>, Status> {
    let version = match wish.version.as_deref() {
        None => return Ok(None),
        Some("Keep") => return Ok(Some(Onto::Keep)),
        Some("Latest") => return Ok(Some(Onto::Latest)),
        Some(version) => version,
    };
    let owner = found.owner();
    let there = owner.and_then(|owner| found.territory().deployment_of(&owner.namespace, version));
    let same = there.filter(|(_, found)| owner.is_some_and(|owner| owner.deployment == found.deployment));
    same.map(|(id, _)| Some(Onto::Deployment(id.clone()))).ok_or_else(|| {
        let detail = "is neither Keep nor Latest nor a registered version of the same RestateDeployment";
        invalid::<K>(
            found.invocation.id.as_str(),
            FieldError::invalid("spec.version", version.to_owned(), detail),
        )
    })
}

fn invalid<K: Wishes>(name: &str, error: FieldError) -> Status {
    Status::invalid(GROUP, K::GVK.kind, name, &[error])
}

/// Restate's own no, in its own words; where it said nothing, nobody knows.
fn refused(call: &Call, restate: &EndpointKey, error: &Error) -> Status {
    let named = Named::from(&call.info);
    let Some(refused) = error.refused() else {
        if matches!(error.kind(), FailureKind::TimedOut | FailureKind::Malformed) {
            let words =
                "Restate did not say whether it was done; look at the invocation before you ask again";
            return Status::timeout(words, 5);
        }
        return unanswered(restate, error);
    };
    match refused.status {
        StatusCode::NOT_FOUND => call.not_found(),
        StatusCode::CONFLICT
        | StatusCode::GONE
        | StatusCode::TOO_EARLY
        | StatusCode::UNPROCESSABLE_ENTITY => Status::conflict(named, &refused.message),
        StatusCode::BAD_REQUEST => Status::bad_request(refused.message.clone()),
        _ => unanswered(restate, error),
    }
}

fn words(action: InvocationAction, (outcome, new): &Outcome) -> String {
    let (would, done) = match action {
        InvocationAction::Cancel => ("be cancelled", "cancelled"),
        InvocationAction::Kill => ("be killed", "killed"),
        InvocationAction::Purge => ("be purged", "purged"),
        // What runs is paused soon; done at once is only what has nothing to do.
        InvocationAction::Pause => ("be paused", "at rest already"),
        InvocationAction::Resume => ("be resumed", "resumed"),
        InvocationAction::Restart => ("be restarted, if its input is still kept", "restarted"),
    };
    match (outcome, new) {
        (ActionOutcome::DryRun, _) => format!("would {would}; nothing was done"),
        (ActionOutcome::Accepted, _) => format!("will soon {would}"),
        (ActionOutcome::Done, Some(id)) => format!("{done} as {id}"),
        (ActionOutcome::Done, None) => done.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use restate_model::{InvocationState, Status as State};
    use rstest::rstest;

    use super::*;
    use crate::atlas::Map;
    use crate::atlas::tests::{invocation, territory};

    fn found() -> Found {
        Found {
            map: Arc::new(Map { territories: vec![territory()] }),
            territory: 0,
            invocation: invocation("Greeter", Some("dp_old"), InvocationState::Unfinished(State::Paused)),
        }
    }

    /// Z12: an invocation moves to versions of its own RestateDeployment only, whatever id or name is given.
    #[rstest]
    #[case::nothing(None, Ok(None))]
    #[case::keep(Some("Keep"), Ok(Some(Onto::Keep)))]
    #[case::latest(Some("Latest"), Ok(Some(Onto::Latest)))]
    #[case::own(Some("greeter-2"), Ok(Some(Onto::Deployment("dp_new".into()))))]
    #[case::of_another(Some("ledger-1"), Err(422))]
    #[case::an_id(Some("dp_bank"), Err(422))]
    #[case::unknown(Some("greeter-9"), Err(422))]
    fn z12_versions_are_the_deployments_own(
        #[case] version: Option<&str>,
        #[case] expected: Result<Option<Onto>, u16>,
    ) {
        let wish = Wish { version: version.map(str::to_owned), from_entry: None };
        let given = onto::<RestateInvocationResume>(&wish, &found());
        assert_eq!(given.map_err(|status| status.code().as_u16()), expected);
    }

    #[test]
    fn e8_a_restart_moves_only_with_its_journal() {
        let wish = Wish { version: Some("Latest".to_owned()), from_entry: None };
        let refuse = |action| refuse_invalid::<RestateInvocationRestart>(action, &wish, "inv_1");
        let status = refuse(InvocationAction::Restart).unwrap_err();
        assert!(status.code().as_u16() == 422 && status.message.contains("spec.version"), "{status}");
        assert!(refuse(InvocationAction::Resume).is_ok());
        let with_entry = Wish { from_entry: Some(0), ..wish.clone() };
        assert!(
            refuse_invalid::<RestateInvocationRestart>(InvocationAction::Restart, &with_entry, "inv_1")
                .is_ok()
        );
    }

    #[rstest]
    #[case((ActionOutcome::DryRun, None), "would be killed; nothing was done")]
    #[case((ActionOutcome::Accepted, None), "will soon be killed")]
    #[case((ActionOutcome::Done, None), "killed")]
    fn c3_words_say_whether_it_happened(#[case] outcome: Outcome, #[case] expected: &str) {
        assert_eq!(words(InvocationAction::Kill, &outcome), expected);
    }
}
