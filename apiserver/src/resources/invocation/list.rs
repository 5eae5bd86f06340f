//! Getting and listing: bounded pages over every Restate of a namespace, in the order of their keys.

use std::cmp::Ordering;

use apiserver_machinery::list::ListRequest;
use apiserver_machinery::resource::{Call, Computed, Page};
use apiserver_machinery::status::Status;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use restate_apiservice::RestateInvocation;
use restate_client::query::Wanted;
use restate_model::{Invocation, InvocationId};
use serde::{Deserialize, Serialize};

use super::object::object;
use super::round::{self, Question};
use super::selection::Pushed;
use super::{Invocations, has_told_all};
use crate::atlas::Territory;
use crate::refusal::unanswered;

/// The most invocations in one answer, whatever was asked for: kubectl's own portion.
const PAGE: usize = 500;

/// Where a list goes on. It names a Restate, but which ones there are is decided by stored objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    /// Key of the Restate.
    restate: String,
    /// The last invocation of it that was given.
    after: Option<InvocationId>,
}

impl Place {
    fn decode(text: &str) -> Result<Self, Status> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let place = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        place.ok_or_else(|| Status::bad_request("continue key is not valid"))
    }

    fn encode(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Where this Restate goes on.
    fn in_restate(&self, key: &str) -> Onward {
        match key.cmp(&self.restate) {
            Ordering::Less => Onward::Done,
            Ordering::Equal => self.after.clone().map_or(Onward::Whole, Onward::After),
            Ordering::Greater => Onward::Whole,
        }
    }
}

/// What of one Restate is still to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Onward {
    Done,
    After(InvocationId),
    Whole,
}

impl Onward {
    fn after(self) -> Option<InvocationId> {
        match self {
            Self::Done | Self::Whole => None,
            Self::After(id) => Some(id),
        }
    }
}

/// What a Restate has told.
type Told<'a> = (&'a Territory, Vec<Invocation>);

/// What has been gathered so far.
#[derive(Default)]
struct Gathering {
    objects: Vec<RestateInvocation>,
    failures: Vec<Status>,
    answers: usize,
    resume: Option<Place>,
}

impl Computed for Invocations {
    type Object = RestateInvocation;

    async fn get(&self, call: &Call) -> Result<Option<Self::Object>, Status> {
        let Some(found) = self.find(call).await? else { return Ok(None) };
        let owner = found.owner();
        Ok(owner.map(|owner| object(found.territory(), owner, &found.invocation, Timestamp::now())))
    }

    async fn list(&self, call: &Call, request: &ListRequest) -> Result<Page<Self::Object>, Status> {
        let start = request.resume.as_deref().map_or(Ok(Place::default()), Place::decode)?;
        let limit = if request.limit == 0 { PAGE } else { request.limit.min(PAGE) };
        let map = self.atlas.asked(call.namespace()).await?;
        let concerned = map.of(call.namespace()).collect();
        let mut answers = round::in_order(self.questions(concerned, (&start, request, limit)));
        let mut gathering = Gathering::default();
        while gathering.resume.is_none()
            && let Some(answer) = answers.next().await
        {
            gathering.take(answer, limit);
        }
        gathering.page(call, request.limit)
    }
}

impl Invocations {
    /// One question to each Restate that is still to be told of.
    fn questions<'a>(
        &'a self,
        concerned: Vec<&'a Territory>,
        (start, request, limit): (&Place, &'a ListRequest, usize),
    ) -> Vec<Question<'a, Told<'a>>> {
        let question = |territory: &'a Territory| {
            let onward = start.in_restate(territory.admin.key.as_str());
            let is_left = onward != Onward::Done;
            is_left.then(|| self.told(territory, (request, onward.after(), limit)).boxed())
        };
        concerned.into_iter().filter_map(question).collect()
    }

    /// What one Restate has, and one more than there can be room for.
    async fn told<'a>(
        &self,
        territory: &'a Territory,
        (request, after, limit): (&ListRequest, Option<InvocationId>, usize),
    ) -> Result<Told<'a>, Status> {
        if territory.observed_at().is_none() {
            return Err(self.atlas.restates.no_answer(&territory.admin));
        }
        has_told_all(territory, request.selection.namespace.as_deref())?;
        let pushed = Pushed(&request.selection);
        let scope = territory.scope(|owner| pushed.wants(owner));
        let Ok(conditions) = pushed.conditions(&territory.offered(&scope)) else {
            return Ok((territory, Vec::new()));
        };
        let wanted = Wanted { scope, conditions, after, limit: limit + 1 };
        Ok((territory, self.ask(territory, &wanted).await?))
    }

    async fn ask(&self, territory: &Territory, wanted: &Wanted) -> Result<Vec<Invocation>, Status> {
        let client = self.atlas.restates.client(&territory.admin)?;
        let _turn = self.turnstiles.turn(&territory.admin.key).await?;
        client.invocations(wanted).await.map_err(|error| unanswered(&territory.admin.key, &error))
    }
}

impl Gathering {
    fn take(&mut self, answer: Result<Told<'_>, Status>, limit: usize) {
        match answer {
            Ok((territory, found)) => self.add(territory, found, limit - self.objects.len()),
            Err(status) => self.failures.push(status),
        }
    }

    /// Adds as many as there is room for; one more says that there are more.
    fn add(&mut self, territory: &Territory, mut found: Vec<Invocation>, room: usize) {
        let now = Timestamp::now();
        self.answers += 1;
        if found.len() > room {
            found.truncate(room);
            let after = found.last().map(|last| last.id.clone());
            self.resume = Some(Place { restate: territory.admin.key.to_string(), after });
        }
        let owned = found.iter().filter_map(|invocation| Some((territory.owner(invocation)?, invocation)));
        self.objects.extend(owned.map(|(owner, invocation)| object(territory, owner, invocation, now)));
    }

    /// Where nobody could tell, the failure; where some could not, a warning.
    fn page(self, call: &Call, limit: usize) -> Result<Page<RestateInvocation>, Status> {
        let Self { objects, mut failures, answers, resume } = self;
        if answers == 0 && !failures.is_empty() {
            return Err(failures.swap_remove(0));
        }
        for failure in failures {
            call.warnings.add(format!("some invocations may be missing: {failure}"));
        }
        if limit == 0 && resume.is_some() {
            let words = "these are the first invocations only: narrow the selection, or ask in portions";
            call.warnings.add(words.to_owned());
        }
        Ok(Page { objects, resume: resume.map(|place| place.encode()) })
    }
}

#[cfg(test)]
mod tests {
    use restate_model::{InvocationState, Status as State};
    use rstest::rstest;

    use super::*;
    use crate::atlas::tests::{invocation, territory};

    #[test]
    fn r12_a_place_survives_its_journey_and_nothing_else_does() {
        let place = Place { restate: "http://a/".to_owned(), after: Some("inv_1".into()) };
        assert_eq!(Place::decode(&place.encode()), Ok(place));
        for nonsense in ["", "nonsense", "e30"] {
            assert_eq!(Place::decode(nonsense).unwrap_err().code().as_u16(), 400, "{nonsense}");
        }
    }

    #[rstest]
    #[case("a", Onward::Done)]
    #[case("b", Onward::After("inv_1".into()))]
    #[case("c", Onward::Whole)]
    fn r12_a_list_goes_on_in_the_restate_where_it_stopped(#[case] key: &str, #[case] expected: Onward) {
        let place = Place { restate: "b".to_owned(), after: Some("inv_1".into()) };
        assert_eq!(place.in_restate(key), expected);
    }

    fn three() -> Vec<Invocation> {
        let named = |name: &str| Invocation {
            id: name.into(),
            ..invocation("Greeter", None, InvocationState::Unfinished(State::Paused))
        };
        ["inv_1", "inv_2", "inv_3"].map(named).into()
    }

    #[rstest]
    #[case::all(3, None)]
    #[case::cut(2, Some("inv_2"))]
    #[case::full(0, None)]
    fn r12_one_more_than_there_is_room_for_says_that_there_are_more(
        #[case] room: usize,
        #[case] after: Option<&str>,
    ) {
        let mut gathering = Gathering::default();
        gathering.add(&territory(), three(), room);
        assert_eq!(gathering.objects.len(), room);
        assert_eq!(gathering.resume.is_some(), room < 3);
        assert_eq!(gathering.resume.and_then(|place| place.after), after.map(InvocationId::from));
    }
}
