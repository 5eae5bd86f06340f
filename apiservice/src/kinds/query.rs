//! `RestateQuery`: one read-only SQL question to the Restate of a RestateCluster.

use apiserver_kind::{Cell, Column, Descriptor, Gvk, Kind, Resource, Row, Scope, Verb};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Asks Restate one read-only SQL question. Created, never stored: the answer stands in the status of what `create`
/// gives back. `--dry-run=server` has the question planned and does not ask it. Answers may hold payloads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RestateQuery {
    /// A name or a generateName; nothing is kept under it.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// The question.
    #[serde(default)]
    pub spec: RestateQuerySpec,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RestateQueryStatus>,
}

/// A question, and how much the answer may cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["cluster", "query"]))]
pub struct RestateQuerySpec {
    /// The RestateCluster that is asked.
    pub cluster: String,
    /// One SELECT or WITH statement over Restate's introspection tables.
    pub query: String,
    /// How much the answer may cost.
    pub limits: RestateQueryLimits,
}

/// How much an answer may cost; what is left out has a default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RestateQueryLimits {
    /// The most rows. 1000 unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub rows: Option<u32>,
    /// The most bytes of Restate's answer that are read. 1048576 unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 8_388_608))]
    pub bytes: Option<u32>,
    /// The most seconds until the whole answer is there. 10 unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 30))]
    pub seconds: Option<u32>,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RestateQueryStatus {
    /// Names of the columns, in the order of the statement. A column that is null in every row is not among them.
    pub columns: Vec<String>,
    /// The rows; a null is left out.
    pub rows: Vec<Map<String, Value>>,
    /// How many rows there are here.
    pub row_count: u32,
    /// Whether a limit cut the answer.
    pub truncated: bool,
    /// The limit that cut it: `rows` or `bytes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncated_by: Option<String>,
    /// How long it took, in milliseconds.
    pub took_milliseconds: u32,
    /// When Restate was asked. Absent after a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
    /// Hash of the statement, as the audit log has it.
    pub statement_hash: String,
}

impl Kind for RestateQuery {
    const GVK: Gvk = super::gvk("RestateQuery");
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Cluster", "RestateCluster that was asked."),
        Column::integer("Rows", "Rows of the answer."),
        Column::boolean("Truncated", "Whether a limit cut the answer."),
        Column::integer("Milliseconds", "How long it took."),
    ];

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn row(&self) -> Row {
        let status = self.status.as_ref();
        vec![
            Cell::from(self.metadata.name.clone()),
            Cell::from(self.spec.cluster.as_str()),
            Cell::from(status.map(|status| status.row_count)),
            Cell::from(status.map(|status| status.truncated)),
            Cell::from(status.map(|status| status.took_milliseconds)),
        ]
    }
}

impl Resource for RestateQuery {
    const DESCRIPTOR: Descriptor =
        Descriptor::new(Self::GVK, ("restatequeries", "restatequery"), Scope::Cluster, &[Verb::Create]);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn c2_what_is_asked_comes_back_with_its_answer() {
        let asked = json!({
            "metadata": {"generateName": "q-"},
            "spec": {"cluster": "prod", "query": "select 1 as n", "limits": {"rows": 5}},
        });
        let mut query: RestateQuery = serde_json::from_value(asked.clone()).unwrap();
        assert_eq!(serde_json::to_value(&query).unwrap(), asked);
        let row = json!({"n": 1});
        query.status = Some(RestateQueryStatus {
            columns: vec!["n".into()],
            rows: vec![row.as_object().cloned().unwrap()],
            row_count: 1,
            ..RestateQueryStatus::default()
        });
        assert_eq!(query.row().len(), RestateQuery::COLUMNS.len());
        insta::assert_json_snapshot!(query);
    }

    #[test]
    fn o8_the_schema_says_what_must_be_given() {
        let schema = schemars::schema_for!(RestateQuerySpec);
        assert_eq!(schema.get("required"), Some(&json!(["cluster", "query"])));
    }
}
