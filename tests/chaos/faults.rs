//! What goes wrong, one thing after the other.

use std::{collections::BTreeMap, time::Duration};

use restate_tests::{Fault, Result, lab::OPERATOR_NAMESPACE};
use tokio::{sync::watch, time::sleep};

use crate::world::World;

/// Between two faults: time for some of what waits to go on.
const PAUSE: Duration = Duration::from_secs(4);
/// How long the network misbehaves: longer than any delay of these services.
const NETWORK: Duration = Duration::from_secs(7);
/// How long nobody answers where the API server was.
const NO_API: Duration = Duration::from_secs(3);

const CONTROLLER: &str = "app.kubernetes.io/component=controller";
const APISERVER: &str = "app.kubernetes.io/component=apiserver";
const RESTATE: &str = "app.kubernetes.io/name=restate";
const KUBE_APISERVER: &str = "kube-apiserver";

/// What can go wrong.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Controller,
    Apiserver,
    Restate,
    KubeApiserver,
    Network(Fault),
}

const TROUBLES: [Trouble; 10] = [
    Trouble::Network(Fault::Refuse),
    Trouble::Controller,
    Trouble::Network(Fault::Stale),
    Trouble::Restate,
    Trouble::Network(Fault::Hang),
    Trouble::Apiserver,
    Trouble::Network(Fault::ServerError),
    Trouble::KubeApiserver,
    Trouble::Network(Fault::Truncate),
    Trouble::Controller,
];

/// How often each thing went wrong.
pub(crate) type Faults = BTreeMap<String, usize>;

/// Makes trouble until told to end, and each trouble at least once. Everything is well again afterwards.
pub(crate) async fn go_on(world: &World, mut end: watch::Receiver<bool>) -> Result<Faults> {
    let mut faults = Faults::new();
    for round in 0_usize.. {
        for trouble in TROUBLES {
            if round > 0 && *end.borrow_and_update() {
                return Ok(faults);
            }
            println!("trouble: {trouble:?}");
            make(world, trouble, round > 0).await?;
            *faults.entry(format!("{trouble:?}")).or_default() += 1;
            sleep(PAUSE).await;
        }
    }
    Ok(faults)
}

/// Processes are killed where they stand. In later rounds their pods go with them: whoever is killed again and again
/// would be started later and later.
async fn make(world: &World, trouble: Trouble, pods: bool) -> Result {
    match trouble {
        Trouble::Controller => kill(world, OPERATOR_NAMESPACE, CONTROLLER, pods).await,
        Trouble::Apiserver => kill(world, OPERATOR_NAMESPACE, APISERVER, pods).await,
        Trouble::Restate => kill(world, world.restate.name(), RESTATE, pods).await,
        Trouble::KubeApiserver => {
            world.lab.command(&["kill", KUBE_APISERVER]).await?;
            sleep(NO_API).await;
            world.lab.command(&["restart", KUBE_APISERVER]).await
        }
        Trouble::Network(fault) => {
            world.proxy.set(fault);
            sleep(NETWORK).await;
            world.proxy.set(Fault::None);
            Ok(())
        }
    }
}

async fn kill(world: &World, namespace: &str, selector: &str, pods: bool) -> Result {
    // One that is just being started has no process yet, and one that ends is no pod any more.
    if pods {
        let now = ["--grace-period=0", "--force", "--wait=false"];
        let delete = ["-n", namespace, "delete", "pods", "-l", selector];
        let _ = world.lab.kubectl()?.run(delete.into_iter().chain(now)).await;
    } else {
        let _ = world.lab.kill(namespace, selector).await;
    }
    Ok(())
}
