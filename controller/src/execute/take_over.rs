//! Takes over the fields of an earlier controller: values stay, owners change.

use restate_plan::ownership::taken_over;
use restate_plan::{ObjectRef, Uid};
use serde_json::json;

use super::{Error, Executor, within};

impl Executor {
    /// Writes the record of owners anew, unless the object is another by now. That nothing is left to be taken over
    /// is what was wanted.
    pub(super) async fn take_over(&self, object: &ObjectRef, uid: &Uid) -> Result<(), Error> {
        let found = within(object, "get", self.api(object).get_opt(&object.name)).await?;
        let Some(found) = found.filter(|found| found.metadata.uid.as_ref() == Some(&uid.0)) else {
            return Err(Error::Overtaken { object: Box::new(object.clone()) });
        };
        let Some(owners) = taken_over(found.metadata.managed_fields.as_deref().unwrap_or_default()) else {
            return self.look(object).await;
        };
        let version = &found.metadata.resource_version;
        let metadata = json!({"uid": uid.0, "resourceVersion": version, "managedFields": owners});
        self.merge(object, &json!({"metadata": metadata})).await
    }
}
