//! What a lab that was killed, half made or broken may have left: strays, mounts, control groups, files. Everything is
//! found by what it is now; what could be another node's is not touched.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use procfs::process::Process;
use rustix::{mount::UnmountFlags, process::Signal};

use super::site::{self, RUN_DIRECTORY};
use crate::{
    Context, Result,
    process::{Identity, all_running},
};

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

/// Ends what belongs to this lab and has no process file: shims, containers whose shim was killed, a component whose
/// starter was interrupted.
pub(super) async fn end_strays(context: &Context) {
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
    of_components.chain(in_containers(&tasks(Path::new(RUN_DIRECTORY)))).collect()
}

/// Processes in the control groups of these containers.
fn in_containers(tasks: &[PathBuf]) -> Vec<Identity> {
    let is_ours = |group: &PathBuf| tasks.iter().any(|task| task.file_name() == group.file_name());
    let groups = pod_groups().into_iter().filter(is_ours);
    let processes = groups.map(|group| fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default());
    let identities = |text: String| -> Vec<Identity> {
        text.lines().filter_map(|line| Identity::of(line.parse().ok()?)).collect()
    };
    processes.flat_map(identities).collect()
}

/// Does a node run that is not the lab's? What its components share with ours is then left alone.
pub(super) fn another_node_runs() -> bool {
    all_running()
        .iter()
        .any(|(_, program, _)| program.ends_with("kubelet") || program.ends_with("kube-proxy"))
}

/// containerd's directory of each container that it started.
fn tasks(run: &Path) -> Vec<PathBuf> {
    let directory = run.join("containerd/io.containerd.runtime.v2.task/k8s.io");
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
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

pub(super) fn remove_control_groups() {
    for group in pod_groups() {
        // One that still has a process is not ours to remove.
        let _ = fs::remove_dir(group);
    }
}

/// Unmounts everything below a directory, the last mounted first. What ends at the same time may be gone before it is
/// its turn, so it is asked again what is left.
pub(super) async fn unmount_below(place: &Path) -> Result<()> {
    for _ in 0..5 {
        let mounted = mounted_below(place)?;
        if mounted.is_empty() {
            return Ok(());
        }
        for point in mounted.iter().rev() {
            let _ = rustix::mount::unmount(point, UnmountFlags::DETACH);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let Some(point) = mounted_below(place)?.pop() else { return Ok(()) };
    let unmounted = rustix::mount::unmount(&point, UnmountFlags::DETACH);
    unmounted.with_context(|| format!("failed to unmount {}", point.display()))
}

/// Where something is mounted below a directory; a mount that another one hides cannot be reached and does no harm.
fn mounted_below(place: &Path) -> Result<Vec<PathBuf>> {
    let mounts = Process::myself().and_then(|own| own.mountinfo()).context("failed to read the mounts")?;
    let points = mounts.into_iter().map(|mount| mount.mount_point);
    Ok(points.filter(|point| point.starts_with(place) && point.exists()).collect())
}

/// Containers are gone by now; directories that the kernel still holds for a moment are tried again.
pub(super) async fn remove_files(context: &Context) -> Result<()> {
    remove_links_to(Path::new("/var/log/containers"), &context.state.logs());
    remove_network_results(Path::new("/var/lib/cni/results"));
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
pub(super) fn remove_traces_of_shims(run: &Path) {
    for task in tasks(run) {
        let container = task.file_name().unwrap_or_default();
        let _ = fs::remove_dir_all(Path::new("/run/containerd/runc/k8s.io").join(container));
        let started = fs::read(task.join("bootstrap.json")).unwrap_or_default();
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
pub(super) fn remove_device_sockets() {
    for file in DEVICE_FILES {
        let _ = fs::remove_file(Path::new("/var/lib/kubelet/device-plugins").join(file));
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
}
