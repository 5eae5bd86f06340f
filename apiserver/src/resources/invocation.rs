//! `restateinvocations` and what can be done to one of them. Computed at each request, never kept: this is Restate's
//! busiest table.
//!
//! Invariant: a request reaches only invocations of what the namespace's own RestateDeployments serve (Z12). That
//! holds for looking and for acting alike: an action finds its invocation first.

mod action;
mod list;
mod object;
mod obstacle;
mod round;
mod selection;

use std::sync::Arc;

use apiserver_machinery::api::Builder;
use apiserver_machinery::resource::Call;
use apiserver_machinery::status::Status;
use futures::{FutureExt, StreamExt};
use restate_apiservice::{
    InvocationAction, RestateInvocation, RestateInvocationAction, RestateInvocationRestart,
    RestateInvocationResume,
};
use restate_model::{Invocation, InvocationId};

use crate::atlas::{Atlas, Map, Owner, Territory};
use crate::refusal::unanswered;
use crate::turnstile::Turnstiles;

use action::Act;
use round::Question;

/// Finds invocations. Clones share what they know.
#[derive(Clone)]
pub(crate) struct Invocations {
    atlas: Atlas,
    turnstiles: Turnstiles,
}

/// An invocation, and where it was found.
struct Found {
    map: Arc<Map>,
    territory: usize,
    invocation: Invocation,
}

impl Invocations {
    pub(crate) fn new(atlas: &Atlas, turnstiles: &Turnstiles) -> Self {
        Self { atlas: atlas.clone(), turnstiles: turnstiles.clone() }
    }

    /// Adds the kind with its actions to the API.
    pub(crate) fn mounted(self, api: Builder) -> Builder {
        let plain = |action| Act::<RestateInvocationAction>::new(&self, action);
        let resume = Act::<RestateInvocationResume>::new(&self, InvocationAction::Resume);
        let restart = Act::<RestateInvocationRestart>::new(&self, InvocationAction::Restart);
        api.creatable_subresource::<RestateInvocation, _>("cancel", plain(InvocationAction::Cancel))
            .creatable_subresource::<RestateInvocation, _>("kill", plain(InvocationAction::Kill))
            .creatable_subresource::<RestateInvocation, _>("purge", plain(InvocationAction::Purge))
            .creatable_subresource::<RestateInvocation, _>("pause", plain(InvocationAction::Pause))
            .creatable_subresource::<RestateInvocation, _>("resume", resume)
            .creatable_subresource::<RestateInvocation, _>("restart", restart)
            .computed(self)
    }

    /// The invocation that the call names; none where no Restate of the namespace has it.
    async fn find(&self, call: &Call) -> Result<Option<Found>, Status> {
        let (namespace, id) = (call.namespace(), InvocationId::from(call.name()));
        let map = self.atlas.asked(namespace).await?;
        let mut answers = round::as_they_come(self.looks(&map, namespace, &id));
        let mut failure = None;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok((territory, Some(invocation))) => {
                    return Ok(Some(Found { map: Arc::clone(&map), territory, invocation }));
                }
                Ok((_, None)) => {}
                Err(status) => failure = Some(status),
            }
        }
        // Where one of them could not tell, it is not known to be absent.
        failure.map_or(Ok(None), Err)
    }

    /// One question to each Restate of the namespace: has it this invocation?
    fn looks<'a>(
        &'a self,
        map: &'a Map,
        namespace: Option<&'a str>,
        id: &'a InvocationId,
    ) -> Vec<Question<'a, (usize, Option<Invocation>)>> {
        let concerned = map.territories.iter().enumerate();
        let concerned = concerned.filter(|(_, territory)| territory.concerns(namespace));
        let look =
            |(at, territory)| async move { Ok((at, self.find_in(territory, namespace, id).await?)) }.boxed();
        concerned.map(look).collect()
    }

    async fn find_in(
        &self,
        territory: &Territory,
        namespace: Option<&str>,
        id: &InvocationId,
    ) -> Result<Option<Invocation>, Status> {
        if territory.observed_at().is_none() {
            return Err(self.atlas.restates.no_answer(&territory.admin));
        }
        let scope = territory.scope(|owner| is_within(owner, namespace));
        let client = self.atlas.restates.client(&territory.admin)?;
        let _turn = self.turnstiles.turn(&territory.admin.key).await?;
        let found = client.invocation(&scope, id).await;
        let found = found.map_err(|error| unanswered(&territory.admin.key, &error))?;
        if found.is_none() {
            has_told_all(territory, namespace)?;
        }
        Ok(found)
    }
}

impl Found {
    fn territory(&self) -> &Territory {
        &self.map.territories[self.territory]
    }

    fn owner(&self) -> Option<&Owner> {
        self.territory().owner(&self.invocation)
    }

    /// Whether new calls to its service go to the RestateDeployment that serves it.
    fn stays(&self) -> bool {
        let routed = self.territory().routed(&self.invocation.target.service);
        self.owner().zip(routed).is_some_and(|(owner, routed)| owner.is_same_deployment(routed))
    }
}

/// 503 where a Restate was not heard since a version of the namespace was made: it may have what is asked for.
fn has_told_all(territory: &Territory, namespace: Option<&str>) -> Result<(), Status> {
    if !territory.owes(namespace) {
        return Ok(());
    }
    let words = format!("{} has not told yet of all versions that it has", territory.admin.key);
    Err(Status::unavailable(words).retry_after(2))
}

fn is_within(owner: &Owner, namespace: Option<&str>) -> bool {
    namespace.is_none_or(|namespace| owner.namespace == namespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atlas::tests::{silent, territory};

    /// E10: unknown is not absent.
    #[test]
    fn e10_who_may_have_it_without_having_told_is_not_done_with() {
        let silent = silent(&[("shop", Some("dp_1")), ("fresh", None)]);
        let status = has_told_all(&silent, Some("shop")).unwrap_err();
        assert_eq!(status.code().as_u16(), 503, "{status}");
        assert_eq!(has_told_all(&silent, Some("fresh")), Ok(()));
        assert_eq!(has_told_all(&territory(), Some("shop")), Ok(()));
    }
}
