//! Takes the node down. Nothing is left: no process, no mount, no link, no packet rule, no file. Each stage works
//! from what is there, not from what should be, so that it also cleans up after a half-made or broken lab.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;

use super::{
    Component, Node, network, owner,
    record::Record,
    remains,
    site::{self, RUN_DIRECTORY},
};
use crate::{Context, Result};

/// Who ends first: whoever uses another one ends before it. kube-apiserver waits for ever when etcd went first.
const ORDER: [Component; 8] = [
    Component::Kwok,
    Component::Kubelet,
    Component::KubeProxy,
    Component::LocalPathProvisioner,
    Component::KubeScheduler,
    Component::KubeControllerManager,
    Component::KubeApiserver,
    Component::Etcd,
];

/// How long a component may take to end by itself.
pub(super) fn patience(component: Component) -> Duration {
    match component {
        // They wait for their clients' connections, and in a lab there is nobody to wait for.
        Component::KubeApiserver | Component::Etcd => Duration::from_secs(3),
        Component::Containerd
        | Component::KubeControllerManager
        | Component::KubeScheduler
        | Component::Kubelet
        | Component::KubeProxy
        | Component::LocalPathProvisioner
        | Component::Kwok => Duration::from_secs(10),
    }
}

/// Takes down whatever is there of a lab, whoever started it.
pub async fn down(context: &Context) -> Result<()> {
    owner::make_room(context, "cargo lab down").await?;
    take_down(context).await
}

/// Takes down whatever is there of this lab.
pub(super) async fn take_down(context: &Context) -> Result<()> {
    if !is_there(context) {
        context.progress.say("no lab is there");
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        anyhow::bail!("a lab is taken down by root, as it was started");
    }
    let step = context.progress.step("taking the node down");
    let record = Record::read(&context.state);
    for component in ORDER {
        site::daemon(&context.state, component).stop(patience(component)).await;
    }
    step.now("containers");
    end_containers(record.as_ref()).await;
    site::daemon(&context.state, Component::Containerd).stop(patience(Component::Containerd)).await;
    remains::end_strays(context).await;
    remains::remove_traces_of_shims(Path::new(RUN_DIRECTORY));
    step.now("mounts, links and packet rules");
    remains::unmount_below(context.state.path()).await?;
    remains::unmount_below(Path::new(RUN_DIRECTORY)).await?;
    let others = remains::another_node_runs();
    let settings = record.map_or_else(BTreeMap::new, |record| record.settings);
    network::remove(context, &settings, others).await.context("failed to take away the lab's network")?;
    if !others {
        remains::remove_control_groups();
        remains::remove_device_sockets();
    }
    step.now("files");
    remains::remove_files(context).await?;
    step.done("nothing is left of it");
    Ok(())
}

/// Is anything of a lab there?
fn is_there(context: &Context) -> bool {
    context.state.path().exists() || Path::new(RUN_DIRECTORY).exists() || network::exists()
}

/// Ends every container and with it its shim; a container outlives containerd.
async fn end_containers(record: Option<&Record>) {
    let Some(record) = record.filter(|record| record.tools.are_there()) else { return };
    let node = Node::at(
        record.tools.clone(),
        PathBuf::new(),
        Some(Path::new(RUN_DIRECTORY).join("containerd.sock")),
    );
    let tasks = tasks(&node).await;
    let kill = |task: &str| node.ctr(["tasks", "kill", "--signal=SIGKILL", task]);
    for task in &tasks {
        if let Ok(kill) = kill(task) {
            // One that has just ended is no failure.
            let _ = kill.run().await;
        }
    }
    let remove = |task: &str| node.ctr(["tasks", "delete", "--force", task]);
    for task in &tasks {
        if let Ok(remove) = remove(task) {
            let _ = remove.run().await;
        }
    }
}

async fn tasks(node: &Node) -> Vec<String> {
    let Ok(list) = node.ctr(["tasks", "list", "--quiet"]) else { return Vec::new() };
    let limit = Duration::from_secs(5);
    let listed = tokio::time::timeout(limit, list.text()).await;
    listed.ok().and_then(Result::ok).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_uses_another_ends_before_it() {
        let position = |component| ORDER.iter().position(|found| *found == component);
        assert!(position(Component::Kubelet) < position(Component::KubeApiserver));
        assert!(position(Component::KubeApiserver) < position(Component::Etcd));
        assert_eq!(position(Component::Containerd), None, "it ends after its containers");
    }
}
