//! Rotation as a property over time, and two replicas at work on one Secret.

mod replicas;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::api::ObjectMeta;
use proptest::prelude::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::keeper::advance;
use super::keyring::{Keyring, Leaf, fingerprints};
use super::plan::{self, Published, Step};
use super::*;

pub(super) fn names() -> Names {
    Names {
        service: "things".to_owned(),
        namespace: "shop".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
    }
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// Takes all steps that there are for now.
fn settle(keyring: &Keyring, published: &Published, now: Timestamp) -> (Keyring, Timestamp) {
    let policy = Policy::default();
    let next = |keyring: &Keyring| plan::next(keyring, published, &names(), &policy, now);
    advance(keyring, next, |keyring, step| plan::take(keyring, step, &names(), &policy, now)).unwrap()
}

/// Whether a client that trusts `bundle` and asks for `host` accepts the leaf.
fn is_accepted(leaf: &Leaf, bundle: &str, host: &str, now: Timestamp) -> bool {
    let roots: Vec<_> = CertificateDer::pem_slice_iter(bundle.as_bytes()).map(Result::unwrap).collect();
    let anchors: Vec<_> = roots.iter().map(|each| webpki::anchor_from_trusted_cert(each).unwrap()).collect();
    let der = CertificateDer::from_pem_slice(leaf.certificate().as_bytes()).unwrap();
    let certificate = webpki::EndEntityCert::try_from(&der).unwrap();
    let time =
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.as_second().try_into().unwrap()));
    let usage = webpki::KeyUsage::server_auth();
    let chains =
        certificate.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, &[], time, usage, None, None);
    chains.is_ok()
        && certificate.verify_is_valid_for_subject_name(&ServerName::try_from(host).unwrap()).is_ok()
}

#[test]
fn h1_the_first_pass_makes_a_ca_and_a_leaf_that_the_aggregator_accepts() {
    let (keyring, _) = settle(&Keyring::default(), &Published::Unknown, start());
    let leaf = keyring.leaf().unwrap();
    for host in ["things", "things.shop", "things.shop.svc", "things.shop.svc.cluster.local"] {
        assert!(is_accepted(leaf, &keyring.bundle(), host, start()), "P2: {host}");
    }
    assert!(!is_accepted(leaf, &keyring.bundle(), "things.other.svc", start()));
    assert!(!is_accepted(
        leaf,
        &keyring.bundle(),
        "things.shop.svc",
        start() + SignedDuration::from_hours(24 * 91)
    ));
}

#[test]
fn h1_the_secret_holds_all_of_it() {
    let (keyring, _) = settle(&Keyring::default(), &Published::Nowhere, start());
    let secret = keyring.to_secret(ObjectMeta::default());
    assert_eq!(Keyring::from_secret(&secret).unwrap(), keyring);
    for key in ["tls.crt", "tls.key", "ca.crt", "ca.key", "notes.json"] {
        let mut broken = secret.clone();
        broken.data.as_mut().unwrap().remove(key);
        assert!(
            matches!(Keyring::from_secret(&broken), Err(Error::Stored { key: missing }) if missing == key)
        );
    }
}

#[test]
fn h3_the_steps_of_a_rotation_in_their_order() {
    let now = start();
    let everywhere = |keyring: &Keyring| {
        Published::Everywhere(fingerprints(keyring.bundle().as_bytes()).into_iter().collect())
    };
    let (first, _) = settle(&Keyring::default(), &Published::Nowhere, now);
    let old = first.leaf().unwrap().clone();

    let now = now + SignedDuration::from_hours(24 * 250);
    let (renewed, _) = settle(&first, &everywhere(&first), now - SignedDuration::from_hours(24 * 180));
    assert_eq!(renewed.leaf().unwrap().issuer(), old.issuer(), "a leaf alone needs no new CA");

    let (both, _) = settle(&renewed, &everywhere(&first), now);
    assert_eq!(both.authorities().len(), 2, "old and new CA");
    assert_eq!(both.leaf().unwrap().issuer(), old.issuer(), "still the old CA's");

    let (noted, until) = settle(&both, &everywhere(&both), now);
    assert_eq!(noted.leaf().unwrap().issuer(), old.issuer(), "not before the overlap");
    assert_eq!(until, now + Policy::default().overlap);

    let (switched, _) = settle(&noted, &everywhere(&both), until);
    assert_ne!(switched.leaf().unwrap().issuer(), old.issuer());
    assert_eq!(switched.authorities().len(), 2, "the old CA is still trusted");

    let expiry = both.authorities()[0].valid().until;
    let (after, _) = settle(&switched, &everywhere(&both), expiry);
    assert!(after.authorities().iter().all(|each| each.fingerprint() != old.issuer()), "and then no more");
}

#[test]
fn h3_a_break_in_the_publication_begins_the_overlap_anew() {
    let now = start();
    let (first, _) = settle(&Keyring::default(), &Published::Nowhere, now);
    assert!(first.authorities()[0].published_since.is_some());
    let (broken, _) = settle(&first, &Published::Everywhere(BTreeSet::new()), now);
    assert_eq!(broken.authorities()[0].published_since, None);
}

#[test]
fn a_second_pass_changes_nothing() {
    let (keyring, until) = settle(&Keyring::default(), &Published::Nowhere, start());
    let again = plan::next(&keyring, &Published::Nowhere, &names(), &Policy::default(), start());
    assert_eq!(again, Step::Rest(until));
}

/// What happens between two looks.
#[derive(Clone, Copy, Debug)]
enum Happening {
    /// Time passes and all is well.
    Quiet,
    /// Somebody empties the bundle.
    Blanked,
    /// The APIService cannot be seen.
    Unseen,
    /// The bundle cannot be written.
    Unwritable,
}

fn history() -> impl Strategy<Value = Vec<(i64, Happening)>> {
    let minutes = prop_oneof![1_i64..10, 10_i64..600, 600_i64..20_000, 20_000_i64..150_000];
    let happening = prop_oneof![
        6 => Just(Happening::Quiet),
        1 => Just(Happening::Blanked),
        1 => Just(Happening::Unseen),
        1 => Just(Happening::Unwritable),
    ];
    prop::collection::vec((minutes, happening), 1..40)
}

/// The world as the property sees it: what kube-apiserver trusts, since when, and what is or was served.
struct World {
    now: Timestamp,
    keyring: Keyring,
    trusted: BTreeMap<String, Timestamp>,
    served: Vec<Leaf>,
}

impl World {
    fn new() -> Self {
        Self { now: start(), keyring: Keyring::default(), trusted: BTreeMap::new(), served: Vec::new() }
    }

    fn pass(&mut self, (minutes, happening): (i64, Happening)) -> Result<(), TestCaseError> {
        self.now += SignedDuration::from_mins(minutes);
        if matches!(happening, Happening::Blanked) {
            self.trusted.clear();
        }
        let published = match happening {
            Happening::Unseen => Published::Unknown,
            _ => Published::Everywhere(self.trusted.keys().cloned().collect()),
        };
        let (before, (after, _)) = (self.keyring.clone(), settle(&self.keyring, &published, self.now));
        self.check_switch(&before, &after)?;
        self.keyring = after;
        self.served.extend(self.keyring.leaf().cloned());
        self.check_bundle()?;
        if !matches!(happening, Happening::Unwritable | Happening::Unseen) {
            self.publish();
        }
        Ok(())
    }

    fn publish(&mut self) {
        let wanted = fingerprints(self.keyring.bundle().as_bytes());
        let since = |each: String| (each.clone(), self.trusted.get(&each).copied().unwrap_or(self.now));
        self.trusted = wanted.into_iter().map(since).collect();
    }

    /// H3: a leaf by another CA replaces a usable one only after that CA was trusted for the overlap.
    fn check_switch(&self, before: &Keyring, after: &Keyring) -> Result<(), TestCaseError> {
        let (Some(old), Some(new)) = (before.leaf(), after.leaf()) else { return Ok(()) };
        if old.valid().contains(self.now) && old.issuer() != new.issuer() {
            let since = self.trusted.get(new.issuer()).copied();
            let overlap = Policy::default().overlap;
            prop_assert!(
                since.is_some_and(|since| since + overlap <= self.now),
                "switched too early: {since:?}"
            );
        }
        Ok(())
    }

    /// H3: whatever is still valid, and so may still be served by a replica that lags, leads to a CA of the bundle.
    fn check_bundle(&self) -> Result<(), TestCaseError> {
        for leaf in self.served.iter().filter(|leaf| leaf.valid().contains(self.now)) {
            let known = self.keyring.authorities().iter().any(|each| each.fingerprint() == leaf.issuer());
            prop_assert!(known, "a CA was dropped too early");
        }
        prop_assert!(
            self.keyring.leaf().is_some_and(|leaf| leaf.valid().contains(self.now)),
            "something is served"
        );
        prop_assert!(self.keyring.authorities().len() <= 4, "the bundle does not grow");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn h3_no_leaf_is_served_whose_ca_is_not_trusted(history in history()) {
        let mut world = World::new();
        for event in history {
            world.pass(event)?;
        }
    }
}

#[test]
fn h3_with_daily_looks_the_leaf_never_comes_near_its_end() {
    let mut world = World::new();
    world.pass((1, Happening::Quiet)).unwrap();
    for day in 0..1200 {
        world.pass((24 * 60, Happening::Quiet)).unwrap();
        let left = world.keyring.leaf().unwrap().valid().until.duration_since(world.now);
        assert!(left > SignedDuration::from_hours(24 * 28), "day {day}: {left:?}");
    }
}
