//! What is remembered of a running lab, so that any later run, from any clone, can find, judge and mend it.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Result,
    args::{Kubernetes, PortOptions, Ports},
    places::StateDir,
    tools::Tools,
};

/// Raised when a lab of an earlier format cannot be mended, only taken down.
const FORMAT: u32 = 1;

/// The file `lab.json`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Record {
    format: u32,
    /// Which Kubernetes it runs.
    pub kubernetes: Kubernetes,
    /// On which ports.
    pub ports: Ports,
    /// Which programs it runs.
    pub tools: Tools,
    /// The clone that started it.
    pub directory: PathBuf,
    /// Since when.
    pub since: Timestamp,
    /// Kernel settings as they were before.
    pub settings: BTreeMap<String, String>,
}

/// What is there, seen from what is wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Found {
    /// No lab.
    Nothing,
    /// A lab that can be mended: what differs is restarted.
    Usable(Box<Record>),
    /// A lab that has to be taken down first, and why.
    Unusable(String),
}

impl Record {
    /// A new lab.
    pub fn new(kubernetes: Kubernetes, ports: Ports, tools: Tools) -> Self {
        let directory = std::env::current_dir().unwrap_or_default();
        let (since, settings) = (Timestamp::now(), BTreeMap::new());
        Self { format: FORMAT, kubernetes, ports, tools, directory, since, settings }
    }

    /// The same lab with these programs.
    #[must_use]
    pub fn with_tools(self, tools: &Tools) -> Self {
        Self { tools: tools.clone(), ..self }
    }

    /// The lab that this state directory holds.
    pub fn read(state: &StateDir) -> Option<Self> {
        let record: Self = serde_json::from_slice(&fs::read(state.record()).ok()?).ok()?;
        (record.format == FORMAT).then_some(record)
    }

    /// Remembers it.
    pub fn write(&self, state: &StateDir) -> Result<()> {
        let path = state.record();
        let text = serde_json::to_string_pretty(self)?;
        let unfinished = path.with_extension("new");
        fs::write(&unfinished, text)
            .and_then(|()| fs::rename(&unfinished, &path))
            .with_context(|| format!("failed to write {}", path.display()))
    }
}

/// Compares the lab that is there with the wanted one.
pub(super) fn find(state: &StateDir, kubernetes: Kubernetes, ports: PortOptions) -> Found {
    if !state.path().exists() {
        return Found::Nothing;
    }
    match Record::read(state) {
        None => Found::Unusable("it was left by another version of the lab, or half made".to_owned()),
        Some(record) if record.kubernetes != kubernetes => {
            Found::Unusable(format!("it runs Kubernetes {}, wanted is {kubernetes}", record.kubernetes))
        }
        Some(record) if record.ports != ports.over(record.ports) => {
            Found::Unusable("it runs on other ports".to_owned())
        }
        Some(record) => Found::Usable(Box::new(record)),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const PORTS: Ports = Ports { api_port: 1, etcd_port: 2, etcd_peer_port: 3, kubelet_port: 4 };
    const NO_PORT: PortOptions =
        PortOptions { api_port: None, etcd_port: None, etcd_peer_port: None, kubelet_port: None };

    fn state(record: Option<&str>) -> (tempfile::TempDir, StateDir) {
        let place = tempfile::tempdir().expect("a directory");
        let state = StateDir::at(place.path().to_owned());
        let written = Record::new(Kubernetes::V1_36, PORTS, Tools::at(BTreeMap::new()));
        match record {
            None => written.write(&state).expect("written"),
            Some(text) => fs::write(state.record(), text).expect("written"),
        }
        (place, state)
    }

    #[rstest]
    #[case::no_port_named(NO_PORT)]
    #[case::the_same_port_named(PortOptions { api_port: Some(1), ..NO_PORT })]
    fn the_same_lab_is_used(#[case] ports: PortOptions) {
        let (_place, state) = state(None);
        assert!(matches!(find(&state, Kubernetes::V1_36, ports), Found::Usable(_)));
    }

    #[rstest]
    #[case::other_kubernetes(Kubernetes::V1_34, NO_PORT)]
    #[case::other_ports(Kubernetes::V1_36, PortOptions { api_port: Some(9), ..NO_PORT })]
    fn another_lab_is_not(#[case] kubernetes: Kubernetes, #[case] ports: PortOptions) {
        let (_place, state) = state(None);
        assert!(matches!(find(&state, kubernetes, ports), Found::Unusable(_)));
    }

    #[rstest]
    #[case::cut_off("{\"format\": 1,")]
    #[case::empty("")]
    #[case::later_format(r#"{"format": 99}"#)]
    fn what_cannot_be_read_is_taken_down(#[case] text: &str) {
        let (_place, state) = state(Some(text));
        assert!(matches!(find(&state, Kubernetes::V1_36, NO_PORT), Found::Unusable(_)));
    }

    #[test]
    fn no_directory_is_no_lab() {
        let nowhere = StateDir::at("/nowhere/at/all".into());
        assert_eq!(find(&nowhere, Kubernetes::V1_36, NO_PORT), Found::Nothing);
    }
}
