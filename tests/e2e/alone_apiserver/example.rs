//! The machinery's own example, as its README tells people to run it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rcgen::generate_simple_self_signed;
use restate_tests::beside::{Place, free_port};
use restate_tests::{Beside, Lab, Result};
use serde_json::Value;
use tokio::process::Command;

const LINES: usize = 100;

/// Issue 4, §1: at most 100 lines serve one virtual kind, and the cluster takes it for one of its own: table, get,
/// watch, selectors, explain, refusals.
#[tokio::test]
#[ignore = "a build, and a minute until schemas are polled: --all"]
async fn the_example_serves_a_kind_of_its_own() -> Result {
    let lab = Lab::of_this_run()?;
    let (program, source) = build().await?;
    let lines = std::fs::read_to_string(source)?.lines().count();
    ensure!(lines <= LINES, "the example has {lines} lines");
    let files = tempfile::tempdir()?;
    let path = |name: &str| files.path().join(name);
    let address = lab.address().await?;
    let (port, made) = (free_port(&address)?, generate_simple_self_signed(["moments".to_owned()])?);
    std::fs::write(path("tls.crt"), made.cert.pem())?;
    std::fs::write(path("tls.key"), made.signing_key.serialize_pem())?;
    let mut server = Command::new(program);
    server.arg(format!("{address}:{port}")).args([path("tls.crt"), path("tls.key")]);
    server.env("KUBECONFIG", lab.kubeconfig()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let place = Place { group: "time.example", version: "v1", address: &address, port, authority: None };
    let _beside = Beside::publish(&lab, place, server.spawn()?).await?;
    let kubectl = lab.kubectl()?;
    restate_tests::eventually("moments", Duration::from_mins(1), || async {
        let answer = kubectl.ask(["get", "moments"], None).await?;
        let lines: Vec<_> =
            answer.output.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        let names: Vec<_> = lines.iter().filter_map(|line| line.first().copied()).collect();
        Ok(if names == ["NAME", "berlin", "seattle", "utc"] { Ok(()) } else { Err(format!("{answer:?}")) })
    })
    .await?;
    let berlin = kubectl.json(["get", "moments.time.example", "berlin", "-o", "json"]).await?;
    ensure!(
        berlin["kind"] == "Moment" && berlin["time"].as_str().is_some_and(|time| time.len() == 5),
        "{berlin}"
    );
    let one = kubectl.run(["get", "moments", "--field-selector=metadata.name=utc", "-o", "name"]).await?;
    ensure!(one.trim() == "moment.time.example/utc", "{one}");
    // The aggregation layer asks for schemas about once a minute.
    restate_tests::eventually("a description", Duration::from_secs(100), || async {
        let explained = kubectl.ask(["explain", "moments.time"], None).await?;
        Ok(if explained.output.contains("Hours and minutes.") { Ok(()) } else { Err(explained.words) })
    })
    .await?;
    let refused = kubectl.as_user("nobody-in-particular").ask(["get", "moments"], None).await?;
    ensure!(!refused.successful && refused.words.contains("is forbidden"), "{refused:?}");
    let deleted = kubectl.ask(["delete", "moment", "utc"], None).await?;
    ensure!(deleted.words.contains("MethodNotAllowed"), "{deleted:?}");
    Ok(())
}

/// The program and its source.
async fn build() -> Result<(String, String)> {
    let cargo = std::env::var_os("CARGO").context("CARGO is not set: these tests are run by cargo")?;
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut command = Command::new(cargo);
    command.current_dir(root).args(["build", "--locked", "--quiet", "--message-format=json"]);
    command.args(["-p", "apiserver-machinery", "--example", "moments"]).stderr(Stdio::inherit());
    let output = command.output().await?;
    ensure!(output.status.success(), "the example does not build");
    let messages = String::from_utf8(output.stdout)?;
    let mut messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = messages.rfind(|message| message["target"]["name"] == "moments");
    let program = program.context("cargo names no program")?;
    let text = |value: &Value| value.as_str().map(str::to_owned).context("cargo names no file");
    Ok((text(&program["executable"])?, text(&program["target"]["src_path"])?))
}
