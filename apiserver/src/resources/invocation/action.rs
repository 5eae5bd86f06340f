//! `restateinvocations/{cancel,kill,purge,pause,resume,restart}`: found within the namespace first, then done.

use std::marker::PhantomData;

use apiserver_machinery::resource::{Call, CreatableSubresource};
use apiserver_machinery::status::{FieldError, Named, Status};
use apiserver_machinery::write::CreateOptions;
use http::StatusCode;
use restate_apiservice::{
    ActionOutcome, AsksForAction, GROUP, InvocationAction, InvocationState, RestateInvocationAction,
    RestateInvocationActionStatus, RestateInvocationRestart, RestateInvocationResume,
};
use restate_client::action::{Acted, Action, Onto};
use restate_client::admin::Error;
use restate_model::{EndpointKey, FailureKind};
use serde::de::DeserializeOwned;

use super::object::shown;
use super::obstacle::{Subject, obstacle};
use super::{Found, Invocations};
use crate::refusal::unsure;
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
        refuse_elsewhere(Named::from(&call.info), (self.action, &wish), &found)?;
        let outcome = if options.dry_run {
            self.would(call, &found, &wish)?
        } else {
            self.does(call, &found, (wish.from_entry, onto)).await?
        };
        object.set_status(RestateInvocationActionStatus {
            action: self.action,
            state: shown(found.invocation.state),
            message: words((self.action, shown(found.invocation.state)), &outcome),
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
            Err(error) => Err(refused(Named::from(&call.info), &admin.key, &error)),
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

/// A restart that says nothing of where it goes begins where new calls go: that must still be the same
/// RestateDeployment (Z12).
fn refuse_elsewhere(
    named: Named<'_>,
    (action, wish): (InvocationAction, &Wish),
    found: &Found,
) -> Result<(), Status> {
    if action != InvocationAction::Restart || wish.version.is_some() || found.stays() {
        return Ok(());
    }
    Err(Status::conflict(named, elsewhere(found)))
}

/// Not whose it is: that may be a namespace that the caller cannot see.
fn elsewhere(found: &Found) -> String {
    format!("{} is served by somebody else by now: it would go there", found.invocation.target.service)
}

/// Where it is to go on: a version of the same RestateDeployment, and of nobody else's (Z12).
fn onto<K: Wishes>(wish: &Wish, found: &Found) -> Result<Option<Onto>, Status> {
    let version = match wish.version.as_deref() {
        None => return Ok(None),
        Some("Keep") => return Ok(Some(Onto::Keep)),
        Some("Latest") if found.stays() => return Ok(Some(Onto::Latest)),
        Some("Latest") => return Err(invalid_version::<K>(found, "Latest", &elsewhere(found))),
        Some(version) => version,
    };
    let owner = found.owner();
    let there = owner.and_then(|owner| found.territory().deployment_of(&owner.namespace, version));
    let same = there.filter(|(_, found)| owner.is_some_and(|owner| owner.deployment == found.deployment));
    same.map(|(id, _)| Some(Onto::Deployment(id.clone()))).ok_or_else(|| {
        let detail = "is neither Keep nor Latest nor a registered version of the same RestateDeployment";
        invalid_version::<K>(found, version, detail)
    })
}

fn invalid_version<K: Wishes>(found: &Found, version: &str, detail: &str) -> Status {
    invalid::<K>(found.invocation.id.as_str(), FieldError::invalid("spec.version", version, detail))
}

fn invalid<K: Wishes>(name: &str, error: FieldError) -> Status {
    Status::invalid(GROUP, K::GVK.kind, name, &[error])
}

/// Restate's own no, in its own words; where it said nothing, nobody knows, and nobody is told to send it again.
fn refused(named: Named<'_>, restate: &EndpointKey, error: &Error) -> Status {
    let Some(refused) = error.refused() else {
        if matches!(error.kind(), FailureKind::TimedOut | FailureKind::Malformed) {
            let words =
                "Restate did not say whether it was done; look at the invocation before you ask again";
            return Status::timeout(words, 0);
        }
        return unsure(restate, error);
    };
    match refused.status {
        StatusCode::NOT_FOUND if refused.message.contains(named.name) => Status::not_found(named),
        // Of what stands before Restate: it tells nothing of the invocation.
        StatusCode::NOT_FOUND => Status::unavailable(format!("{restate} cannot tell: {}", error.words())),
        StatusCode::CONFLICT
        | StatusCode::GONE
        | StatusCode::TOO_EARLY
        | StatusCode::UNPROCESSABLE_ENTITY => Status::conflict(named, &refused.message),
        StatusCode::BAD_REQUEST => Status::bad_request(refused.message.clone()),
        _ => unsure(restate, error),
    }
}

fn words((action, state): (InvocationAction, InvocationState), (outcome, new): &Outcome) -> String {
    let (would, done) = match action {
        InvocationAction::Cancel => ("be cancelled", "cancelled"),
        InvocationAction::Kill => ("be killed", "killed"),
        InvocationAction::Purge => ("be purged", "purged"),
        // What runs is paused soon; done at once is only what has nothing to do.
        InvocationAction::Pause => ("be paused", "at rest already"),
        // Restate says yes, and nothing comes of it.
        InvocationAction::Resume if state == InvocationState::Running => ("change nothing", "runs already"),
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

    use restate_client::admin::Refused;
    use restate_model::Status as State;
    use rstest::rstest;

    use super::*;
    use crate::atlas::tests::{invocation, routing, territory};
    use crate::atlas::{Map, Territory};
    use crate::resources::tests::retry_after;

    const ID: &str = "inv_1gcM2zdaqxx73ieDvWr0x4VrZRl82mzBL7";
    const NAMED: Named<'_> = Named { group: GROUP, resource: "restateinvocations", name: ID };

    fn found() -> Found {
        found_in(territory())
    }

    fn found_in(territory: Territory) -> Found {
        let paused = restate_model::InvocationState::Unfinished(State::Paused);
        Found {
            map: Arc::new(Map { territories: vec![territory] }),
            territory: 0,
            invocation: invocation("Greeter", Some("dp_old"), paused),
        }
    }

    /// Z12: where new calls go to a RestateDeployment of another namespace or name, nothing is handed over to it.
    #[rstest]
    #[case::same("dp_new", true)]
    #[case::another_namespace("dp_bank", false)]
    #[case::nobodys("dp_else", false)]
    fn z12_an_invocation_is_not_handed_to_somebody_else(#[case] routed: &str, #[case] stays: bool) {
        let found = found_in(routing(territory(), "Greeter", routed));
        let latest = Wish { version: Some("Latest".to_owned()), from_entry: None };
        let onto = onto::<RestateInvocationResume>(&latest, &found);
        assert_eq!(onto.as_ref().err().map(|status| status.code().as_u16()), (!stays).then_some(422));
        let plain = |action| refuse_elsewhere(NAMED, (action, &Wish::default()), &found);
        let restart = plain(InvocationAction::Restart);
        assert_eq!(restart.as_ref().err().map(|status| status.code().as_u16()), (!stays).then_some(409));
        for refusal in [onto.err(), restart.err()].into_iter().flatten() {
            assert!(refusal.message.contains("Greeter is served by somebody else by now"), "{refusal}");
        }
        assert!(plain(InvocationAction::Resume).is_ok(), "it goes on where it is pinned");
        let keep = Wish { version: Some("Keep".to_owned()), from_entry: Some(1) };
        assert!(refuse_elsewhere(NAMED, (InvocationAction::Restart, &keep), &found).is_ok());
    }

    /// E10: who cannot tell says neither that it is gone nor when to send it again.
    #[rstest]
    #[case::restates_own(
        404,
        "The requested invocation 'inv_1gcM2zdaqxx73ieDvWr0x4VrZRl82mzBL7' does not exist",
        404
    )]
    #[case::of_what_stands_before_it(404, "404 Not Found", 503)]
    #[case::not_possible(409, "it is completed", 409)]
    #[case::no_leader(503, "no partition leader", 503)]
    fn e10_only_restates_own_word_is_absence(#[case] status: u16, #[case] message: &str, #[case] code: u16) {
        let status = StatusCode::from_u16(status).unwrap();
        let error = Error::Refused(Refused { status, code: None, message: message.to_owned() });
        let refused = refused(NAMED, &"http://restate.prod:9070/".into(), &error);
        assert_eq!((refused.code().as_u16(), retry_after(&refused)), (code, 0), "{refused}");
    }

    /// E10: `Retry-After` would have clients act a second time by themselves.
    #[rstest]
    #[case::too_slow(Error::TimedOut { after: std::time::Duration::from_secs(10) })]
    #[case::broken_off(Error::Lacks("the id"))]
    fn e10_what_may_have_happened_is_not_sent_again(#[case] error: Error) {
        let refused = refused(NAMED, &"http://restate.prod:9070/".into(), &error);
        assert_eq!((refused.code().as_u16(), retry_after(&refused)), (504, 0), "{refused}");
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
        assert_eq!(words((InvocationAction::Kill, InvocationState::Ready), &outcome), expected);
    }

    #[rstest]
    #[case(InvocationState::Running, ActionOutcome::Done, "runs already")]
    #[case(InvocationState::Running, ActionOutcome::DryRun, "would change nothing; nothing was done")]
    #[case(InvocationState::Paused, ActionOutcome::Done, "resumed")]
    fn c3_what_runs_is_not_resumed(
        #[case] state: InvocationState,
        #[case] outcome: ActionOutcome,
        #[case] expected: &str,
    ) {
        assert_eq!(words((InvocationAction::Resume, state), &(outcome, None)), expected);
    }
}
