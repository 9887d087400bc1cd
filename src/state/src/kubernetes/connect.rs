//! How the API server is found and connected to.

use std::path::PathBuf;
use std::time::Duration;

use http::uri::Scheme;
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower::ServiceBuilder;

use crate::error::StoreError;

const CONNECT: Duration = Duration::from_secs(3);
/// How often a silent connection is asked whether somebody is there, and for how long it may keep
/// silent about that: a dead or frozen API server is noticed within 10 s.
const ALIVE_EVERY: Duration = Duration::from_secs(6);
const ALIVE_PATIENCE: Duration = Duration::from_secs(4);

/// Which API server, and as whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// The kubeconfig file; `None`: the cluster that this process is a pod of, or else what the
    /// environment variable KUBECONFIG names, or else `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; `None`: its current one. Says too that a kubeconfig is meant.
    pub context: Option<String>,
}

pub async fn client(connection: &Connection) -> Result<Client, StoreError> {
    let config = config(connection).await?;
    let wrong = |error: kube::Error| StoreError::Configuration(error.to_string());
    let namespace = config.default_namespace.clone();
    let auth = config.auth_layer().map_err(wrong)?;
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(CONNECT));
    http.set_nodelay(true);
    // For the time before the first HTTP/2 ping, and for servers without HTTP/2.
    http.set_keepalive(Some(ALIVE_EVERY));
    http.set_keepalive_interval(Some(Duration::from_secs(2)));
    http.set_keepalive_retries(Some(2));
    let tls = config.rustls_client_config().map_err(wrong)?;
    let mut https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = name.clone().try_into().map_err(|_| {
            StoreError::Configuration(format!("tls-server-name {name} is no name of a server"))
        })?;
        https = https.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    // All watches of a process share one connection where the server has HTTP/2: a thousand agents
    // with ten each would be a burden.
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_keep_alive_interval(Some(ALIVE_EVERY))
        .http2_keep_alive_timeout(ALIVE_PATIENCE)
        .http2_keep_alive_while_idle(true);
    let service = builder.build::<_, Body>(https.enable_all_versions().wrap_connector(http));
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(auth)
        .layer(config.extra_headers_layer().map_err(wrong)?)
        .map_err(tower::BoxError::from)
        .service(service);
    Ok(Client::new(service, namespace))
}

async fn config(connection: &Connection) -> Result<Config, StoreError> {
    let named = connection.kubeconfig.is_some() || connection.context.is_some();
    if !named && let Ok(config) = Config::incluster() {
        return Ok(config);
    }
    let options =
        KubeConfigOptions { context: connection.context.clone(), ..KubeConfigOptions::default() };
    let found = match &connection.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let found = found.map_err(|error| {
        let remedy = match &connection.kubeconfig {
            Some(path) => format!("check {}", path.display()),
            None => "this process is in no cluster: name a file with --kubeconfig or KUBECONFIG, \
                     or a directory of manifests with --manifests"
                .to_owned(),
        };
        StoreError::Configuration(format!("{error}; {remedy}"))
    })?;
    let config = Config::from_custom_kubeconfig(found, &options).await;
    let config = config.map_err(|error| StoreError::Configuration(error.to_string()))?;
    if config.proxy_url.is_some() {
        return Err(StoreError::Configuration(
            "the kubeconfig names a proxy-url, which is not supported: name the API server's own \
             address"
                .to_owned(),
        ));
    }
    match config.cluster_url.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS || *scheme == Scheme::HTTP => Ok(config),
        _ => Err(StoreError::Configuration(format!(
            "server {} is no https:// address",
            config.cluster_url
        ))),
    }
}
