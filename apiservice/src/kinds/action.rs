//! What can be done to one invocation, and what came of it: the kinds of `restateinvocations/{cancel,kill,purge,
//! pause,resume,restart}`.

use apiserver_kind::{Cell, Column, Gvk, Kind, Row};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};

use super::invocation::InvocationState;

/// Cancels, kills, purges or pauses the invocation that the path names; there is nothing to say about how. `{}` is
/// enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RestateInvocationAction {
    /// The name is that of the invocation.
    pub metadata: ObjectMeta,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<RestateInvocationActionStatus>,
}

/// Lets the invocation that the path names go on. `{}` is enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RestateInvocationResume {
    /// The name is that of the invocation.
    pub metadata: ObjectMeta,
    /// How it goes on.
    pub spec: RestateInvocationResumeSpec,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<RestateInvocationActionStatus>,
}

/// How an invocation goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RestateInvocationResumeSpec {
    /// Where: `Keep` (where it is pinned, also if nothing is said), `Latest` (where new calls go), or the name of a
    /// RestateDeploymentVersion of the same RestateDeployment. Only a paused or suspended invocation can move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Begins a new invocation with the input of the completed one that the path names. `{}` is enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RestateInvocationRestart {
    /// The name is that of the completed invocation.
    pub metadata: ObjectMeta,
    /// How the new one begins.
    pub spec: RestateInvocationRestartSpec,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<RestateInvocationActionStatus>,
}

/// How a new invocation begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RestateInvocationRestartSpec {
    /// The last journal entry of the completed invocation that the new one keeps. Only its input, unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_entry: Option<u32>,
    /// Where, together with `fromEntry`: `Keep`, `Latest` (also if nothing is said), or the name of a
    /// RestateDeploymentVersion of the same RestateDeployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What came of an action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestateInvocationActionStatus {
    /// What was asked for.
    pub action: InvocationAction,
    /// Whether it is done, will be, or only would be.
    pub outcome: ActionOutcome,
    /// The state that the invocation was in before.
    pub state: InvocationState,
    /// The same in words.
    pub message: String,
    /// The invocation that a restart began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_invocation: Option<String>,
}

/// What can be done to an invocation.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, AsRefStr, Display,
)]
pub enum InvocationAction {
    /// Its handler is told to end, and undoes what it has to.
    #[default]
    Cancel,
    /// It ends at once.
    Kill,
    /// What is kept of a completed one is forgotten.
    Purge,
    /// It makes no further attempt until it is resumed.
    Pause,
    /// It goes on.
    Resume,
    /// A new one begins with the same input.
    Restart,
}

/// Whether an action is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, AsRefStr)]
pub enum ActionOutcome {
    /// Nothing was done, and nothing speaks against it.
    #[default]
    DryRun,
    /// Restate has taken it and does it soon.
    Accepted,
    /// It is done.
    Done,
}

/// An object that asks for an action.
pub trait AsksForAction: Kind {
    /// Takes what came of it.
    fn set_status(&mut self, status: RestateInvocationActionStatus);
}

const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::text("Action", "What was asked for."),
    Column::text("Outcome", "Whether it is done."),
    Column::text("Message", "The same in words."),
];

fn row(metadata: &ObjectMeta, status: Option<&RestateInvocationActionStatus>) -> Row {
    vec![
        Cell::from(metadata.name.clone()),
        Cell::from(status.map(|status| status.action.as_ref())),
        Cell::from(status.map(|status| status.outcome.as_ref())),
        Cell::from(status.map(|status| status.message.as_str())),
    ]
}

macro_rules! asks_for_action {
    ($kind:ident) => {
        impl Kind for $kind {
            const GVK: Gvk = super::gvk(stringify!($kind));
            const COLUMNS: &'static [Column] = COLUMNS;

            fn metadata(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn metadata_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }

            fn row(&self) -> Row {
                row(&self.metadata, self.status.as_ref())
            }
        }

        impl AsksForAction for $kind {
            fn set_status(&mut self, status: RestateInvocationActionStatus) {
                self.status = Some(status);
            }
        }
    };
}

asks_for_action!(RestateInvocationAction);
asks_for_action!(RestateInvocationResume);
asks_for_action!(RestateInvocationRestart);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_has_to_be_said() {
        let empty = || json!({});
        assert_eq!(
            serde_json::from_value::<RestateInvocationAction>(empty()).unwrap(),
            RestateInvocationAction::default()
        );
        let resume: RestateInvocationResume = serde_json::from_value(empty()).unwrap();
        let restart: RestateInvocationRestart = serde_json::from_value(empty()).unwrap();
        assert_eq!((resume.spec.version, restart.spec.from_entry), (None, None));
    }

    #[test]
    fn field_names_are_the_contract() {
        let mut restart = RestateInvocationRestart {
            spec: RestateInvocationRestartSpec { from_entry: Some(2), version: Some("Latest".into()) },
            ..RestateInvocationRestart::default()
        };
        restart.set_status(RestateInvocationActionStatus {
            action: InvocationAction::Restart,
            outcome: ActionOutcome::Done,
            state: InvocationState::Completed,
            message: "restarted".into(),
            new_invocation: Some("inv_2".into()),
        });
        assert_eq!(restart.row().len(), RestateInvocationRestart::COLUMNS.len());
        insta::assert_json_snapshot!(restart);
    }
}
