//! Nobody is who they say, unless the front proxy says so with a certificate of its own.

use std::time::Duration;

use anyhow::ensure;
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use restate_tests::{Lab, Result};
use tokio::io::AsyncWriteExt;

use super::door::{Door, Identity, Outcome, listen, named};

const LIST: &str = "/apis/control.restate.dev/v1alpha1/restatedeploymentversions";
const CLAIM: &str = "X-Remote-User: admin\r\nX-Remote-Group: system:masters\r\n";
const PROXY: &str = "front-proxy-client";
const PATIENCE: Duration = Duration::from_secs(10);

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: replica\r\nConnection: close\r\n{headers}\r\n")
}

async fn ask(door: &Door, identity: Option<&Identity>, request: &str) -> Result<(u16, String)> {
    match door.send(0, identity, request.as_bytes(), PATIENCE).await? {
        Outcome::Answered(code, text) => Ok((code, text)),
        other => anyhow::bail!("{other:?}"),
    }
}

/// A1, A2, A7, A10–A12, A15: issue 4 §3, one by one. The first line shows that the claim counts where it should.
#[tokio::test]
async fn a_claim_counts_with_the_front_proxys_certificate_alone() -> Result {
    let lab = Lab::of_this_run()?;
    if !lab.is_ours() {
        return Ok(());
    }
    let door = Door::new(&lab).await?;
    let claim = get(LIST, CLAIM);
    let (code, text) = ask(&door, Some(&door.own(PROXY)?), &claim).await?;
    ensure!(code == 200, "the front proxy is believed: {text}");

    let (code, text) = ask(&door, None, &claim).await?;
    ensure!(
        code == 403 && text.contains(r#"User \"system:anonymous\" cannot list"#),
        "no certificate: {text}"
    );

    let alice = door.signed("ca", &named("alice"))?;
    let (code, text) = ask(&door, Some(&alice), &claim).await?;
    ensure!(code == 403 && text.contains(r#"User \"alice\" cannot list"#), "a client's certificate: {text}");

    for (why, identity) in strangers(&door)? {
        let (code, text) = ask(&door, Some(&identity), &claim).await?;
        ensure!(code == 401 && text.contains(r#""reason":"Unauthorized""#), "{why}: {text}");
    }
    let as_admin = get(LIST, "Impersonate-User: admin\r\nImpersonate-Group: system:masters\r\n");
    let (code, text) = ask(&door, Some(&alice), &as_admin).await?;
    ensure!(code == 403 && text.contains("cannot impersonate"), "A15: {text}");
    let token = get(LIST, "Authorization: Bearer of-nothing\r\n");
    let (code, text) = ask(&door, None, &token).await?;
    ensure!(code == 401, "A8: {text}");
    Ok(())
}

/// Certificates that are the front proxy's in all but one respect.
fn strangers(door: &Door) -> Result<Vec<(&'static str, Identity)>> {
    let mut expired = named(PROXY);
    expired.not_before = rcgen::date_time_ymd(2020, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2020, 2, 1);
    let mut for_servers = named(PROXY);
    for_servers.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut ca = named("front-proxy-ca");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (ca_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
    let issuer = Issuer::new(ca, ca_key);
    let chain = named(PROXY).signed_by(&key, &issuer)?.pem();
    Ok(vec![
        ("another common name", door.signed("front-proxy-ca", &named("somebody"))?),
        ("expired", door.signed("front-proxy-ca", &expired)?),
        ("for servers", door.signed("front-proxy-ca", &for_servers)?),
        ("an authority of the same name", Identity { chain, key: key.serialize_pem() }),
    ])
}

/// P9 (CVE-2018-1002105), A13: what follows a request belongs to the same caller, or to nobody.
#[tokio::test]
async fn nothing_is_smuggled_behind_a_request() -> Result {
    let lab = Lab::of_this_run()?;
    if !lab.is_ours() {
        return Ok(());
    }
    let door = Door::new(&lab).await?;
    let alice = door.signed("ca", &named("alice"))?;
    let second = get(LIST, CLAIM);
    let upgrade = format!(
        "GET {LIST} HTTP/1.1\r\nHost: replica\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n{second}"
    );
    let (code, text) = ask(&door, Some(&alice), &upgrade).await?;
    ensure!(code == 403 && text.matches("HTTP/1.1 ").count() == 1, "the connection ends: {text}");
    let both = format!(
        "POST {LIST} HTTP/1.1\r\nHost: replica\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{second}"
    );
    let answer = door.send(0, Some(&alice), both.as_bytes(), PATIENCE).await?;
    let answered = matches!(&answer, Outcome::Answered(400..=403, text) if !text.contains("200 OK"));
    ensure!(answered || matches!(answer, Outcome::Closed), "two lengths: {answer:?}");
    Ok(())
}

/// P8, S3: a host in a path is a path; nothing is fetched and nobody is sent elsewhere.
#[tokio::test]
async fn a_host_in_a_path_leads_nowhere() -> Result {
    let lab = Lab::of_this_run()?;
    if !lab.is_ours() {
        return Ok(());
    }
    let door = Door::new(&lab).await?;
    let admin = door.own("admin")?;
    for path in [
        "http://169.254.169.254/latest/meta-data/",
        "//169.254.169.254/latest/meta-data/",
        "/http://169.254.169.254/latest/",
        "/apis/control.restate.dev/v1alpha1/restateclusters/169.254.169.254:80/health",
        "/apis/control.restate.dev/v1alpha1/restateclusters/@169.254.169.254/deployments",
        "/apis/control.restate.dev/v1alpha1/../../../etc/passwd",
        "/apis/control.restate.dev/v1alpha1/restatedeploymentversions/",
        "/apis/control.restate.dev/v1alpha1/",
        "/apis/",
    ] {
        let (code, text) = ask(&door, Some(&admin), &get(path, "")).await?;
        ensure!(!(300..400).contains(&code) && code < 500, "{path}: {text}");
        ensure!(!text.to_ascii_lowercase().contains("\r\nlocation:"), "{path}: {text}");
        ensure!(code == 200 || text.contains(r#""kind":"Status""#), "E11: {path}: {text}");
    }
    Ok(())
}

/// T3, T4: heads that never end cost a connection for half a minute, bodies that are too long are not read.
#[tokio::test]
async fn slow_heads_and_long_bodies_are_cut() -> Result {
    let lab = Lab::of_this_run()?;
    if !lab.is_ours() {
        return Ok(());
    }
    let door = Door::new(&lab).await?;
    let admin = door.own("admin")?;
    let mut slow = door.open(0, Some(&admin)).await?;
    slow.write_all(b"GET /readyz HTTP/1.1\r\nHost: replica\r\nX-Slow: ").await?;
    let slow = tokio::spawn(listen(slow, Duration::from_mins(1)));

    let path = "/apis/control.restate.dev/v1alpha1/restateclusterprovisions";
    let length = 3 * 1024 * 1024 + 1;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: replica\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    let (code, text) = ask(&door, Some(&admin), &head).await?;
    ensure!(code == 413 && text.contains("RequestEntityTooLarge"), "E7: {text}");

    let ended = slow.await?;
    ensure!(!matches!(ended, Outcome::Silent), "T3: the head was waited for: {ended:?}");
    Ok(())
}
