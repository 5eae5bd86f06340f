//! Performs the steps of a plan, in their order, until one fails.
//!
//! Stage in the flow: after plan. Invariants: it chooses nothing; nothing is done without the Lease, nothing
//! irreversible without a Lease that outlives the call; what the API server answered is in the stores before the
//! next pass. One file per family of steps.

mod addresses;
mod apply;
mod attempts;
mod claim;
mod configure;
mod create;
mod delete;
mod deregister;
mod error;
mod nodes;
mod note;
mod patch;
mod provision;
mod register;
mod take_over;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::GetParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, Request};
use kube::{Api, Client, Resource};
use restate_client::turns::Turn;
use restate_plan::{Admin, ObjectRef, Registration, Step};

pub(crate) use addresses::Addresses;
pub(crate) use attempts::Attempts;
pub(crate) use error::{Error, Rejection};
pub(crate) use note::Notices;

use crate::restates::Restates;
use crate::runtime::leader::Lease;
use crate::runtime::metrics::Metrics;
use crate::watches::Stores;

/// How long one request to the API server may take.
pub(crate) const API_DEADLINE: Duration = Duration::from_secs(10);

/// How long a step waits for its turn at a Restate, or at the addresses of Services; then it is planned anew, on what is known by then.
const PATIENCE: Duration = Duration::from_secs(5);

/// What performing steps needs.
#[derive(Clone)]
pub(crate) struct Executor {
    /// How to reach the API server.
    pub(crate) client: Client,
    /// Where its answers go.
    pub(crate) stores: Stores,
    /// Whether we may act, and for how long.
    pub(crate) lease: Lease,
    /// How to reach Restate.
    pub(crate) restates: Arc<Restates>,
    /// How many Services are made at the same time.
    pub(crate) addresses: Addresses,
    /// What Restate failed to register lately.
    pub(crate) attempts: Attempts,
    /// How to tell people.
    pub(crate) notices: Notices,
    /// Where to count.
    pub(crate) metrics: Arc<Metrics>,
}

/// What became of the steps.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// How many succeeded that change something.
    pub(crate) acted: usize,
    /// Whether every step succeeded.
    pub(crate) complete: bool,
    /// A registration that Restate refuses for good: to be recorded.
    pub(crate) rejected: Option<(Registration, Rejection)>,
    /// What failed, on the main path or beside it.
    pub(crate) failed: Option<Error>,
}

/// A request, or why there is none.
type Asked = Result<http::Request<Vec<u8>>, kube::core::request::Error>;

impl Executor {
    /// Performs the steps on behalf of `subject`; where one is refused, those of its part are left.
    pub(crate) async fn run(&self, steps: &[Step], parts: &[usize], subject: &ObjectReference) -> Done {
        let mut done = Done { complete: true, ..Done::default() };
        let mut next = 0;
        while let Some(step) = steps.get(next) {
            next += 1;
            match self.perform(step, subject).await {
                Ok(()) => done.acted += usize::from(!matches!(step, Step::Note(_))),
                Err(Error::Rejected { registration, rejection }) => {
                    done.complete = false;
                    done.rejected = Some((*registration, rejection));
                    return done;
                }
                Err(error) => {
                    done.complete = false;
                    let part = parts.iter().find(|start| **start >= next).filter(|_| error.is_refusal());
                    // The first failure is the cause, and what fails later does not hide it; a race is none.
                    match &done.failed {
                        Some(first) if !first.is_quiet() || error.is_quiet() => {}
                        Some(_) | None => done.failed = Some(error),
                    }
                    match part {
                        _ if matches!(step, Step::Aside(_)) => {}
                        Some(start) => next = *start,
                        None => return done,
                    }
                }
            }
        }
        done
    }

    async fn perform(&self, step: &Step, subject: &ObjectReference) -> Result<(), Error> {
        if let Step::Aside(step) = step {
            return Box::pin(self.perform(step, subject)).await;
        }
        let word = word(step);
        self.permit(step)?;
        tracing::debug!(step = word, "performs");
        let result = match step {
            Step::Apply(manager, object) => self.apply(*manager, object).await,
            Step::Create(object) => self.create(object).await,
            Step::Annotate { object, uid, annotations } => self.annotate(object, uid, annotations).await,
            Step::Patch(patch) => self.patch(patch).await,
            Step::TakeOver { object, uid } => self.take_over(object, uid).await,
            Step::Owners { object, uid, owners } => self.own(object, uid, owners).await,
            Step::Scale { object, uid, replicas } | Step::Stop { object, uid, replicas } => {
                self.scale(object, uid, *replicas).await
            }
            Step::LeavePods { object, uid } => self.leave_pods(object, uid).await,
            Step::Delete { object, uid, propagation } => self.delete(object, uid, *propagation).await,
            Step::Register(registration) => self.register(registration).await,
            Step::Deregister(deregistration) => self.deregister(deregistration).await,
            Step::Claim(claim) => self.claim(claim).await,
            Step::Provision(provision) => self.provision(provision).await,
            Step::Configure(configure) => self.configure(configure).await,
            Step::ChangeNodes(change) => self.change_nodes(change).await,
            Step::LeaveMetadata(leave) => self.leave_metadata(leave).await,
            Step::JoinMetadata { cluster, node } => self.join_metadata(cluster, node).await,
            Step::Snapshot(snapshot) => self.snapshot(snapshot).await,
            Step::TrimLog(trim) => self.trim_log(trim).await,
            Step::Note(note) => {
                self.notices.tell(note, subject).await;
                Ok(())
            }
            Step::Aside(_) => Ok(()), // its inner step was performed
        };
        if !matches!(result, Err(Error::Resting { .. } | Error::Busy { .. })) {
            self.metrics.executed(word, result.is_ok());
        }
        result
    }

    /// Whether the Lease allows this step now.
    fn permit(&self, step: &Step) -> Result<(), Error> {
        let needed = if step.is_irreversible() { deadline(step) } else { Duration::ZERO };
        self.still(word(step), needed)
    }

    /// Whether the Lease holds for so long: asked again by whoever has waited.
    fn still(&self, step: &'static str, needed: Duration) -> Result<(), Error> {
        if self.lease.outlives(needed) { Ok(()) } else { Err(Error::Lease { step, needed }) }
    }

    /// Waits until it is our turn to change this Restate's registry. The Lease may have gone meanwhile.
    async fn turn(&self, admin: &Admin, (step, needed): (&'static str, Duration)) -> Result<Turn, Error> {
        let turn = self.restates.turn(admin, PATIENCE).await;
        let turn = turn.ok_or_else(|| Error::Busy { step, at: admin.url.clone() })?;
        self.still(step, needed)?;
        Ok(turn)
    }

    /// Where objects like this one are.
    pub(crate) fn api(&self, object: &ObjectRef) -> Api<DynamicObject> {
        let resource = resource(object);
        match &object.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// What the API server answers, in good time.
    async fn sent(&self, object: &ObjectRef, verb: &'static str, request: Asked) -> Result<String, Error> {
        let request = request.map_err(kube::Error::BuildRequest);
        let request = request.map_err(|source| Error::of_api(object, verb, source))?;
        within(object, verb, self.client.request_text(request)).await
    }

    /// The same; what it says is kept.
    async fn answered(&self, object: &ObjectRef, verb: &'static str, request: Asked) -> Result<(), Error> {
        let answer = self.sent(object, verb, request).await?;
        self.stores.absorb(object, &answer);
        Ok(())
    }

    /// Looks at the object, so that the next plan sees it as it is. That it is gone a watch will tell.
    async fn look(&self, object: &ObjectRef) -> Result<(), Error> {
        let request = requests(object).get(&object.name, &GetParams::default());
        match self.answered(object, "get", request).await {
            Err(Error::Overtaken { .. }) => Ok(()),
            answered => answered,
        }
    }
}

/// Waits for the API server's answer, but not for ever.
async fn within<T, F>(object: &ObjectRef, verb: &'static str, request: F) -> Result<T, Error>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    match tokio::time::timeout(API_DEADLINE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(Error::of_api(object, verb, source)),
        Err(_) => Err(Error::Slow { verb, object: Box::new(object.clone()) }),
    }
}

/// Requests about objects like this one, for whoever wants no more of the answer than what is kept.
fn requests(object: &ObjectRef) -> Request {
    Request::new(DynamicObject::url_path(&resource(object), object.namespace.as_deref()))
}

fn resource(object: &ObjectRef) -> ApiResource {
    let (group, version) = object.api_version.split_once('/').unwrap_or(("", &object.api_version));
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, &object.kind), &object.plural)
}

/// How long an irreversible step may take.
fn deadline(step: &Step) -> Duration {
    match step {
        Step::Deregister(_) => deregister::DEADLINE,
        Step::Provision(_) => provision::DEADLINE,
        Step::ChangeNodes(_) | Step::LeaveMetadata(_) | Step::TrimLog(_) => nodes::DEADLINE,
        Step::Aside(step) => deadline(step),
        Step::Apply(..)
        | Step::Create(_)
        | Step::Annotate { .. }
        | Step::Patch(_)
        | Step::Owners { .. }
        | Step::TakeOver { .. }
        | Step::Scale { .. }
        | Step::LeavePods { .. }
        | Step::Delete { .. }
        | Step::Register(_)
        | Step::Claim(_)
        | Step::Configure(_)
        | Step::JoinMetadata { .. }
        | Step::Snapshot(_)
        | Step::Stop { .. }
        | Step::Note(_) => API_DEADLINE,
    }
}

fn word(step: &Step) -> &'static str {
    match step {
        Step::Apply(..) => "Apply",
        Step::Create(_) => "Create",
        Step::Annotate { .. } => "Annotate",
        Step::Patch(_) => "Patch",
        Step::Owners { .. } => "Owners",
        Step::TakeOver { .. } => "TakeOver",
        Step::Scale { .. } => "Scale",
        Step::LeavePods { .. } => "LeavePods",
        Step::Delete { .. } => "Delete",
        Step::Register(_) => "Register",
        Step::Deregister(_) => "Deregister",
        Step::Claim(_) => "Claim",
        Step::Provision(_) => "Provision",
        Step::Configure(_) => "Configure",
        Step::ChangeNodes(_) => "ChangeNodes",
        Step::LeaveMetadata(_) => "LeaveMetadata",
        Step::JoinMetadata { .. } => "JoinMetadata",
        Step::Snapshot(_) => "Snapshot",
        Step::TrimLog(_) => "TrimLog",
        Step::Stop { .. } => "Stop",
        Step::Note(_) => "Note",
        Step::Aside(step) => word(step),
    }
}
