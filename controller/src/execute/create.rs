//! Creation that never takes what exists.

use std::time::Duration;

use kube::api::PostParams;
use restate_plan::{Manager, Object};

use super::apply::encode;
use super::{Error, Executor, within};

impl Executor {
    /// Creates the object. Where the name is taken, what has it is looked at, so that the next plan sees it.
    pub(super) async fn create(&self, object: &Object) -> Result<(), Error> {
        let reference = object.reference();
        let desired = encode(object)?;
        let manager: &'static str = Manager::Operator.into();
        let params = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
        let api = self.api(&reference);
        let _turn = self.addresses.turn(&reference).await?;
        // The Lease may have gone while we waited.
        self.still("Create", Duration::ZERO)?;
        let result = self.answered(&reference, "create", api.create(&params, &desired)).await;
        if matches!(result, Err(Error::Overtaken { .. })) {
            let found = within(&reference, "get", api.get_opt(&reference.name)).await?;
            if let Some(found) = found {
                self.stores.absorb(found);
            }
        }
        result
    }
}
