//! A real Restate of a test's own, in a folder of its own, ended with the test.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use restate_client::transport::Options;
use restate_client::{Admin, Endpoint, Node, Policy, Transport};
use tempfile::TempDir;

/// Path of the server's program; without it these tests do nothing.
const PROGRAM: &str = "RESTATE_TEST_SERVER";

pub(crate) struct Server {
    process: Child,
    folder: TempDir,
    admin: u16,
    node: u16,
    ingress: u16,
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

impl Server {
    /// Starts a server that waits to be provisioned; `None` where no program is given.
    pub(crate) async fn start() -> Option<Self> {
        let Some(program) = std::env::var_os(PROGRAM).map(PathBuf::from) else {
            eprintln!("{PROGRAM} is not set: nothing was tested");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let [admin, node, ingress] = [(); 3].map(|()| free_port());
        std::fs::write(folder.path().join("restate.toml"), config(admin, node, ingress)).unwrap();
        let process = launch(&program, folder.path());
        let server = Self { process, folder, admin, node, ingress };
        eventually("the node answers", || async { server.node().ident().await.ok() }).await;
        Some(server)
    }

    pub(crate) fn node(&self) -> Node {
        Node::new(&format!("http://127.0.0.1:{}", self.node)).unwrap()
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::new(&format!("http://127.0.0.1:{}", self.admin), &policy()).unwrap()
    }

    pub(crate) fn admin(&self) -> Admin {
        Admin::new(&transport(), &self.endpoint())
    }

    pub(crate) fn ingress(&self) -> u16 {
        self.ingress
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!("{}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

pub(crate) fn policy() -> Policy {
    Policy::default().with_loopback()
}

pub(crate) fn transport() -> Transport {
    Transport::new(&Options { policy: policy(), extra_ca: Vec::new() }).unwrap()
}

/// Asks again until there is an answer, for half a minute.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    for _ in 0..300 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what}: not within half a minute");
}

fn config(admin: u16, node: u16, ingress: u16) -> String {
    format!(
        "cluster-name = \"real\"\nnode-name = \"real-0\"\nauto-provision = false\n\
         bind-address = \"127.0.0.1:{node}\"\nadvertised-address = \"http://127.0.0.1:{node}\"\n\
         [admin]\nbind-address = \"127.0.0.1:{admin}\"\n[ingress]\nbind-address = \"127.0.0.1:{ingress}\"\n"
    )
}

fn launch(program: &Path, folder: &Path) -> Child {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    Command::new(program)
        .arg("--config-file")
        .arg(folder.join("restate.toml"))
        .arg("--base-dir")
        .arg(folder.join("data"))
        .env("RESTATE_LOG_DISABLE_ANSI_CODES", "true")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
