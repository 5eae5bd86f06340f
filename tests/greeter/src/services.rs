//! The three services. Each answer begins with the version that gave it.

#![expect(deprecated, reason = "only the trait form lets a service's name be chosen at run time")]

use std::convert::Infallible;
use std::time::Duration;

use restate_sdk::prelude::*;

const COUNT: &str = "count";
const FINISH: &str = "finish";

/// What serves all three: it knows only which version it is.
#[derive(Clone)]
pub(crate) struct Versioned {
    pub(crate) version: String,
}

#[restate_sdk::service]
pub(crate) trait Greeter {
    /// `v1: hello NAME`, at once.
    async fn greet(name: String) -> Result<String, Infallible>;
    /// Sleeps that many seconds, durably, a second at a time.
    async fn slow(seconds: u32) -> Result<String, HandlerError>;
    /// Fails at every attempt before the first journal entry: no version is pinned.
    async fn fail(reason: String) -> Result<String, HandlerError>;
    /// Fails at every attempt after the first journal entry: the version is pinned.
    async fn stumble(reason: String) -> Result<String, HandlerError>;
}

#[restate_sdk::object]
pub(crate) trait Counter {
    async fn add(amount: u64) -> Result<u64, HandlerError>;
    /// Adds one, and holds the object's lock that many seconds: callers behind it are inboxed.
    async fn hold(seconds: u32) -> Result<u64, HandlerError>;
    #[shared]
    async fn get() -> Result<u64, HandlerError>;
}

#[restate_sdk::workflow]
pub(crate) trait Job {
    /// Ends when `finish` is called with the same key, however long that takes.
    async fn run(name: String) -> Result<String, HandlerError>;
    #[shared]
    async fn finish(word: String) -> Result<(), HandlerError>;
}

impl Greeter for Versioned {
    async fn greet(&self, _: Context<'_>, name: String) -> Result<String, Infallible> {
        Ok(format!("{}: hello {name}", self.version))
    }

    async fn slow(&self, context: Context<'_>, seconds: u32) -> Result<String, HandlerError> {
        for _ in 0..seconds {
            context.sleep(Duration::from_secs(1)).await?;
        }
        Ok(format!("{}: slept {seconds} s", self.version))
    }

    async fn fail(&self, _: Context<'_>, reason: String) -> Result<String, HandlerError> {
        Err(format!("{}: {reason}", self.version).into())
    }

    async fn stumble(&self, context: Context<'_>, reason: String) -> Result<String, HandlerError> {
        context.sleep(Duration::from_millis(1)).await?;
        Err(format!("{}: {reason}", self.version).into())
    }
}

impl Counter for Versioned {
    async fn add(&self, context: ObjectContext<'_>, amount: u64) -> Result<u64, HandlerError> {
        let count = context.get::<u64>(COUNT).await?.unwrap_or(0).saturating_add(amount);
        context.set(COUNT, count);
        Ok(count)
    }

    async fn hold(&self, context: ObjectContext<'_>, seconds: u32) -> Result<u64, HandlerError> {
        context.sleep(Duration::from_secs(seconds.into())).await?;
        self.add(context, 1).await
    }

    async fn get(&self, context: SharedObjectContext<'_>) -> Result<u64, HandlerError> {
        Ok(context.get::<u64>(COUNT).await?.unwrap_or(0))
    }
}

impl Job for Versioned {
    async fn run(&self, context: WorkflowContext<'_>, name: String) -> Result<String, HandlerError> {
        let word = context.promise::<String>(FINISH).await?;
        Ok(format!("{}: {name} {word}", self.version))
    }

    async fn finish(&self, context: SharedWorkflowContext<'_>, word: String) -> Result<(), HandlerError> {
        context.resolve_promise(FINISH, word);
        Ok(())
    }
}
