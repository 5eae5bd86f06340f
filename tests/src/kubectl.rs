//! kubectl, as a user would type it.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    process::Command,
    time::{Instant, sleep},
};

use crate::{Result, eventually};

/// So long kubectl is run again where its connection came to nothing: kube-apiserver on a busy machine lets some wait.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two runs.
const PAUSE: Duration = Duration::from_millis(500);
/// What kubectl says of a connection that came to nothing.
const TRANSPORT: [&str; 6] = [
    "TLS handshake timeout",
    "connection refused",
    "connection reset",
    "was refused - did you specify",
    ": EOF",
    "unexpected EOF",
];
/// Which replica of the API answers is chance: after so many lists in a row each was asked.
const IN_A_ROW: usize = 10;
/// For lists that are all good.
const STEADY: Duration = Duration::from_mins(2);

/// kubectl with somebody's rights.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: OsString,
    kubeconfig: PathBuf,
    user: Option<String>,
    variables: Vec<(&'static str, &'static str)>,
}

/// What a command gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// Did it succeed?
    pub successful: bool,
    /// Its standard output.
    pub output: String,
    /// Its standard error.
    pub words: String,
}

impl Answer {
    /// Did kubectl get no answer at all? What a server says, also of others that it did not reach, is an answer.
    pub fn has_lost_its_connection(&self) -> bool {
        let is_told = |words: &&str| self.words.contains(*words);
        !self.successful && !self.words.contains("Error from server") && TRANSPORT.iter().any(is_told)
    }
}

impl Kubectl {
    /// The administrator's.
    pub fn new(program: OsString, kubeconfig: PathBuf) -> Self {
        Self { program, kubeconfig, user: None, variables: Vec::new() }
    }

    /// With the rights of another user.
    #[must_use]
    pub fn as_user(&self, user: &str) -> Self {
        Self { user: Some(user.to_owned()), ..self.clone() }
    }

    /// With a variable of its environment: what is not released yet is switched on so.
    #[must_use]
    pub fn with(&self, name: &'static str, value: &'static str) -> Self {
        let mut changed = self.clone();
        changed.variables.push((name, value));
        changed
    }

    /// Runs it; a failure is an error with kubectl's words.
    pub async fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<String> {
        self.succeed(arguments, None).await
    }

    /// Runs it and parses what it prints; the arguments ask for JSON.
    pub async fn json<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Value> {
        let text = self.run(arguments).await?;
        serde_json::from_str(&text).with_context(|| format!("kubectl printed no JSON: {text}"))
    }

    /// Waits until several lists in a row succeed and are as they should be: each replica of the API learns by itself.
    pub async fn lists_steadily(&self, get: &[&str], wanted: impl Fn(&str) -> bool) -> Result {
        eventually(&format!("{IN_A_ROW} good lists in a row of {}", get.join(" ")), STEADY, || async {
            for _ in 0..IN_A_ROW {
                let list = self.run(get).await?;
                if !wanted(&list) {
                    return Ok(Err(list));
                }
            }
            Ok(Ok(()))
        })
        .await
    }

    /// `kubectl apply`.
    pub async fn apply(&self, object: &Value) -> Result {
        self.succeed(["apply", "-f", "-"], Some(object)).await.map(drop)
    }

    /// `kubectl create -f`, and what the server made of it.
    pub async fn create(&self, object: &Value) -> Result<Value> {
        let created = self.succeed(["create", "-f", "-", "-o", "json"], Some(object)).await?;
        Ok(serde_json::from_str(&created)?)
    }

    /// Runs it, however it ends.
    pub async fn ask<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: Option<&Value>,
    ) -> Result<Answer> {
        let mut command = Command::new(&self.program);
        command.env("KUBECONFIG", &self.kubeconfig).args(arguments).kill_on_drop(true);
        command.envs(self.variables.iter().copied());
        command.args(self.user.iter().map(|user| format!("--as={user}")));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            let text = input.map(Value::to_string).unwrap_or_default();
            stdin.write_all(text.as_bytes()).await?;
        }
        let ended = child.wait_with_output().await?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Answer {
            successful: ended.status.success(),
            output: text(ended.stdout),
            words: text(ended.stderr),
        })
    }

    async fn succeed<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: Option<&Value>,
    ) -> Result<String> {
        let arguments: Vec<OsString> = arguments.into_iter().map(|part| part.as_ref().to_owned()).collect();
        let deadline = Instant::now() + PATIENCE;
        // What a program in a pod says of its own connections is its answer.
        let is_foreign = arguments.iter().any(|part| part == "exec");
        let mut answer = self.ask(&arguments, input).await?;
        while !is_foreign && answer.has_lost_its_connection() && Instant::now() < deadline {
            sleep(PAUSE).await;
            answer = self.ask(&arguments, input).await?;
        }
        if !answer.successful {
            let shown: Vec<_> = arguments.iter().map(|part| part.to_string_lossy()).collect();
            bail!("kubectl {}: {}", shown.join(" "), answer.words.trim());
        }
        Ok(answer.output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lost_connection_is_one() {
        let lost = |words: &str| {
            let answer = Answer { successful: false, output: String::new(), words: words.to_owned() };
            answer.has_lost_its_connection()
        };
        assert!(lost("Unable to connect to the server: net/http: TLS handshake timeout"));
        assert!(lost(
            "The connection to the server a:1 was refused - did you specify the right host or port?"
        ));
        assert!(lost("error: Get \"https://a:1/api\": read tcp b->a: read: connection reset by peer"));
        assert!(lost("Unable to connect to the server: EOF"));
        assert!(!lost("Error from server (ServiceUnavailable): dial tcp a:1: connect: connection refused"));
        assert!(!lost("Error from server (NotFound): pods \"a\" not found"));
    }
}
