//! What is to be done next, as a pure function of the keyring, the bundles that were seen, and the clock.
//!
//! Invariant: see the parent. A step is small; the next one is decided from the keyring that results.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::keyring::{Authority, Keyring, Leaf};
use super::{Error, Names, Policy, issue};

/// Nobody sleeps longer: clocks jump, objects change unseen.
const LONGEST_REST: SignedDuration = SignedDuration::from_hours(1);
/// A new leaf must be better than the old one by this much.
const WORTH: SignedDuration = SignedDuration::from_hours(1);

/// What the APIServices were seen to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// Not all of them have been seen yet.
    Unknown,
    /// There is none, so nobody trusts anything, and nobody can be let down.
    Nowhere,
    /// Fingerprints of the CAs that all of them hold.
    Everywhere(BTreeSet<String>),
}

/// One change of the keyring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing before that moment.
    Rest(Timestamp),
    /// Another CA, beside those there are.
    AddAuthority,
    /// The CA has been seen in all bundles: the overlap begins.
    NotePublished(String),
    /// The CA is missing from a bundle: the overlap begins anew.
    ForgetPublished(String),
    /// A new leaf by that CA.
    IssueLeaf(String),
    /// All that the CA signed has expired, as it has itself.
    DropAuthority(String),
}

impl Published {
    fn holds(&self, fingerprint: &str) -> Option<bool> {
        match self {
            Self::Unknown => None,
            Self::Nowhere => Some(true),
            Self::Everywhere(all) => Some(all.contains(fingerprint)),
        }
    }
}

/// The first of the rules that applies.
pub fn next(
    keyring: &Keyring,
    published: &Published,
    names: &Names,
    policy: &Policy,
    now: Timestamp,
) -> Step {
    let rules = [
        drop_expired(keyring, now),
        add_authority(keyring, policy, now),
        replace_useless_leaf(keyring, now),
        note_publication(keyring, published),
        renew_leaf(keyring, published, names, policy, now),
    ];
    rules.into_iter().flatten().next().unwrap_or_else(|| Step::Rest(rest(keyring, policy, now)))
}

/// Takes a step. Time and randomness go into new certificates only.
pub fn take(
    mut keyring: Keyring,
    step: &Step,
    names: &Names,
    policy: &Policy,
    now: Timestamp,
) -> Result<Keyring, Error> {
    let note = |keyring: &mut Keyring, authority: &str, since| {
        keyring
            .authorities
            .iter_mut()
            .filter(|each| each.fingerprint() == authority)
            .for_each(|each| each.published_since = since);
    };
    match step {
        Step::Rest(_) => {}
        Step::AddAuthority => keyring.authorities.push(issue::authority(names, policy, now)?),
        Step::NotePublished(authority) => note(&mut keyring, authority, Some(now)),
        Step::ForgetPublished(authority) => note(&mut keyring, authority, None),
        Step::IssueLeaf(by) => {
            let by = keyring.authority(by).ok_or(Error::Stored { key: "ca.crt" })?;
            keyring.leaf = Some(issue::leaf(by, names, policy, now)?);
        }
        Step::DropAuthority(authority) => keyring.authorities.retain(|each| each.fingerprint() != authority),
    }
    Ok(keyring)
}

/// Leaves do not outlive their CA, so an expired CA has nothing left to vouch for.
fn drop_expired(keyring: &Keyring, now: Timestamp) -> Option<Step> {
    let expired = keyring.authorities().iter().find(|each| each.valid().until <= now)?;
    Some(Step::DropAuthority(expired.fingerprint().to_owned()))
}

fn add_authority(keyring: &Keyring, policy: &Policy, now: Timestamp) -> Option<Step> {
    let lasting = |each: &Authority| each.valid().until > now + policy.renew_authority;
    (!keyring.authorities().iter().any(lasting)).then_some(Step::AddAuthority)
}

/// Nothing valid is served: there is nothing to lose, so there is nothing to wait for.
fn replace_useless_leaf(keyring: &Keyring, now: Timestamp) -> Option<Step> {
    let usable = |leaf: &Leaf| leaf.valid().contains(now) && keyring.authority(leaf.issuer()).is_some();
    if keyring.leaf().is_some_and(usable) {
        return None;
    }
    let known = keyring.authorities().iter().rev().find(|each| each.published_since.is_some());
    let by = known.or(keyring.authorities().last())?;
    Some(Step::IssueLeaf(by.fingerprint().to_owned()))
}

fn note_publication(keyring: &Keyring, published: &Published) -> Option<Step> {
    keyring.authorities().iter().find_map(|each| {
        let held = published.holds(each.fingerprint())?;
        match (held, each.published_since) {
            (true, None) => Some(Step::NotePublished(each.fingerprint().to_owned())),
            (false, Some(_)) => Some(Step::ForgetPublished(each.fingerprint().to_owned())),
            (true, Some(_)) | (false, None) => None,
        }
    })
}

/// By a CA that is trusted for certain; while there is none, by the CA of the leaf that is served already.
fn renew_leaf(
    keyring: &Keyring,
    published: &Published,
    names: &Names,
    policy: &Policy,
    now: Timestamp,
) -> Option<Step> {
    let leaf = keyring.leaf()?;
    let trusted = keyring.authorities().iter().rev().find(|each| is_trusted(each, published, policy, now));
    let by = trusted.or_else(|| keyring.authority(leaf.issuer()))?;
    let misnamed = leaf.names() != names.dns();
    let due = leaf.valid().until < now + policy.renew_leaf;
    let lasts = (now + policy.leaf).min(by.valid().until) > leaf.valid().until + WORTH;
    let succeeded = by.fingerprint() != leaf.issuer() && by.valid().until > leaf.valid().until;
    (misnamed || succeeded || (due && lasts)).then(|| Step::IssueLeaf(by.fingerprint().to_owned()))
}

fn is_trusted(authority: &Authority, published: &Published, policy: &Policy, now: Timestamp) -> bool {
    let long_enough = authority.published_since.is_some_and(|since| since + policy.overlap <= now);
    long_enough && published.holds(authority.fingerprint()) == Some(true)
}

fn rest(keyring: &Keyring, policy: &Policy, now: Timestamp) -> Timestamp {
    let leaf = keyring.leaf().map(|leaf| leaf.valid().until - policy.renew_leaf);
    let authorities = keyring.authorities().iter();
    let overlaps =
        authorities.clone().filter_map(|each| each.published_since.map(|since| since + policy.overlap));
    let ends = authorities.flat_map(|each| [each.valid().until - policy.renew_authority, each.valid().until]);
    let moments = leaf.into_iter().chain(overlaps).chain(ends).filter(|moment| *moment > now);
    moments.chain([now + LONGEST_REST]).min().unwrap_or(now + LONGEST_REST)
}
