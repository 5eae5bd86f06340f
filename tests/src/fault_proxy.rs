//! A proxy in front of Restate's admin API that can behave as networks and servers do on a bad day.

mod relay;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

pub use self::relay::Order;
use self::relay::Relay;
use crate::{Lab, Restate, Result};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// It goes through.
    None,
    /// The connection is closed before anything is said.
    Refuse,
    /// It is taken, and nothing ever comes back.
    Hang,
    /// It is answered with status 500.
    ServerError,
    /// It is answered with status 200 and no JSON.
    Garbage,
    /// It is answered with status 200 and the first part of an answer; then the connection ends.
    Truncate,
    /// It is answered with status 200 and a list of nothing, which a proxy or an empty Restate might say.
    Empty,
    /// A question gets the answer that it had before this began; orders go through.
    Stale,
}

/// The proxy. Connections that are open are cut when the fault changes.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    relay: Arc<Relay>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// In front of the admin API of this Restate; nothing goes wrong yet.
    pub async fn new(lab: &Lab, restate: &Restate) -> Result<Self> {
        let get = ["-n", restate.name(), "get", "service", "restate", "-o", "jsonpath={.spec.clusterIP}"];
        let target = format!("{}:9070", lab.kubectl()?.run(get).await?);
        Self::between(lab.address().await?.as_str(), target).await
    }

    /// From a free port of this address to `target`.
    pub async fn between(address: &str, target: String) -> Result<Self> {
        let listener =
            TcpListener::bind((address, 0)).await.with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        let (fault, seen) = watch::channel(Fault::None);
        let relay = Arc::new(Relay::to(target));
        let task = tokio::spawn(accept(listener, Arc::clone(&relay), seen));
        Ok(Self { address, fault, relay, task })
    }

    /// What a manifest names as `register.url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What reached Restate that changes something, in order.
    pub fn record(&self) -> Vec<Order> {
        self.relay.orders()
    }

    /// How many registrations reached Restate, dry runs among them.
    pub fn registrations(&self) -> usize {
        self.relay.orders().iter().filter(|order| order.what.starts_with("POST /deployments")).count()
    }

    /// From now on, this happens.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, relay: Arc<Relay>, fault: watch::Receiver<Fault>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (relay, mut fault) = (Arc::clone(&relay), fault.clone());
        tokio::spawn(async move {
            let now = *fault.borrow_and_update();
            tokio::select! {
                // How a cut connection ends is the other side's to judge.
                _ = serve(stream, relay, now) => {},
                _ = fault.changed() => {},
            }
        });
    }
}

async fn serve(client: TcpStream, relay: Arc<Relay>, fault: Fault) -> std::io::Result<()> {
    match fault {
        Fault::None => relay.serve(client, false).await,
        Fault::Stale => relay.serve(client, true).await,
        Fault::Refuse => client.set_zero_linger(),
        Fault::Hang => {
            tokio::time::sleep(Duration::from_hours(1)).await;
            Ok(())
        }
        Fault::ServerError => say(client, "500 Internal Server Error", 0, r#"{"message":"no luck"}"#).await,
        Fault::Garbage => say(client, "200 OK", 0, "<html>hi</html>\n").await,
        Fault::Truncate => say(client, "200 OK", 4000, r#"{"rows":[{"deployment_id":"dp_1","#).await,
        Fault::Empty => say(client, "200 OK", 0, r#"{"rows":[],"deployments":[],"services":[]}"#).await,
    }
}

/// An answer that announces `missing` more bytes than come.
async fn say(mut client: TcpStream, status: &str, missing: usize, body: &str) -> std::io::Result<()> {
    // The request is read as far as it came: a client that is answered before it has spoken may not listen.
    let mut request = vec![0; 16 * 1024];
    let _ = client.read(&mut request).await?;
    let length = body.len() + missing;
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n");
    client.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes()).await?;
    client.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts its answers.
    async fn server() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            for count in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{count}");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        address
    }

    async fn ask(proxy: &FaultProxy) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(proxy.address).await?;
        stream.write_all(b"GET /version HTTP/1.1\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn each_fault_is_what_it_says() {
        let proxy = FaultProxy::between("127.0.0.1", server().await).await.unwrap();
        assert!(ask(&proxy).await.unwrap().ends_with("\r\n\r\n0"));
        proxy.set(Fault::Stale);
        assert!(ask(&proxy).await.unwrap().ends_with("\r\n\r\n0"), "said again");
        proxy.set(Fault::ServerError);
        assert!(ask(&proxy).await.unwrap().starts_with("HTTP/1.1 500 "));
        for (fault, is_whole) in [(Fault::Garbage, true), (Fault::Empty, true), (Fault::Truncate, false)] {
            proxy.set(fault);
            let answer = ask(&proxy).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert_eq!(head.contains(&format!("content-length: {}", body.len())), is_whole, "{answer}");
        }
        proxy.set(Fault::Refuse);
        assert!(ask(&proxy).await.map_or(true, |answer| answer.is_empty()));
        proxy.set(Fault::None);
        assert!(ask(&proxy).await.unwrap().ends_with("\r\n\r\n1"), "a new one");
    }

    #[tokio::test]
    async fn orders_are_recorded_as_they_went_through() {
        let proxy = FaultProxy::between("127.0.0.1", server().await).await.unwrap();
        for line in ["GET /services", "POST /deployments", "DELETE /deployments/dp_1"] {
            let mut stream = TcpStream::connect(proxy.address).await.unwrap();
            let request = format!("{line} HTTP/1.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let _ = stream.read_to_string(&mut String::new()).await;
        }
        let record = proxy.record();
        let told: Vec<_> = record.iter().map(|order| (order.what.as_str(), order.status)).collect();
        assert_eq!(told, [("POST /deployments", 200), ("DELETE /deployments/dp_1", 200)]);
        assert_eq!((proxy.registrations(), proxy.record().len()), (1, 2));
    }

    #[tokio::test]
    async fn a_request_that_hangs_is_cut_when_the_fault_ends() {
        let proxy = FaultProxy::between("127.0.0.1", server().await).await.unwrap();
        proxy.set(Fault::Hang);
        let asked = async {
            tokio::time::timeout(Duration::from_millis(200), ask(&proxy)).await.unwrap_err();
            let cut = tokio::join!(ask(&proxy), async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                proxy.set(Fault::None);
            });
            cut.0
        };
        let cut = tokio::time::timeout(Duration::from_secs(5), asked).await.unwrap();
        assert!(cut.map_or(true, |answer| answer.is_empty()));
    }
}
