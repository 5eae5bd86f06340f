//! Registration, and its record: what Restate answered is on the version's object before anything else happens.

use jiff::Timestamp;
use restate_crd::annotation::{DEPLOYMENT_ID, REGISTERED_AT};
use restate_plan::Registration;

use super::{Error, Executor, Rejection};
use crate::restates;

impl Executor {
    /// Registers a version and records its id. The time is taken after the answer, so that only questions that
    /// were asked later count as knowing of it.
    pub(super) async fn register(&self, registration: &Registration) -> Result<(), Error> {
        let id = match self.restates.register(registration).await {
            Ok(id) => id,
            Err(error) => return Err(failure(registration, error)),
        };
        let record = [(DEPLOYMENT_ID, id.to_string()), (REGISTERED_AT, Timestamp::now().to_string())];
        let record = record.map(|(key, value)| (key.to_owned(), Some(value))).into();
        let version = &registration.version;
        self.annotate(&version.object, &version.uid, &record).await?;
        self.restates.look_now(&registration.admin);
        Ok(())
    }
}

fn failure(registration: &Registration, error: restates::Error) -> Error {
    match error.final_rejection() {
        Some((code, message)) => {
            let rejection = Rejection { code, message };
            Error::Rejected { registration: Box::new(registration.clone()), rejection }
        }
        None => Error::Register { uri: registration.uri.clone(), source: Box::new(error) },
    }
}
