//! Takes the node down. Nothing is left: no process, no mount, no link, no packet rule, no file. Each stage works
//! from what is there, not from what should be, so that it also cleans up after a half-made or broken lab.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use procfs::process::Process;
use rustix::{mount::UnmountFlags, process::Signal};

use super::{
    Component, Node, network, owner,
    record::Record,
    site::{self, RUN_DIRECTORY},
};
use crate::{
    Context, Result,
    claim::Claim,
    process::{Identity, all_running},
};

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

/// What components make outside of the lab's directories, and only when they run.
const LEFT_BEHIND: [&str; 6] = [
    "/var/log/containers",
    "/var/log/pods",
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/run/containerd",
    "/run/netns",
];

/// What kubelet keeps for device plugins, outside of its own directory.
const DEVICE_FILES: [&str; 3] = ["kubelet.sock", "kubelet_internal_checkpoint", "DEPRECATION"];

/// How the network plugins' files of our network begin.
const NETWORK_RESULT: &str = "restate-lab-";

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
    if let Some(foreign) = owner::foreign(context) {
        let _claim = Claim::take(&foreign, "cargo lab down").await?;
        take_down(&foreign).await?;
    }
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
    end_strays(context).await;
    remove_traces_of_shims(Path::new(RUN_DIRECTORY));
    step.now("mounts, links and packet rules");
    unmount_below(context.state.path())?;
    unmount_below(Path::new(RUN_DIRECTORY))?;
    let settings = record.map_or_else(BTreeMap::new, |record| record.settings);
    network::remove(context, &settings).await.context("failed to take away the lab's network")?;
    remove_control_groups();
    step.now("files");
    remove_files(context).await?;
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

/// Ends what belongs to this lab and has no process file: shims, containers whose shim was killed, a component whose
/// starter was interrupted.
async fn end_strays(context: &Context) {
    let strays: Vec<Identity> = strays(context);
    for stray in &strays {
        stray.signal(Signal::KILL);
    }
    for stray in &strays {
        stray.ends_within(Duration::from_secs(5)).await;
    }
}

fn strays(context: &Context) -> Vec<Identity> {
    let (state, tools) = (site::text(context.state.path()), context.cache.tools());
    let names_this_lab = |word: &String| word.contains(&state) || word.contains(RUN_DIRECTORY);
    let of_components = all_running().into_iter().filter_map(move |(identity, program, words)| {
        (program.starts_with(&tools) && words.iter().any(names_this_lab)).then_some(identity)
    });
    of_components.chain(in_pods()).collect()
}

/// Processes in the control groups of pods.
fn in_pods() -> Vec<Identity> {
    let mut found = Vec::new();
    for group in pod_groups() {
        let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        found.extend(text.lines().filter_map(|line| Identity::of(line.parse().ok()?)));
    }
    found
}

/// All control groups of pods, the deepest first.
fn pod_groups() -> Vec<PathBuf> {
    let roots = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    let roots = roots.chain([PathBuf::from("/sys/fs/cgroup")]).map(|root| root.join("kubepods"));
    let mut groups: Vec<PathBuf> = roots.filter(|root| root.is_dir()).collect();
    let mut next = 0;
    while let Some(group) = groups.get(next) {
        let children = fs::read_dir(group).into_iter().flatten().flatten().map(|entry| entry.path());
        let children: Vec<_> = children.filter(|path| path.is_dir()).collect();
        groups.extend(children);
        next += 1;
    }
    groups.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    groups.dedup();
    groups
}

fn remove_control_groups() {
    for group in pod_groups() {
        // One that still has a process is not ours to remove.
        let _ = fs::remove_dir(group);
    }
}

/// Unmounts everything below a directory, the last mounted first.
fn unmount_below(place: &Path) -> Result<()> {
    let mounts = Process::myself().and_then(|own| own.mountinfo()).context("failed to read the mounts")?;
    let below = mounts.into_iter().map(|mount| mount.mount_point).filter(|point| point.starts_with(place));
    let points: Vec<PathBuf> = below.collect();
    for point in points.iter().rev() {
        rustix::mount::unmount(point, UnmountFlags::DETACH)
            .with_context(|| format!("failed to unmount {}", point.display()))?;
    }
    Ok(())
}

/// Containers are gone by now; directories that the kernel still holds for a moment are tried again.
async fn remove_files(context: &Context) -> Result<()> {
    remove_links_to(Path::new("/var/log/containers"), &context.state.logs());
    remove_network_results(Path::new("/var/lib/cni/results"));
    remove_device_sockets(Path::new("/var/lib/kubelet/device-plugins"));
    for place in [context.state.path(), Path::new(RUN_DIRECTORY)] {
        let mut tries = 0;
        while let Err(error) = remove(place) {
            tries += 1;
            if tries == 5 {
                return Err(error).with_context(|| format!("failed to remove {}", place.display()));
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    for place in LEFT_BEHIND {
        remove_if_empty(Path::new(place));
    }
    Ok(())
}

fn remove(place: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(place) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn remove_links_to(directory: &Path, target: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if fs::read_link(entry.path()).is_ok_and(|link| link.starts_with(target)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// What shims and runc keep at fixed places of the machine and leave when they are killed. containerd's own directory
/// says which of it is ours.
fn remove_traces_of_shims(run: &Path) {
    let tasks = run.join("containerd/io.containerd.runtime.v2.task/k8s.io");
    for task in fs::read_dir(tasks).into_iter().flatten().flatten() {
        let _ = fs::remove_dir_all(Path::new("/run/containerd/runc/k8s.io").join(task.file_name()));
        let started = fs::read(task.path().join("bootstrap.json")).unwrap_or_default();
        if let Some(socket) = shim_socket(&started) {
            let _ = fs::remove_file(socket);
        }
    }
}

/// The socket in what a shim said when it started.
fn shim_socket(started: &[u8]) -> Option<PathBuf> {
    let said: serde_json::Value = serde_json::from_slice(started).ok()?;
    Some(PathBuf::from(said.get("address")?.as_str()?.strip_prefix("unix://")?))
}

/// What the network plugins remember of containers that have not been taken down one by one: a file for our network
/// and one for the loopback of each.
fn remove_network_results(directory: &Path) {
    let files: Vec<PathBuf> =
        fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let ours = |path: &PathBuf| {
        name(path).strip_prefix(NETWORK_RESULT)?.rsplit_once('-').map(|(id, _)| id.to_owned())
    };
    let containers: Vec<String> = files.iter().filter_map(ours).collect();
    for path in files.iter().filter(|path| containers.iter().any(|id| name(path).contains(id.as_str()))) {
        let _ = fs::remove_file(path);
    }
}

/// kubelet makes these at a fixed place; while no kubelet runs they are nobody's.
fn remove_device_sockets(directory: &Path) {
    let is_in_use = all_running().iter().any(|(_, program, _)| program.ends_with("kubelet"));
    for file in DEVICE_FILES.iter().filter(|_| !is_in_use) {
        let _ = fs::remove_file(directory.join(file));
    }
}

/// Removes directories that hold nothing but empty directories; another runtime's files stay.
fn remove_if_empty(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_if_empty(&entry.path());
        }
    }
    let _ = fs::remove_dir(directory);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_results_of_our_containers_go() {
        let place = tempfile::tempdir().expect("a directory");
        let all =
            ["restate-lab-0a1b-eth0", "cni-loopback-0a1b-lo", "cni-loopback-ffff-lo", "other-0a2b-eth0"];
        for name in all {
            fs::write(place.path().join(name), "{}").expect("written");
        }
        remove_network_results(place.path());
        let left = all.map(|name| place.path().join(name).exists());
        assert_eq!(left, [false, false, true, true]);
    }

    #[test]
    fn a_shim_says_where_its_socket_is() {
        let said = br#"{"version":3,"address":"unix:///run/containerd/s/0a1b","protocol":"ttrpc"}"#;
        assert_eq!(shim_socket(said), Some(PathBuf::from("/run/containerd/s/0a1b")));
        assert_eq!(shim_socket(b"unix:///run/containerd/s/0a1b"), None);
    }

    #[test]
    fn a_directory_with_a_file_stays() {
        let place = tempfile::tempdir().expect("a directory");
        let (empty, full) = (place.path().join("empty/inner"), place.path().join("full/inner"));
        for path in [&empty, &full] {
            fs::create_dir_all(path).expect("made");
        }
        fs::write(full.join("file"), "").expect("written");
        remove_if_empty(&place.path().join("empty"));
        remove_if_empty(&place.path().join("full"));
        assert!(!place.path().join("empty").exists());
        assert!(full.join("file").exists());
    }

    #[test]
    fn only_links_to_the_lab_go() {
        let place = tempfile::tempdir().expect("a directory");
        for (link, target) in [("ours", "/state/log/pods/x"), ("theirs", "/var/log/pods/y")] {
            std::os::unix::fs::symlink(target, place.path().join(link)).expect("linked");
        }
        remove_links_to(place.path(), Path::new("/state/log"));
        assert!(fs::read_link(place.path().join("ours")).is_err());
        assert!(fs::read_link(place.path().join("theirs")).is_ok());
    }

    #[test]
    fn whoever_uses_another_ends_before_it() {
        let position = |component| ORDER.iter().position(|found| *found == component);
        assert!(position(Component::Kubelet) < position(Component::KubeApiserver));
        assert!(position(Component::KubeApiserver) < position(Component::Etcd));
        assert_eq!(position(Component::Containerd), None, "it ends after its containers");
    }
}
