//! What a handler may know of the request, and whom it may ask.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::{
    audit::Note,
    authz::{Attributes, Authorizer, forbidden},
    request_info::RequestInfo,
    serve::warnings::Warnings,
    status::{Named, Status},
    user::User,
};

/// One request, as handlers see it.
#[derive(Clone)]
pub struct Call {
    /// What it is about.
    pub info: RequestInfo,
    /// Who asks.
    pub user: User,
    /// Warnings for the caller.
    pub warnings: Warnings,
    pub(crate) access: Option<Arc<dyn SubAccess>>,
    pub(crate) note: Option<Note>,
}

impl Call {
    /// Name of the object (of the parent, for subresources).
    pub fn name(&self) -> &str {
        self.info.name.as_deref().unwrap_or_default()
    }

    /// Namespace of the object.
    pub fn namespace(&self) -> Option<&str> {
        self.info.namespace.as_deref()
    }

    /// The undecoded path below the subresource.
    pub fn rest(&self) -> &str {
        self.info.rest.as_deref().unwrap_or_default()
    }

    /// 404 for the object of the call.
    pub fn not_found(&self) -> Status {
        Status::not_found(Named::from(&self.info))
    }

    /// Adds a fact to the request's line in the audit log: never a value that the caller sent (C12).
    pub fn annotate(&self, key: impl Into<String>, value: impl Into<String>) {
        if let Some(note) = &self.note {
            note.annotate(key, value);
        }
    }

    /// Whether the caller may also do this: a second check, beyond the one that the request passed (Z8, Z12).
    pub async fn may(&self, attributes: &Attributes) -> Result<(), Status> {
        match &self.access {
            Some(access) => access.check(&self.user, attributes).await,
            None => Err(Status::internal("nobody can tell who may do this")),
        }
    }
}

/// Answers a handler's own questions about access.
pub trait SubAccess: Send + Sync + 'static {
    /// Refuses what the user may not do.
    fn check<'a>(&'a self, user: &'a User, attributes: &'a Attributes) -> BoxFuture<'a, Result<(), Status>>;
}

impl SubAccess for Authorizer {
    fn check<'a>(&'a self, user: &'a User, attributes: &'a Attributes) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let decision = Self::check(self, user, attributes).await.map_err(|error| {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "failed to authorize a second time"
                );
                Status::internal("access could not be reviewed")
            })?;
            forbidden::unless_allowed(user, attributes, &decision).map_err(|status| *status)
        })
    }
}

/// Whether objects can be made in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// They can.
    Active,
    /// It is going away.
    Terminating,
    /// It is not there.
    Absent,
}

/// Knows the namespaces: admission of kube-apiserver does not run for kinds served here (C16).
pub trait Namespaces: Send + Sync + 'static {
    /// The phase of this namespace.
    fn phase<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, Result<Phase, Status>>;
}
