//! Registration, and its record: what Restate answered is on the version's object before anything else happens.

use jiff::Timestamp;
use restate_crd::annotation::{DEPLOYMENT_ID, REGISTERED_AT};
use restate_crd::label::LATEST;
use restate_plan::{Patch, Registration};

use super::{Error, Executor, Rejection};
use crate::restates;

impl Executor {
    /// Registers a version and records its id. The time is taken after the answer, so that only questions that
    /// were asked later count as knowing of it.
    pub(super) async fn register(&self, registration: &Registration) -> Result<(), Error> {
        let version = &registration.version;
        let key = format!("{} {}", version.uid, registration.uri);
        if let Some((rest, words)) = self.attempts.rest(&key) {
            return Err(Error::Resting { uri: registration.uri.clone(), words, rest });
        }
        let id = match self.restates.register(registration).await {
            Ok(id) => id,
            Err(error) => return Err(self.unregistered(registration, &key, &error)),
        };
        self.attempts.over(&key);
        let record = [(DEPLOYMENT_ID, id.to_string()), (REGISTERED_AT, Timestamp::now().to_string())];
        let record = record.map(|(key, value)| (key.to_owned(), Some(value))).into();
        let mut patch =
            Patch { annotations: record, ..Patch::of(version.object.clone(), version.uid.clone()) };
        patch.labels.insert(LATEST.to_owned(), Some("true".to_owned()));
        self.patch(&patch).await?;
        self.restates.look_now(&registration.admin);
        Ok(())
    }

    fn unregistered(&self, registration: &Registration, key: &str, error: &restates::Error) -> Error {
        if let Some((code, message)) = error.final_rejection() {
            self.attempts.over(key);
            let rejection = Rejection { code, message };
            return Error::Rejected { registration: Box::new(registration.clone()), rejection };
        }
        let (uri, words) = (registration.uri.clone(), error.words());
        let rest = self.attempts.failed(key, &words);
        Error::Register { uri, words, rest }
    }
}
