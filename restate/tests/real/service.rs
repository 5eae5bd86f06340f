//! A service endpoint of few bytes: it answers discovery, and holds every call without a word, so that an attempt
//! is in flight and stays without a pin. Not an SDK: where an invocation must end, Restate kills it.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) struct Service {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Service {
    /// Offers one service with one handler, `hang`. `ty` as in the discovery protocol: `SERVICE`, `VIRTUAL_OBJECT`.
    pub(crate) async fn start(name: &str, ty: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let manifest = format!(
            r#"{{"protocolMode":"REQUEST_RESPONSE","minProtocolVersion":5,"maxProtocolVersion":5,"services":[{{"name":"{name}","ty":"{ty}","handlers":[{{"name":"hang"}}]}}]}}"#
        );
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answer(stream, manifest.clone()));
            }
        });
        Self { address, task }
    }

    pub(crate) fn uri(&self) -> String {
        format!("http://{}/", self.address)
    }
}

async fn answer(mut stream: TcpStream, manifest: String) {
    let mut request = [0; 8192];
    while let Ok(length @ 1..) = stream.read(&mut request).await {
        if request[..length].starts_with(b"PRI * HTTP/2") {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.ok();
            return;
        }
        if !request[..length].starts_with(b"GET") {
            std::future::pending::<()>().await;
        }
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.restate.endpointmanifest.v1+json\r\n\
             content-length: {}\r\n\r\n{manifest}",
            manifest.len()
        );
        stream.write_all(answer.as_bytes()).await.ok();
    }
}
