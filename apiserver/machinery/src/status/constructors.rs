//! One constructor per refusal, in apimachinery's words.

use super::{Cause, Details, FieldError, Reason, Status};
use crate::request_info::RequestInfo;

/// The object that a refusal is about: the resource's plural, and a name unless a collection is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// API group.
    pub group: &'a str,
    /// Plural.
    pub resource: &'a str,
    /// Name, or nothing.
    pub name: &'a str,
}

impl Named<'_> {
    /// `resource.group "name"`, without what is empty.
    fn printed(&self) -> String {
        let Self { group, resource, name } = self;
        let dot = if group.is_empty() { "" } else { "." };
        let name = if name.is_empty() { String::new() } else { format!(" {name:?}") };
        format!("{resource}{dot}{group}{name}")
    }

    fn details(&self) -> Details {
        let Self { group, resource, name } = *self;
        Details {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: resource.to_owned(),
            ..Details::default()
        }
    }
}

impl<'a> From<&'a RequestInfo> for Named<'a> {
    fn from(info: &'a RequestInfo) -> Self {
        Self { group: &info.group, resource: &info.resource, name: info.name.as_deref().unwrap_or_default() }
    }
}

impl Status {
    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, message)
    }

    /// 401: nobody we know.
    pub fn unauthorized() -> Self {
        Self::new(Reason::Unauthorized, "Unauthorized")
    }

    /// 403, for a reason of our own.
    pub fn forbidden(object: Named<'_>, why: impl std::fmt::Display) -> Self {
        Self::about(Reason::Forbidden, object, format!("{} is forbidden: {why}", object.printed()))
    }

    /// 404: no such object.
    pub fn not_found(object: Named<'_>) -> Self {
        Self::about(Reason::NotFound, object, format!("{} not found", object.printed()))
    }

    /// 404: no such path.
    pub fn no_such_path() -> Self {
        let message = "the server could not find the requested resource";
        Self { details: Some(Box::default()), ..Self::new(Reason::NotFound, message) }
    }

    /// 405: the resource has no such verb; `hint` says what to use instead (E3, C7, C8).
    pub fn method_not_allowed(object: Named<'_>, verb: &str, hint: &str) -> Self {
        let what = Named { name: "", ..object };
        let tail = if hint.is_empty() { String::new() } else { format!(": {hint}") };
        let message = format!("{verb} is not supported on resources of kind {:?}{tail}", what.printed());
        Self::about(Reason::MethodNotAllowed, what, message)
    }

    /// 406: none of the types asked for.
    pub fn not_acceptable(offered: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", offered.join(", "));
        Self::new(Reason::NotAcceptable, message)
    }

    /// 409: it exists.
    pub fn already_exists(object: Named<'_>) -> Self {
        Self::about(Reason::AlreadyExists, object, format!("{} already exists", object.printed()))
    }

    /// 409: it is not in the state that the request needs.
    pub fn conflict(object: Named<'_>, why: impl std::fmt::Display) -> Self {
        let message = format!("Operation cannot be fulfilled on {}: {why}", object.printed());
        Self::about(Reason::Conflict, object, message)
    }

    /// 410: too old.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(Reason::Expired, message)
    }

    /// 413.
    pub fn too_large(message: impl std::fmt::Display) -> Self {
        Self::new(Reason::RequestEntityTooLarge, format!("Request entity too large: {message}"))
    }

    /// 415: the body is in a form that is not read here.
    pub fn unsupported_media_type(offered: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            offered.join(", ")
        );
        Self::new(Reason::UnsupportedMediaType, message)
    }

    /// 422: fields of an object of this kind are wrong (E8).
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let object = Named { group, resource: kind, name };
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let listed = match texts.as_slice() {
            [] => String::new(),
            [one] => format!(": {one}"),
            several => format!(": [{}]", several.join(", ")),
        };
        let dot = if group.is_empty() { "" } else { "." };
        let mut status =
            Self::about(Reason::Invalid, object, format!("{kind}{dot}{group} {name:?} is invalid{listed}"));
        status.details_mut().causes = errors.iter().map(FieldError::cause).collect();
        status
    }

    /// 429: not now.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::new(Reason::TooManyRequests, message).retry_after(retry_after_seconds)
    }

    /// 500: a fault of ours; the text is for the caller, the log needs its own.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        let mut status = Self::new(Reason::InternalError, format!("Internal error occurred: {message}"));
        status.details_mut().causes = vec![Cause { message: message.to_string(), ..Cause::default() }];
        status
    }

    /// 503: what is behind us does not answer (E10).
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Reason::ServiceUnavailable, message)
    }

    /// 504: it took too long (E10).
    pub fn timeout(message: impl std::fmt::Display, retry_after_seconds: u32) -> Self {
        Self::new(Reason::Timeout, format!("Timeout: {message}")).retry_after(retry_after_seconds)
    }

    /// 504: a version that we have not reached (R13).
    pub fn too_large_resource_version(requested: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {requested}, current: {current}");
        let mut status = Self::timeout(message, 1);
        status.details_mut().causes = vec![Cause {
            reason: "ResourceVersionTooLarge".to_owned(),
            message: "Too large resource version".to_owned(),
            field: String::new(),
        }];
        status
    }

    /// The same refusal, with the time after which to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.details_mut().retry_after_seconds = seconds;
        self
    }

    /// The same refusal, with one more cause.
    #[must_use]
    pub fn caused_by(mut self, cause: Cause) -> Self {
        self.details_mut().causes.push(cause);
        self
    }

    fn about(reason: Reason, object: Named<'_>, message: String) -> Self {
        Self { details: Some(Box::new(object.details())), ..Self::new(reason, message) }
    }
}
