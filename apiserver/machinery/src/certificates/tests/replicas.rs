//! Two replicas on one cluster.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use super::names;
use crate::certificates::keyring::{Keyring, fingerprints};
use crate::certificates::{Keeper, Policy, given};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::rig::cluster::Cluster;
use crate::rig::{Authority, Identity};
use crate::tls::slot::CertificateSlot;

const SERVICE: &str = "apiservices/v1.example.dev";
const SECRET: &str = "secrets/serving";

fn replica(cluster: &Cluster, health: &Health) -> (Keeper, Arc<CertificateSlot>) {
    let slot = CertificateSlot::new();
    let keeper = Keeper {
        client: cluster.client(),
        names: names(),
        secret: "serving".to_owned(),
        api_services: vec!["v1.example.dev".to_owned()],
        field_manager: "things".to_owned(),
        policy: Policy::default(),
        slot: Arc::clone(&slot),
        gate: health.gate("serving-certificate", "none yet"),
        metrics: Metrics::unread(),
    };
    (keeper, slot)
}

fn service(bundle: &str) -> serde_json::Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1.example.dev"},
        "spec": {
            "group": "example.dev", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10,
            "caBundle": STANDARD.encode(bundle),
        },
    })
}

fn bundle(cluster: &Cluster) -> Vec<String> {
    let object = cluster.get(SERVICE).unwrap_or_default();
    let text = object["spec"]["caBundle"].as_str().unwrap_or_default();
    fingerprints(&STANDARD.decode(text).unwrap())
}

fn keyring(cluster: &Cluster) -> Option<Keyring> {
    let secret: Secret = serde_json::from_value(cluster.get(SECRET)?).unwrap();
    Some(Keyring::from_secret(&secret).unwrap())
}

/// Whether the APIService trusts the CA of the stored leaf.
fn is_published(cluster: &Cluster) -> bool {
    let keyring = keyring(cluster);
    keyring.is_some_and(|keyring| bundle(cluster).iter().any(|each| each == keyring.leaf().unwrap().issuer()))
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(start_paused = true)]
async fn h1_h4_replicas_agree_without_a_leader() {
    let (cluster, health) = (Cluster::new(), Health::new());
    cluster.put(SERVICE, service(""));
    let (first, one) = replica(&cluster, &health);
    let (second, two) = replica(&cluster, &health);
    tokio::spawn(first.run());
    tokio::spawn(second.run());
    eventually("published", || is_published(&cluster)).await;
    eventually("ready", || health.readiness().is_ok() && one.is_filled() && two.is_filled()).await;
    let noted =
        || keyring(&cluster).is_some_and(|keyring| keyring.authorities()[0].published_since.is_some());
    eventually("noted", noted).await;
    let writes = (cluster.writes(SECRET), cluster.writes(SERVICE));
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!((cluster.writes(SECRET), cluster.writes(SERVICE)), writes, "nothing is written at rest");
    assert!(writes.0 <= 3 && writes.1 == 2, "nobody fights: {writes:?}");
    let authorities = keyring(&cluster).unwrap().authorities().len();
    assert_eq!((authorities, bundle(&cluster).len()), (1, 1), "what lost the race is nowhere");
}

#[tokio::test(start_paused = true)]
async fn h2_drift_is_mended_and_a_missing_api_service_is_not_made() {
    let (cluster, health) = (Cluster::new(), Health::new());
    let (keeper, slot) = replica(&cluster, &health);
    tokio::spawn(keeper.run());
    eventually("a certificate without any APIService", || slot.is_filled()).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(cluster.get(SERVICE).is_none(), "H9: it is the chart's");
    cluster.put(SERVICE, service(""));
    eventually("published", || is_published(&cluster)).await;
    cluster.put(SERVICE, service("Cg=="));
    eventually("published again", || is_published(&cluster)).await;
    cluster.put(SERVICE, service(&Authority::new("foreign").pem));
    eventually("the foreign CA is gone", || is_published(&cluster) && bundle(&cluster).len() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn h1_a_lost_secret_is_made_anew_and_served_by_all() {
    let (cluster, health) = (Cluster::new(), Health::new());
    cluster.put(SERVICE, service(""));
    let (keeper, _) = replica(&cluster, &health);
    tokio::spawn(keeper.run());
    eventually("published", || is_published(&cluster)).await;
    let old = bundle(&cluster);
    cluster.delete(SECRET);
    eventually("another CA", || is_published(&cluster) && bundle(&cluster) != old).await;
}

#[tokio::test(start_paused = true)]
async fn h5_a_given_secret_is_followed() {
    let (cluster, health, slot) = (Cluster::new(), Health::new(), CertificateSlot::new());
    let gate = health.gate("serving-certificate", "none yet");
    let (client, held) = (cluster.client(), Arc::clone(&slot));
    tokio::spawn(async move { given::secret(client, "shop", "given", held, gate).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(health.readiness().is_err_and(|reasons| reasons[0].contains("Secret shop/given does not exist")));
    let made = Authority::new("ca").server("things.shop.svc");
    let data = json!({"tls.crt": STANDARD.encode(made.chain), "tls.key": STANDARD.encode(made.key)});
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "given", "namespace": "shop"}, "data": data});
    cluster.put("secrets/given", object.clone());
    eventually("served", || slot.is_filled() && health.readiness().is_ok()).await;
    cluster
        .put("secrets/given", json!({"apiVersion": "v1", "kind": "Secret", "metadata": object["metadata"]}));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(health.readiness(), Ok(()), "what was good stays");
}

/// A mounted Secret: names that lead through a link to a folder, which is swapped as a whole.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn write(&self, folder: &str, pair: &Identity) {
        let folder = self.0.path().join(folder);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("tls.crt"), &pair.chain).unwrap();
        std::fs::write(folder.join("tls.key"), &pair.key).unwrap();
        let link = self.0.path().join("next");
        std::os::unix::fs::symlink(folder, &link).unwrap();
        std::fs::rename(link, self.0.path().join("..data")).unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join("..data").join(name)
    }
}

#[tokio::test(start_paused = true)]
async fn h5_given_files_are_followed() {
    let mounted = Mounted(tempfile::tempdir().unwrap());
    let authority = Authority::new("ca");
    mounted.write("first", &authority.server("things.shop.svc"));
    assert!(given::files(mounted.path("tls.crt"), mounted.path("none")).await.is_err());
    let slot = given::files(mounted.path("tls.crt"), mounted.path("tls.key")).await.unwrap();
    let first = slot.current().unwrap();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(Arc::ptr_eq(&first, &slot.current().unwrap()), "nothing new, nothing swapped");

    let misfit = Identity { key: authority.server("other").key, ..authority.server("things.shop.svc") };
    mounted.write("second", &misfit);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(Arc::ptr_eq(&first, &slot.current().unwrap()), "what was good stays");

    mounted.write("third", &authority.server("things.shop.svc"));
    eventually("swapped", || slot.current().unwrap().cert != first.cert).await;
}
