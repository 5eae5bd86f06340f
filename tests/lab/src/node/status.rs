//! What runs, where, and since when.

use std::{fmt::Write as _, time::Duration};

use strum::IntoEnumIterator;

use super::{
    Component, Node,
    boot::site,
    launch::{launch, ports},
    record::Record,
    site::Site,
};
use crate::{Context, Result, process::Presence};

/// One component as it is.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    component: Component,
    presence: Presence,
    process: Option<i32>,
    ports: Vec<u16>,
}

/// The text of `cargo lab status`.
pub async fn status(context: &Context) -> Result<String> {
    let Some(record) = Record::read(&context.state) else {
        return Ok("No lab is there. `cargo lab up` makes one.\n".to_owned());
    };
    let site = site(context, &record)?;
    let seen: Vec<Seen> = Component::iter().map(|component| look(&site, component)).collect();
    let mut text = heading(context, &record);
    seen.iter().filter(|seen| seen.is_worth_a_line()).for_each(|seen| seen.write(&mut text));
    let answer = tokio::time::timeout(Duration::from_secs(10), pods(&Node::of(&site))).await;
    text +=
        &answer.unwrap_or_else(|_| "\nThe API server does not answer: `cargo lab up` mends it.\n".to_owned());
    Ok(text)
}

fn look(site: &Site, component: Component) -> Seen {
    let daemon = site.daemon(component);
    let process = daemon.running().map(|identity| identity.pid);
    let presence = daemon.presence(&launch(site, component));
    Seen { component, presence, process, ports: ports(site, component) }
}

fn heading(context: &Context, record: &Record) -> String {
    let Record { kubernetes, since, directory, .. } = record;
    format!(
        "Kubernetes {kubernetes}, made from {} at {since}\nkubeconfig: {}\nlogs:       {}\n\n",
        directory.display(),
        context.state.kubeconfig().display(),
        context.state.logs().display()
    )
}

async fn pods(node: &Node) -> String {
    match node.kubectl(["get", "nodes,pods", "--all-namespaces", "--no-headers"]).text().await {
        Ok(table) => format!("\n{table}"),
        Err(error) => format!("\n{error}\n`cargo lab up` mends it.\n"),
    }
}

impl Seen {
    /// kwok runs for some tests only.
    fn is_worth_a_line(&self) -> bool {
        self.component != Component::Kwok || self.presence != Presence::Absent
    }

    fn write(&self, text: &mut String) {
        let Self { component, presence, process, ports } = self;
        let state = match presence {
            Presence::Running => "running",
            Presence::Outdated => "running, to be restarted by `up`",
            Presence::Ended => "ended; `up` starts it again",
            Presence::Absent => "not started",
        };
        let process = process.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:<26}{process:<9}{ports:<13}{state}", component.name());
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn seen(component: Component, presence: Presence) -> Seen {
        let process = (presence == Presence::Running).then_some(42);
        Seen { component, presence, process, ports: vec![2379, 2380] }
    }

    #[test]
    fn a_line_says_what_to_do() {
        let mut text = String::new();
        for presence in [Presence::Running, Presence::Outdated, Presence::Ended, Presence::Absent] {
            seen(Component::Etcd, presence).write(&mut text);
        }
        insta::assert_snapshot!(text, @"
        etcd                      42       2379,2380    running
        etcd                      -        2379,2380    running, to be restarted by `up`
        etcd                      -        2379,2380    ended; `up` starts it again
        etcd                      -        2379,2380    not started
        ");
    }

    #[rstest]
    #[case::never_started(Component::Kwok, Presence::Absent, false)]
    #[case::killed(Component::Kwok, Presence::Ended, true)]
    #[case::needed_by_all(Component::Kubelet, Presence::Absent, true)]
    fn kwok_is_shown_when_it_was_asked_for(
        #[case] component: Component,
        #[case] presence: Presence,
        #[case] expected: bool,
    ) {
        assert_eq!(seen(component, presence).is_worth_a_line(), expected);
    }
}
