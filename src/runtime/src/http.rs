//! `/metrics`, `/healthz` and `/readyz` for a scraper, a kubelet and `curl`, over HTTP/1. One request a
//! connection, GET and HEAD, no body read. Metrics are read one scrape at a time, and by no thread that runs anything else.
//!
//! Bounded: 16 connections at once, heads of 4 KiB, 5 s for all of it. More wait in the kernel.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::exposition;
use crate::health::Health;

const CONNECTIONS: usize = 16;
const HEAD: usize = 4 << 10;
const PATIENCE: Duration = Duration::from_secs(5);

const PLAIN: &str = "text/plain; charset=utf-8";

/// Serves until dropped. A connection that fails or lingers harms only itself.
pub async fn serve(listener: TcpListener, registry: Arc<Registry>, health: Health) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let scrapes = Scrapes::new(registry);
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
        let (scrapes, health) = (scrapes.clone(), health.clone());
        tokio::spawn(async move {
            let answered = tokio::time::timeout(PATIENCE, answer(stream, &scrapes, &health)).await;
            if let Ok(Err(error)) = answered {
                tracing::debug!(%error, "a connection for metrics broke");
            }
            drop(slot);
        });
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    scrapes: &Scrapes,
    health: &Health,
) -> hyper::Result<()> {
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(respond(&request, scrapes, health).await)
    });
    http1::Builder::new()
        .keep_alive(false)
        // A client may say all that it has to say and close its side.
        .half_close(true)
        .max_header_size(HEAD)
        .title_case_headers(true)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn respond(
    request: &Request<Incoming>,
    scrapes: &Scrapes,
    health: &Health,
) -> Response<String> {
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            scrapes.read(exposition::wants_open_metrics(request.headers())).await
        }
        (&Method::GET | &Method::HEAD, "/healthz") => checked(health.dead()),
        (&Method::GET | &Method::HEAD, "/readyz") => checked(health.unready()),
        (&Method::GET | &Method::HEAD, _) => {
            (StatusCode::NOT_FOUND, PLAIN, "here are /metrics, /healthz and /readyz\n".into())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n".into()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// Reads the registry. Some of it runs a tool, which may hang: the next scrape waits for that one, in vain if need be.
#[derive(Clone, Debug)]
struct Scrapes {
    registry: Arc<Registry>,
    one: Arc<Semaphore>,
}

impl Scrapes {
    fn new(registry: Arc<Registry>) -> Self {
        Self { registry, one: Arc::new(Semaphore::new(1)) }
    }

    async fn read(&self, open_metrics: bool) -> (StatusCode, &'static str, String) {
        let registry = Arc::clone(&self.registry);
        let one = Arc::clone(&self.one).acquire_owned().await;
        let encoded = tokio::task::spawn_blocking(move || {
            let _one = one;
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).map(|()| text)
        });
        match encoded.await {
            Ok(Ok(text)) if open_metrics => (StatusCode::OK, exposition::OPEN_METRICS, text),
            Ok(Ok(text)) => (StatusCode::OK, exposition::TEXT, exposition::text(&text)),
            Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{error}\n")),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{error}\n")),
        }
    }
}

fn checked(problems: Vec<String>) -> (StatusCode, &'static str, String) {
    if problems.is_empty() {
        (StatusCode::OK, PLAIN, "ok\n".into())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, PLAIN, problems.join("\n") + "\n")
    }
}

#[cfg(test)]
mod tests {
    use egret_netns::NetworkNamespace;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::net::TcpStream;

    use super::*;

    /// A connection to a server of its own, with room for whole answers.
    fn connect(registry: Registry, health: Health) -> DuplexStream {
        let (client, server) = tokio::io::duplex(64 << 10);
        tokio::spawn(async move {
            // How a broken request ends is for the log alone.
            let _ = answer(server, &Scrapes::new(Arc::new(registry)), &health).await;
        });
        client
    }

    /// All that a connection brings for these bytes.
    async fn ask(request: &[u8], health: Health) -> String {
        let mut client = connect(crate::metrics::registry("1"), health);
        client.write_all(request).await.unwrap();
        read(&mut client).await
    }

    async fn read(client: &mut (impl AsyncRead + Unpin)) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    }

    /// Status, headers in the order of the alphabet, body.
    fn parts(answer: &str) -> (&str, Vec<&str>, &str) {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let (line, headers) = head.split_once("\r\n").unwrap();
        let mut headers: Vec<&str> = headers.split("\r\n").collect();
        headers.sort_unstable();
        (line.split_once(' ').unwrap().1, headers, body)
    }

    #[tokio::test]
    async fn every_request_has_its_answer() {
        for (request, expected) in [
            (&b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"[..], "200"),
            (b"GET /healthz?x=1 HTTP/1.0\r\n\r\n", "200"),
            (b"HEAD /readyz HTTP/1.1\r\n\r\n", "200"),
            (b"GET /secrets HTTP/1.1\r\n\r\n", "404"),
            (b"GET /metrics/ HTTP/1.1\r\n\r\n", "404"),
            (b"POST /metrics HTTP/1.1\r\n\r\n", "405"),
            (b"POST /secrets HTTP/1.1\r\nContent-Length: 9\r\n\r\n", "405"),
            (b"OPTIONS * HTTP/1.1\r\n\r\n", "405"),
            (b"GET /healthz HTTP/1.1\r\n\r\nGET /healthz HTTP/1.1", "200"),
            (b"GET /metrics\r\n\r\n", "400"),
            (b"\xff\xfe\r\n\r\n", "400"),
        ] {
            let answer = ask(request, Health::default()).await;
            assert_eq!(&answer[9..12], expected, "{:?}", String::from_utf8_lossy(request));
        }
    }

    #[tokio::test]
    async fn answers_say_what_and_how_long_they_are() {
        let plain = ask(b"GET /metrics HTTP/1.1\r\n\r\n", Health::default()).await;
        let (_, headers, body) = parts(&plain);
        assert!(headers.contains(&"Content-Type: text/plain; version=0.0.4; charset=utf-8"));
        assert!(
            body.contains("# TYPE egret_build_info gauge\n") && !body.contains("EOF"),
            "{body}"
        );
        let asked = b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text\r\n\r\n";
        let answer = ask(asked, Health::default()).await;
        let (status, headers, body) = parts(&answer);
        let length = format!("Content-Length: {}", body.len());
        let kind = "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(status, "200 OK");
        assert_eq!(headers, ["Allow: GET, HEAD", "Connection: close", length.as_str(), kind]);
        assert!(body.contains("egret_build_info{version=\"1\"} 1") && body.ends_with("# EOF\n"));
        for (request, status, body) in [
            ("GET /healthz", "200 OK", "ok\n"),
            ("GET /", "404 Not Found", "here are /metrics, /healthz and /readyz\n"),
            ("PUT /metrics", "405 Method Not Allowed", "only GET and HEAD\n"),
        ] {
            let request = format!("{request} HTTP/1.1\r\n\r\n");
            let answer = ask(request.as_bytes(), Health::default()).await;
            let length = format!("Content-Length: {}", body.len());
            let kind = "Content-Type: text/plain; charset=utf-8";
            let headers = vec!["Allow: GET, HEAD", "Connection: close", &length, kind];
            assert_eq!(parts(&answer), (status, headers, body));
        }
    }

    #[tokio::test]
    async fn ready_says_what_is_missing_and_head_has_no_body() {
        let health = Health::default();
        health.set_missing("store", Some("unreachable".into()));
        let get = ask(b"GET /readyz HTTP/1.1\r\n\r\n", health.clone()).await;
        let (status, headers, body) = parts(&get);
        assert_eq!((status, body), ("503 Service Unavailable", "store: unreachable\n"));
        let head = ask(b"HEAD /readyz HTTP/1.1\r\n\r\n", health).await;
        assert_eq!(parts(&head), (status, headers, ""));
    }

    #[tokio::test]
    async fn one_request_is_answered_and_what_follows_is_not() {
        let two = b"GET /healthz HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n";
        let answer = ask(two, Health::default()).await;
        assert_eq!(parts(&answer).2, "ok\n");
        // Nobody waits for a body that is announced.
        let body = b"DELETE /metrics HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nabc";
        assert_eq!(parts(&ask(body, Health::default()).await).0, "405 Method Not Allowed");
    }

    #[tokio::test]
    async fn a_client_that_has_said_all_gets_its_answer() {
        let mut client = connect(Registry::default(), Health::default());
        client.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(parts(&read(&mut client).await).2, "ok\n");
    }

    #[tokio::test]
    async fn a_request_in_pieces_is_answered_and_the_connection_closed() {
        let registry = crate::metrics::registry("1");
        let (mut client, server) = tokio::io::duplex(8);
        let answered = tokio::spawn(async move {
            let scrapes = Scrapes::new(Arc::new(registry));
            answer(server, &scrapes, &Health::default()).await.unwrap();
        });
        client.write_all(b"GET /metrics HTTP/1.1\r\nHost: egret\r\n\r\n").await.unwrap();
        let text = read(&mut client).await;
        assert!(
            text.starts_with("HTTP/1.1 200 OK") && text.contains("egret_build_info{"),
            "{text}"
        );
        answered.await.unwrap();
    }

    #[tokio::test]
    async fn an_endless_head_is_cut_off() {
        let answer = ask(&[b'a'; HEAD], Health::default()).await;
        assert_eq!(parts(&answer).0, "431 Request Header Fields Too Large");
        let head = |value| {
            let head = format!("GET /healthz HTTP/1.1\r\nX: {:a>value$}\r\n\r\n", "");
            (head.len(), head)
        };
        let (length, fits) = head(HEAD - 30);
        assert_eq!(length, HEAD);
        assert_eq!(parts(&ask(fits.as_bytes(), Health::default()).await).0, "200 OK");
        let (_, longer) = head(HEAD - 29);
        let answer = ask(longer.as_bytes(), Health::default()).await;
        assert_eq!(parts(&answer).0, "431 Request Header Fields Too Large");
    }

    #[tokio::test]
    async fn what_ends_within_its_head_is_not_answered() {
        for request in [&b"GET /metrics HTTP/1.1\r\n"[..], b""] {
            let mut client = connect(Registry::default(), Health::default());
            client.write_all(request).await.unwrap();
            client.shutdown().await.unwrap();
            assert_eq!(read(&mut client).await, "");
        }
    }

    /// A server in the namespace where the caller is, and its address.
    async fn server() -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, Arc::new(Registry::default()), Health::default()));
        address
    }

    #[tokio::test(start_paused = true)]
    async fn silent_clients_lose_their_slot() {
        let namespace = NetworkNamespace::new("http");
        let _inside = namespace.enter();
        let address = server().await;
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").await.unwrap();
        let answer = read(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }

    #[tokio::test]
    async fn one_more_than_there_are_slots_waits_for_one() {
        let namespace = NetworkNamespace::new("http");
        let _inside = namespace.enter();
        let address = server().await;
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").await.unwrap();
        let early = tokio::time::timeout(Duration::from_millis(200), client.readable()).await;
        assert!(early.is_err(), "{early:?}");
        silent.pop();
        assert_eq!(parts(&read(&mut client).await).2, "ok\n");
    }
}
