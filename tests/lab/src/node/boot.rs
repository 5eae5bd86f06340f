//! Brings the node up, and mends it: whatever does not run, or runs by another recipe, is started; whatever runs as
//! wanted is left alone. The same path serves the first start, a second `up`, and the one after a reboot or a kill.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use kube::{Client, Config};

use super::{
    Component, Node, addons, base_images, configuration, kubeconfig,
    launch::{launch, ports},
    network, owner, pki,
    record::{self, Found, Record},
    site::{RUN_DIRECTORY, Site},
    teardown,
};
use crate::{
    Context, Result,
    args::Ports,
    process::Presence,
    progress::Step,
    tools::{Tools, debian},
};

/// How long a component may take until it answers. Seconds on an idle machine; a machine that builds is not idle.
const PATIENCE: Duration = Duration::from_mins(3);

/// How often it is asked.
const LOOK: Duration = Duration::from_millis(200);

/// Brings the lab's own node up.
pub(super) async fn up(context: &Context, tools: &Tools) -> Result<Node> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "a node needs root (network, mounts, containers): run as root, or name a cluster with --kubeconfig"
        );
    }
    debian::ensure(context).await.context("the machine lacks packages that the node needs")?;
    owner::make_room(context, "cargo lab up").await?;
    let record = settle(context, tools).await?;
    owner::sign(context)?;
    let site = site(context, &record)?;
    let step = context.progress.step("starting the node");
    prepare(context, &site).await?;
    let node = Node::of(&site);
    let started = start(context, &site, &node, &step).await?;
    step.done(match started {
        0 => "it runs already".to_owned(),
        count => format!("{count} components started, Ready, with DNS and volumes"),
    });
    Ok(node)
}

/// Starts one component that is stopped, by the running lab's own programs, and waits until it answers.
pub(super) async fn start_one(context: &Context, component: Component) -> Result<()> {
    let record = Record::read(&context.state).context("no lab runs: `cargo lab up` starts one")?;
    let site = site(context, &record)?;
    ensure(&site, component).await?;
    let node = Node::of(&site);
    match component {
        Component::Etcd | Component::KubeApiserver => apiserver_answers(&site, &node).await,
        Component::Containerd => containerd_answers(&site, &node).await,
        Component::Kubelet => {
            addons::node_is_ready(&site, &node).await?;
            addons::kubelet_knows_pods(&site, &node).await
        }
        Component::KubeControllerManager
        | Component::KubeScheduler
        | Component::KubeProxy
        | Component::LocalPathProvisioner
        | Component::Kwok => stays(&site, component).await,
    }
}

/// A component that nobody asks anything: one that cannot run says so at once.
async fn stays(site: &Site, component: Component) -> Result<()> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(site.daemon(component).still_runs()?)
}

/// The site of a lab that is there.
pub(super) fn site(context: &Context, record: &Record) -> Result<Site> {
    let plugins = debian::plugin_directory().context("the network plugins are not installed")?;
    let (tools, ports) = (record.tools.clone(), record.ports);
    Ok(Site { state: context.state.clone(), run: PathBuf::from(RUN_DIRECTORY), tools, ports, plugins })
}

/// Decides which lab this is: the one that is there, or a new one in place of one that is of no use.
async fn settle(context: &Context, tools: &Tools) -> Result<Record> {
    let options = &context.options;
    let mut record = Record::new(options.kubernetes, options.ports.over(Ports::default()), tools.clone());
    match record::find(&context.state, options.kubernetes, options.ports) {
        Found::Nothing => record.settings = network::settings(),
        Found::Usable(found) => record = found.with_tools(tools),
        Found::Unusable(reason) => {
            context.progress.say(format_args!("the lab that is there is taken down: {reason}"));
            teardown::down(context).await?;
            record.settings = network::settings();
        }
    }
    fs::create_dir_all(context.state.path())?;
    fs::set_permissions(context.state.path(), fs::Permissions::from_mode(0o711))?;
    record.write(&context.state)?;
    Ok(record)
}

/// Everything that has to be there before the first component.
async fn prepare(context: &Context, site: &Site) -> Result<()> {
    let state = &site.state;
    for path in
        [state.config(), state.logs(), state.processes(), site.network_configuration(), site.run.clone()]
    {
        fs::create_dir_all(&path).with_context(|| format!("failed to make {}", path.display()))?;
    }
    for component in ["volumes", "kubelet", "containerd"] {
        fs::create_dir_all(state.data(component))?;
    }
    fs::set_permissions(state.data("volumes"), fs::Permissions::from_mode(0o755))?;
    pki::ensure(state)?;
    kubeconfig::write_all(site)?;
    for (path, text) in configuration::files(site)? {
        fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
    }
    network::ensure(site)
        .await
        .with_context(|| format!("failed to set up the network for {}", context.state.path().display()))
}

async fn start(context: &Context, site: &Site, node: &Node, step: &Step) -> Result<usize> {
    step.now("control plane and containers");
    let control = control_plane(site, node);
    let runtime = runtime(context, site, node);
    let (control, runtime) = tokio::try_join!(control, runtime)?;
    step.now("node, DNS and volumes");
    let mut started = control + runtime;
    for component in [Component::Kubelet, Component::KubeProxy] {
        started += usize::from(ensure(site, component).await?);
    }
    addons::apply(node).await?;
    started += usize::from(ensure(site, Component::LocalPathProvisioner).await?);
    if site.daemon(Component::Kwok).was_started() {
        started += usize::from(ensure(site, Component::Kwok).await?);
    }
    addons::wait(site, node).await?;
    Ok(started)
}

async fn control_plane(site: &Site, node: &Node) -> Result<usize> {
    let mut started = usize::from(ensure(site, Component::Etcd).await?);
    // kube-apiserver gives up after 20 s, and etcd may take longer to read what it has from a cold disk.
    etcd_answers(site).await?;
    started += usize::from(ensure(site, Component::KubeApiserver).await?);
    apiserver_answers(site, node).await?;
    for component in [Component::KubeControllerManager, Component::KubeScheduler] {
        started += usize::from(ensure(site, component).await?);
    }
    Ok(started)
}

async fn runtime(context: &Context, site: &Site, node: &Node) -> Result<usize> {
    let started = ensure(site, Component::Containerd).await?;
    containerd_answers(site, node).await?;
    base_images::ensure(context, node).await?;
    Ok(usize::from(started))
}

async fn etcd_answers(site: &Site) -> Result<()> {
    let client = Client::try_from(Config::new(site.etcd().parse()?))?;
    let ready = || async {
        let request = http::Request::get("/readyz").body(Vec::new()).context("a request")?;
        client.request_text(request).await.map(drop).context("etcd is not ready")
    };
    answers(site, &[Component::Etcd], ready).await
}

async fn apiserver_answers(site: &Site, node: &Node) -> Result<()> {
    let ready = || async { node.kubectl(["get", "--raw=/readyz"]).run().await };
    answers(site, &[Component::KubeApiserver, Component::Etcd], ready).await
}

async fn containerd_answers(site: &Site, node: &Node) -> Result<()> {
    answers(site, &[Component::Containerd], || containerd_version(node)).await
}

async fn containerd_version(node: &Node) -> Result<()> {
    Ok(node.ctr(["version"])?.run().await?)
}

/// Starts a component unless it runs as wanted; says whether it did.
pub(super) async fn ensure(site: &Site, component: Component) -> Result<bool> {
    let (daemon, wanted) = (site.daemon(component), launch(site, component));
    match daemon.presence(&wanted) {
        Presence::Running => return Ok(false),
        Presence::Outdated => daemon.stop(teardown::patience(component)).await,
        Presence::Ended | Presence::Absent => {}
    }
    for port in ports(site, component) {
        free(component, port).await?;
    }
    daemon.start(&wanted)?;
    Ok(true)
}

/// Whoever has the port would otherwise be found in a component's log only. The kernel may need a moment to take a
/// port back from a component that has just ended.
async fn free(component: Component, port: u16) -> Result<()> {
    let mut bound = TcpListener::bind(("0.0.0.0", port));
    for _ in 0..15 {
        if bound.is_ok() {
            break;
        }
        tokio::time::sleep(LOOK).await;
        bound = TcpListener::bind(("0.0.0.0", port));
    }
    bound.map(drop).with_context(|| {
        format!(
            "port {port} of {component} is in use by another program (`ss -ltnp sport = :{port}` shows which). \
             End it, or choose other ports: `cargo lab up --help`"
        )
    })
}

/// Waits until a probe succeeds; ends early when one of these components has.
pub(super) async fn answers<F, E>(
    site: &Site,
    components: &[Component],
    mut probe: impl FnMut() -> F,
) -> Result<()>
where
    F: Future<Output = Result<(), E>>,
    E: Into<anyhow::Error>,
{
    let since = Instant::now();
    loop {
        let Err(error) = probe().await else { return Ok(()) };
        for component in components {
            let mend = "`cargo lab up` tries again; `cargo lab down` and `up` start from nothing";
            site.daemon(*component).still_runs().context(mend)?;
        }
        if since.elapsed() > PATIENCE {
            let name = components.first().map_or("the node", |component| component.name());
            let mend = format!(
                "{name} does not answer after {} s. `cargo lab logs {name}` shows why; `cargo lab restart {name}`",
                PATIENCE.as_secs()
            );
            return Err(error.into().context(mend));
        }
        tokio::time::sleep(LOOK).await;
    }
}
