//! A service whose every step leaves a mark in a ledger that Restate knows nothing of: who compares both can tell
//! whether each step had its effect, and which version did it.

#![expect(deprecated, reason = "only the trait form lets a service's name be chosen at run time")]

use std::time::Duration;

use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::ledger::{Ledger, Mark};

const COUNT: &str = "count";

/// What a call is to do.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Walk {
    /// The caller's name for this call.
    key: String,
    /// How many effects it has.
    steps: u32,
    /// Between two of them.
    pause_millis: u64,
    /// Whether it waits after the first one until it is told to go on.
    waits: bool,
}

/// What a call did.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Walked {
    /// The version that answered.
    version: String,
    /// Its effects.
    marks: Vec<Mark>,
    /// How many calls this object has answered.
    count: u64,
}

/// What serves it.
#[derive(Clone)]
pub(crate) struct Walker {
    pub(crate) version: String,
    pub(crate) ledger: Ledger,
}

#[restate_sdk::object]
pub(crate) trait Trail {
    /// Takes its steps, one after the other, while it holds the object's lock.
    async fn walk(walk: Json<Walk>) -> Result<Json<Walked>, HandlerError>;
}

impl Trail for Walker {
    async fn walk(&self, context: ObjectContext<'_>, walk: Json<Walk>) -> Result<Json<Walked>, HandlerError> {
        let walk = walk.into_inner();
        self.ledger.begin(&walk.key, &self.version).await?;
        let mut marks = Vec::new();
        for step in 0..walk.steps {
            let (ledger, key, version) = (self.ledger.clone(), walk.key.clone(), self.version.clone());
            let effect = context.run(|| async move { Ok(Json(ledger.mark(&key, step, &version).await?)) });
            marks.push(effect.name("mark").await?.into_inner());
            if walk.waits && step == 0 {
                self.wait(&context, &walk).await?;
            }
            if step + 1 < walk.steps {
                context.sleep(Duration::from_millis(walk.pause_millis)).await?;
            }
        }
        let count = context.get::<u64>(COUNT).await?.unwrap_or(0).saturating_add(1);
        context.set(COUNT, count);
        Ok(Json(Walked { version: self.version.clone(), marks, count }))
    }
}

impl Walker {
    async fn wait(&self, context: &ObjectContext<'_>, walk: &Walk) -> Result<(), HandlerError> {
        let (id, told) = context.awakeable::<String>();
        let (ledger, key) = (self.ledger.clone(), walk.key.clone());
        context.run(|| async move { Ok(ledger.offer(&key, &id).await?) }).name("offer").await?;
        told.await?;
        Ok(())
    }
}
