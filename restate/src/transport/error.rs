//! Why a question to an admin API has no answer.
//!
//! Invariant: no text here holds a header or a token, so that it may be shown in conditions and logs.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use restate_model::FailureKind;
use serde::Deserialize;

/// A condition's message is for people: more than this is noise.
const MESSAGE: usize = 2_000;
/// Restate says in a line why it cannot read a request.
const PLAIN: usize = 300;
/// Codes after which the same registration is refused for ever: it needs another service or another request.
/// META0003 (no discovery), META0014 (perhaps only HTTP/1.1) and META0017 (two deployments at one address) may pass.
const FINAL_CODES: [&str; 6] = ["META0004", "META0006", "META0012", "META0013", "META0015", "META0016"];

/// Why there is no answer.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
pub enum Error {
    /// No connection, or a host that the policy refuses.
    #[error("no connection")]
    Unreachable(#[source] reqwest::Error),
    /// Not answered in time.
    #[error("no answer within {} s", .after.as_secs_f32())]
    TimedOut {
        /// The deadline.
        after: Duration,
    },
    /// The connection broke before the answer was complete.
    #[error("the answer broke off")]
    Broken(#[source] reqwest::Error),
    /// More than anybody wants to keep in memory.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Complete, but not what was asked for.
    #[error("the answer is not what was asked for")]
    Shape(#[source] serde_json::Error),
    /// Complete and well-formed, but something that must be in it is not.
    #[error("the answer lacks {0}")]
    Lacks(&'static str),
    /// Sent elsewhere; redirects are not followed.
    #[error("the answer is a redirect ({status}), which is not followed")]
    Redirected {
        /// The status.
        status: StatusCode,
    },
    /// The path is none.
    #[error("the request's path is malformed")]
    Path(#[source] url::ParseError),
    /// Restate, or what stands before it, said no.
    #[error(transparent)]
    Refused(Refused),
}

/// An answer that says no, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// HTTP status. It alone does not tell what may pass: an endpoint that cannot be reached is a 500 too.
    pub status: StatusCode,
    /// Restate's own code, as `META0006`.
    pub code: Option<String>,
    /// Restate's own words.
    pub message: String,
}

#[derive(Deserialize)]
struct Body {
    message: String,
    restate_code: Option<String>,
}

impl Refused {
    pub(super) fn read(status: StatusCode, body: &Bytes) -> Self {
        match serde_json::from_slice(body) {
            Ok(Body { message, restate_code }) => {
                Self { status, code: restate_code, message: short(&message, MESSAGE) }
            }
            Err(_) => Self { status, code: None, message: plain(status, body) },
        }
    }

    /// Whether the same request will be refused for ever.
    pub fn is_final(&self) -> bool {
        match self.code.as_deref() {
            // As a 400 it means a reserved name; otherwise that metadata could not be stored, which may pass.
            Some("META0005") => self.status == StatusCode::BAD_REQUEST,
            Some(code) => FINAL_CODES.contains(&code),
            None if self.names_a_limit() => false,
            None => matches!(self.status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY),
        }
    }

    /// The limit of deployments (`admin.num-deployments-limit`) has no code of its own: only the words tell, and room may
    /// be made.
    fn names_a_limit(&self) -> bool {
        self.message.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == "limit")
    }
}

impl Error {
    pub(super) fn sending(error: reqwest::Error) -> Self {
        if error.is_connect() {
            return Self::Unreachable(error);
        }
        if error.is_timeout() {
            return Self::TimedOut { after: super::CONNECT };
        }
        Self::Broken(error)
    }

    /// Whether the same request will be refused for ever.
    pub fn is_final(&self) -> bool {
        self.refused().is_some_and(Refused::is_final)
    }

    /// What Restate said, where it said no.
    pub fn refused(&self) -> Option<&Refused> {
        if let Self::Refused(refused) = self { Some(refused) } else { None }
    }

    /// The kind of failure, for conditions and metrics.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Unreachable(_) => FailureKind::Unreachable,
            Self::TimedOut { .. } => FailureKind::TimedOut,
            Self::Broken(_) | Self::TooLarge { .. } | Self::Shape(_) | Self::Lacks(_) => {
                FailureKind::Malformed
            }
            Self::Refused(refused) if refused.status.is_server_error() => FailureKind::Unavailable,
            Self::Refused(_) | Self::Redirected { .. } | Self::Path(_) => FailureKind::Refused,
        }
    }

    /// The whole chain of causes in one line, for people.
    pub fn words(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        short(&text, MESSAGE)
    }
}

/// Restate refuses in plain text only what it cannot read. Any other text is somebody else's, and not for whoever
/// named the address.
fn plain(status: StatusCode, body: &Bytes) -> String {
    let may_be_restates = matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY);
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if may_be_restates && !text.is_empty() { short(text, PLAIN) } else { status.to_string() }
}

fn short(text: &str, most: usize) -> String {
    let visible = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    visible.take(most).collect()
}
