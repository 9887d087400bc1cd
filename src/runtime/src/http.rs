//! `/metrics`, `/healthz` and `/readyz`: the little of HTTP/1.1 (RFC 9112) that a scraper, a kubelet
//! and `curl` need. One request a connection, GET and HEAD, no body read.
//!
//! Bounded: 16 connections at once, heads of 4 KiB, 5 s for all of it. More wait in the kernel.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::health::Health;

const CONNECTIONS: usize = 16;
const HEAD: usize = 4 << 10;
const PATIENCE: Duration = Duration::from_secs(5);

const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Serves until dropped. A connection that fails or lingers harms only itself.
pub async fn serve(listener: TcpListener, registry: Arc<Registry>, health: Health) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors: accepting again at once would spin (accept(2), EMFILE).
                tracing::warn!(%error, "cannot accept a connection for metrics");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let (registry, health) = (Arc::clone(&registry), health.clone());
        tokio::spawn(async move {
            let answered = tokio::time::timeout(PATIENCE, answer(stream, &registry, &health)).await;
            if let Ok(Err(error)) = answered {
                tracing::debug!(%error, "a connection for metrics broke");
            }
            drop(slot);
        });
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    registry: &Registry,
    health: &Health,
) -> io::Result<()> {
    let mut head = Vec::with_capacity(HEAD);
    while !ended(&head) {
        let room = HEAD - head.len();
        if room == 0 || (&mut stream).take(room as u64).read_buf(&mut head).await? == 0 {
            break;
        }
    }
    let response = respond(&head, registry, health);
    stream.write_all(&response).await?;
    stream.shutdown().await
}

fn ended(head: &[u8]) -> bool {
    head.windows(4).any(|end| end == b"\r\n\r\n")
}

/// The whole response to a request's head.
fn respond(head: &[u8], registry: &Registry, health: &Health) -> Vec<u8> {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).unwrap_or_default();
    let mut words = line.split(' ');
    let (method, target) = (words.next(), words.next());
    let whole = ended(head) && words.next().is_some_and(|v| v.starts_with("HTTP/1"));
    let path = target.unwrap_or_default().split('?').next().unwrap_or_default();
    let (status, kind, body) = match (method, path) {
        _ if !whole => ("400 Bad Request", PLAIN, "not a GET request of HTTP/1.1\n".into()),
        (Some("GET" | "HEAD"), "/metrics") => metrics(registry),
        (Some("GET" | "HEAD"), "/healthz") => checked(health.dead()),
        (Some("GET" | "HEAD"), "/readyz") => checked(health.unready()),
        (Some("GET" | "HEAD"), _) => {
            ("404 Not Found", PLAIN, "here are /metrics, /healthz and /readyz\n".into())
        }
        _ => ("405 Method Not Allowed", PLAIN, "only GET and HEAD\n".into()),
    };
    let mut response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Allow: GET, HEAD\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if method != Some("HEAD") {
        response.push_str(&body);
    }
    response.into_bytes()
}

fn metrics(registry: &Registry) -> (&'static str, &'static str, String) {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => ("200 OK", METRICS, text),
        Err(error) => ("500 Internal Server Error", PLAIN, format!("{error}\n")),
    }
}

fn checked(problems: Vec<String>) -> (&'static str, &'static str, String) {
    if problems.is_empty() {
        ("200 OK", PLAIN, "ok\n".into())
    } else {
        ("503 Service Unavailable", PLAIN, problems.join("\n") + "\n")
    }
}

#[cfg(test)]
mod tests {
    use egret_netns::Namespace;
    use tokio::net::TcpStream;

    use super::*;

    fn status(head: &[u8]) -> String {
        let response = respond(head, &Registry::default(), &Health::default());
        String::from_utf8(response[9..12].to_vec()).unwrap()
    }

    #[test]
    fn every_request_has_its_answer() {
        for (head, expected) in [
            (&b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"[..], "200"),
            (b"GET /healthz?x=1 HTTP/1.0\r\n\r\n", "200"),
            (b"HEAD /readyz HTTP/1.1\r\n\r\n", "200"),
            (b"GET /secrets HTTP/1.1\r\n\r\n", "404"),
            (b"POST /metrics HTTP/1.1\r\n\r\n", "405"),
            (b"GET /healthz HTTP/1.1\r\n\r\nGET /healthz HTTP/1.1", "200"),
            (b"GET /metrics HTTP/1.1\r\n", "400"),
            (b"GET /metrics\r\n\r\n", "400"),
            (b"\xff\xfe\r\n\r\n", "400"),
            (b"", "400"),
        ] {
            assert_eq!(status(head), expected, "{:?}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn ready_says_what_is_missing_and_head_has_no_body() {
        let health = Health::default();
        health.set_missing("store", Some("unreachable".into()));
        let get = respond(b"GET /readyz HTTP/1.1\r\n\r\n", &Registry::default(), &health);
        let text = String::from_utf8(get).unwrap();
        assert!(text.starts_with("HTTP/1.1 503") && text.ends_with("\r\n\r\nstore: unreachable\n"));
        let head = respond(b"HEAD /readyz HTTP/1.1\r\n\r\n", &Registry::default(), &health);
        assert!(String::from_utf8(head).unwrap().ends_with("Connection: close\r\n\r\n"));
    }

    #[tokio::test]
    async fn a_request_in_pieces_is_answered_and_the_connection_closed() {
        let registry = crate::metrics::registry("1");
        let (mut client, server) = tokio::io::duplex(8);
        let answered = tokio::spawn(async move {
            answer(server, &registry, &Health::default()).await.unwrap();
        });
        client.write_all(b"GET /metrics HTTP/1.1\r\nHost: egret\r\n\r\n").await.unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with("# EOF\n"), "{text}");
        answered.await.unwrap();
    }

    #[tokio::test]
    async fn an_endless_head_is_cut_off() {
        let (mut client, server) = tokio::io::duplex(2 * HEAD);
        client.write_all(&[b'a'; HEAD + 1]).await.unwrap();
        answer(server, &Registry::default(), &Health::default()).await.unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 400"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn silent_clients_lose_their_slot() {
        let namespace = Namespace::new("http");
        let _inside = namespace.enter();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let registry = Arc::new(Registry::default());
        let server = tokio::spawn(serve(listener, registry, Health::default()));
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        server.abort();
    }
}
