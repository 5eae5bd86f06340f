//! Thousands of malformed requests: each gets a right answer, nothing panics, nothing grows.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use futures::{StreamExt, TryStreamExt, stream};
use procfs::WithCurrentSystemInfo as _;
use restate_tests::lab::OPERATOR_NAMESPACE;
use restate_tests::{Lab, Result, namespace};

use super::door::{Door, Identity, Outcome};
use super::generator::made;

const BRIEF: u64 = 2_000;
const LONG: u64 = 100_000;
/// Enough to fill what is kept per connection, and caches.
const WARM: u64 = 500;
const AT_ONCE: usize = 16;
/// What allocators may take meanwhile, of both replicas; a leak of 6 kB per request would be more, in the long run one of
/// 500 bytes.
const BRIEF_GROWTH: u64 = 12 * 1024 * 1024;
const LONG_GROWTH: u64 = 48 * 1024 * 1024;
/// Half an answer is waited for, half a request is not.
const PATIENCE: Duration = Duration::from_secs(15);
const IMPATIENCE: Duration = Duration::from_millis(300);
const SELECTOR: [&str; 2] = ["-l", "app.kubernetes.io/component=apiserver"];

/// E1–E11, T3, C1, R1, R9, S13.
#[tokio::test]
async fn malformed_requests_are_answered_and_leave_no_trace() -> Result {
    let lab = Lab::of_this_run()?;
    if !lab.is_ours() {
        return Ok(());
    }
    namespace::none_is_going(&lab).await?;
    let door = Door::new(&lab).await?;
    let (count, most) = if lab.runs_all() { (LONG, LONG_GROWTH) } else { (BRIEF, BRIEF_GROWTH) };
    let seed = fastrand::u64(..1 << 40);
    let admin = Arc::new(door.own("admin")?);
    let before = restarts(&lab).await?;
    storm(&door, &admin, seed..seed + WARM).await?;
    let held = memory()?;
    storm(&door, &admin, seed + WARM..seed + WARM + count).await?;
    let grown = memory()?.saturating_sub(held);
    println!("{count} requests from seed {seed}: {held} bytes held, {grown} more at the end");
    ensure!(grown < most, "seed {seed}: {grown} bytes more after {count} requests");
    ensure!(restarts(&lab).await? == before, "seed {seed}: a replica has started again");
    let logs = ["-n", OPERATOR_NAMESPACE, "logs", "--since=10m", "--tail=-1"];
    let logs = lab.kubectl()?.run(logs.into_iter().chain(SELECTOR)).await?;
    ensure!(!logs.contains("panicked"), "seed {seed}: a handler panicked");
    Ok(())
}

async fn storm(door: &Door, admin: &Arc<Identity>, seeds: std::ops::Range<u64>) -> Result {
    let one = |seed| {
        let (door, admin) = (door.clone(), Arc::clone(admin));
        async move { judged(&door, &admin, seed).await }
    };
    stream::iter(seeds.map(one)).buffer_unordered(AT_ONCE).try_collect().await
}

async fn judged(door: &Door, admin: &Identity, seed: u64) -> Result {
    let request = made(seed);
    // Some come without a certificate.
    let identity = (!seed.is_multiple_of(4)).then_some(admin);
    let patience = if request.is_http { PATIENCE } else { IMPATIENCE };
    let turn = usize::try_from(seed)?;
    let outcome = if request.is_watch {
        door.begin(turn, identity, &request.bytes, patience).await?
    } else {
        door.send(turn, identity, &request.bytes, patience).await?
    };
    let right = match &outcome {
        Outcome::Answered(code, text) => is_right(*code, text, request.is_http),
        Outcome::Closed | Outcome::Silent => !request.is_http,
    };
    let shown = String::from_utf8_lossy(&request.bytes[..request.bytes.len().min(300)]).into_owned();
    ensure!(right, "seed {seed}: {shown}\nanswered {outcome:?}");
    Ok(())
}

/// A fault of the caller is said as such; a refusal of a request that is one is a Status.
fn is_right(code: u16, text: &str, is_http: bool) -> bool {
    let known = match code {
        200 | 201 | 400 | 401 | 403 | 404 | 405 | 406 | 409 | 410 | 413 | 415 | 422 | 431 | 504 => true,
        // Of services nothing is known until a Restate has told, of nothing anything where a replica is new: that is
        // said, and when to ask again.
        503 => {
            let told = ["told yet", "nothing has been observed yet"].iter().any(|words| text.contains(words));
            text.contains("\r\nretry-after: ") && told
        }
        _ => false,
    };
    let head = text.starts_with("HTTP/1.1") && !text.contains("\r\nlocation:");
    // The answer to HEAD has no body.
    let explained =
        code < 400 || !is_http || text.contains(r#""kind":"Status""#) || text.ends_with("\r\n\r\n");
    known && head && explained
}

/// Of all replicas together: they run on this machine.
fn memory() -> Result<u64> {
    let ours = procfs::process::all_processes()?.flatten().filter_map(|process| process.stat().ok());
    // The kernel keeps fifteen characters of a name.
    let held: u64 =
        ours.filter(|stat| stat.comm == "restate-apiserv").map(|stat| stat.rss_bytes().get()).sum();
    ensure!(held > 0, "no replica runs on this machine");
    Ok(held)
}

async fn restarts(lab: &Lab) -> Result<String> {
    let path = "jsonpath={range .items[*]}{.metadata.name}={.status.containerStatuses[0].restartCount} {end}";
    let get = ["-n", OPERATOR_NAMESPACE, "get", "pods", "-o", path];
    lab.kubectl()?.run(get.into_iter().chain(SELECTOR)).await
}
