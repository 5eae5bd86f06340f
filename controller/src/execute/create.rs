//! Creation that never takes what exists.

use std::time::Duration;

use kube::api::PostParams;
use restate_plan::{Manager, Object};

use super::apply::encode;
use super::{Error, Executor, requests};

impl Executor {
    /// Creates the object. Where the name is taken, what has it is looked at, so that the next plan sees it.
    pub(super) async fn create(&self, object: &Object) -> Result<(), Error> {
        let reference = object.reference();
        let desired = encode(object)?;
        let manager: &'static str = Manager::Operator.into();
        let params = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
        let _turn = self.addresses.turn(&reference).await?;
        // The Lease may have gone while we waited.
        self.still("Create", Duration::ZERO)?;
        let request = requests(&reference).create(&params, desired.get().as_bytes().to_vec());
        let result = self.answered(&reference, "create", request).await;
        if matches!(result, Err(Error::Overtaken { .. })) {
            self.look(&reference).await?;
        }
        result
    }
}
