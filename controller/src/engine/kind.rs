//! What a kind brings along: how to look, how to decide. Everything else is the engine's.

use std::fmt::Debug;
use std::sync::Arc;

use jiff::Timestamp;
use kube::core::object::HasStatus;
use kube::{Api, Client};
use restate_crd::Conditions;
use restate_model::Snapshot;
use restate_plan::deployment::Demand;
use restate_plan::{Finalizer, Plan, Registration, Step};
use serde::Serialize;

use super::{Context, Error};
use crate::execute::Rejection;
use crate::restates::Wanting;
use crate::runtime::metrics::Controller;
use crate::watches::{Change, Stored, Stores};

/// What is to be done about one object, and said of it.
#[derive(Debug)]
pub(crate) struct Decision<S> {
    /// The steps, and when to look again.
    pub(crate) plan: Plan,
    /// The status after them.
    pub(crate) status: S,
    /// What becomes of our finalizer.
    pub(crate) finalizer: Finalizer,
    /// What has to be asked of which Restate.
    pub(crate) demand: Option<Demand>,
    /// What that Restate had said by then.
    pub(crate) known: Option<Arc<Snapshot>>,
}

/// A stored kind.
pub(crate) trait Kind:
    Stored + HasStatus<Status: Clone + Debug + Default + PartialEq + Serialize + Send + Sync>
{
    /// Its name in metrics.
    const CONTROLLER: Controller;
    /// Its finalizer.
    const FINALIZER: &'static str;
    /// What a decision looks at besides the object.
    type Seen: Send + Sync;

    /// Where the object is.
    fn api(&self, client: &Client) -> Api<Self>;

    /// Looks: at the stores, at the newest snapshot, at nodes where the decision needs their word.
    fn gather(
        object: &Arc<Self>,
        context: &Context,
    ) -> impl Future<Output = Result<Self::Seen, Error>> + Send;

    /// Decides. Pure.
    fn decide(object: &Self, seen: &Self::Seen, now: Timestamp) -> Decision<Self::Status>;

    /// Takes over what the API server answered to a write of the status, and tells what is different now.
    fn keep(stores: &Stores, object: Self) -> Option<Change<Self>>;

    /// Where the status keeps its conditions.
    fn conditions(status: &mut Self::Status) -> &mut Conditions;

    /// By what name the object is known to those who ask Restate on its behalf, where anybody does.
    fn wanted_by(object: &Self) -> Option<Wanting> {
        let _ = object;
        None
    }

    /// The steps that write down a refusal.
    fn remember(
        object: &Self,
        registration: &Registration,
        rejection: &Rejection,
        now: Timestamp,
    ) -> Vec<Step> {
        let _ = (object, registration, rejection, now);
        Vec::new()
    }
}
