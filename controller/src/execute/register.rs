//! Registration, and its record: what Restate answered is on the version's object before anything else happens.
//!
//! Invariant: nobody waits in line behind an endpoint. Restate's call of it can take seconds (a Service that is a moment
//! old has no route yet), so each is rehearsed first, all at the same time; what is done in turn takes milliseconds.

use std::time::Duration;

use jiff::Timestamp;
use restate_crd::annotation::{DEPLOYMENT_ID, FORMERLY_REGISTERED, REGISTERED_AT, REGISTERED_WITH};
use restate_crd::label::LATEST;
use restate_plan::{Patch, Registration, record_of};
use tokio::time::timeout;

use super::{Error, Executor, Rejection};
use crate::restates;

/// How long the first rehearsals may take. A connection that is begun before there is a route is tried again by the
/// kernel after 1, 3 and 7 s, however soon the route comes; one that is begun anew finds it.
const HASTY: [Duration; 3] =
    [Duration::from_millis(400), Duration::from_millis(800), Duration::from_millis(1600)];

impl Executor {
    /// Registers a version and records its id. The time is taken after the answer, so that only questions that
    /// were asked later count as knowing of it.
    pub(super) async fn register(&self, registration: &Registration) -> Result<(), Error> {
        let version = &registration.version;
        let key = format!("{} {}", version.uid, registration.uri);
        if let Some((rest, words)) = self.attempts.rest(&key) {
            return Err(Error::Resting { uri: registration.uri.clone(), words, rest });
        }
        let failed = |error: &restates::Error| self.unregistered(registration, &key, error);
        self.rehearse(registration).await.map_err(|error| failed(&error))?;
        let turn = self.turn(&registration.admin, ("Register", Duration::ZERO)).await?;
        self.is_still_due(registration, &key).await?;
        let id = self.restates.register(registration).await.map_err(|error| failed(&error))?;
        drop(turn);
        self.attempts.over(&key);
        let Registration { admin, former, .. } = registration;
        // An id is Restate's own: who gives the same one is the same, by another address.
        let mut former = former.clone();
        former.retain(|_, known| *known != id);
        let record = [
            (DEPLOYMENT_ID, Some(id.to_string())),
            (REGISTERED_AT, Some(Timestamp::now().to_string())),
            (REGISTERED_WITH, Some(admin.key.to_string())),
            (FORMERLY_REGISTERED, record_of(&former)),
        ];
        let record = record.map(|(key, value)| (key.to_owned(), value)).into();
        let mut patch =
            Patch { annotations: record, ..Patch::of(version.object.clone(), version.uid.clone()) };
        patch.labels.insert(LATEST.to_owned(), Some("true".to_owned()));
        self.patch(&patch).await?;
        self.restates.look_now(&registration.admin);
        Ok(())
    }

    /// By force, a service can be taken from somebody who registered it after the decision: routing is read once more,
    /// in our turn, with nothing but a call between the answer and the registration.
    async fn is_still_due(&self, registration: &Registration, key: &str) -> Result<(), Error> {
        let Registration { admin, force: Some(routes), version, .. } = registration else { return Ok(()) };
        match self.restates.routes(admin, routes.keys()).await {
            Ok(now) if now == *routes => Ok(()),
            Ok(_) => {
                self.restates.look_now(admin);
                Err(Error::Overtaken { object: Box::new(version.object.clone()) })
            }
            Err(error) => Err(self.unanswered(registration, key, &error)),
        }
    }

    async fn rehearse(&self, registration: &Registration) -> Result<(), restates::Error> {
        for deadline in HASTY {
            if let Ok(answer) = timeout(deadline, self.restates.rehearse(registration)).await {
                return answer;
            }
        }
        self.restates.rehearse(registration).await
    }

    fn unregistered(&self, registration: &Registration, key: &str, error: &restates::Error) -> Error {
        if let Some((code, message)) = error.final_rejection() {
            self.attempts.over(key);
            let rejection = Rejection { code, message };
            return Error::Rejected { registration: Box::new(registration.clone()), rejection };
        }
        self.unanswered(registration, key, error)
    }

    fn unanswered(&self, registration: &Registration, key: &str, error: &restates::Error) -> Error {
        let (uri, words) = (registration.uri.clone(), error.words());
        let rest = self.attempts.failed(key, &words);
        Error::Register { uri, words, rest }
    }
}
