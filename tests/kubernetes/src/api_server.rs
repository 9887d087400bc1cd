//! An API server and its etcd, with nothing else.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use egret_lab::{Daemon, wait_until};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::kubectl::Kubectl;
use crate::place::{Place, short_lived};
use crate::{leftovers, pki};

/// How to start an API server; the default is alone, on loopback.
#[derive(Clone, Debug, Default)]
pub struct ApiServerOptions {
    /// Where it listens.
    pub place: Place,
    /// Another `kube-apiserver`, such as of the oldest version that is still maintained.
    pub program: Option<PathBuf>,
    /// Users besides `admin` as lines of a token file: `token,name,uid,"group"`.
    pub users: Vec<String>,
    /// More flags of `kube-apiserver`.
    pub flags: Vec<String>,
    /// Whether pods need a ServiceAccount that exists, as on a real cluster. Without a controller
    /// manager nobody makes them: then leave it false.
    pub service_accounts: bool,
}

/// An API server that answers, and its etcd. Dropping it ends both.
///
/// Node and RBAC authorization and `NodeRestriction` are on. No controller runs: nobody creates
/// `default` ServiceAccounts, finishes the deletion of namespaces, or collects garbage.
#[derive(Debug)]
pub struct ApiServer {
    options: ApiServerOptions,
    ports: Ports,
    kubectl: Kubectl,
    // Dropped in this order: etcd's clients first, the directory last.
    api: Option<Daemon>,
    etcd: Daemon,
    dir: TempDir,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    api: u16,
    etcd: u16,
    peers: u16,
}

/// How long an API server may take until it is ready; it takes 1 to 3 s on two cores.
const PATIENCE: Duration = Duration::from_secs(60);

impl ApiServer {
    /// Starts one alone, on loopback.
    ///
    /// # Errors
    /// Without the binaries (see [`crate::binary`]), and where one does not start, with its log.
    pub fn start() -> Result<Self> {
        Self::start_with(ApiServerOptions::default())
    }

    /// Starts one.
    ///
    /// # Errors
    /// As [`ApiServer::start`].
    pub fn start_with(options: ApiServerOptions) -> Result<Self> {
        leftovers::cleanup()?;
        let dir = leftovers::directory()?;
        let ports = match options.place {
            Place::Loopback => Ports::free()?,
            Place::Namespace { .. } => Ports { api: 6443, etcd: 2379, peers: 2380 },
        };
        let addresses = ["127.0.0.1", "10.96.0.1", "fd00:10:96::1"].map(str::to_owned);
        let address = options.place.address().to_string();
        pki::make(dir.path(), &[&addresses[..], &[address]].concat())?;
        let mut users = "admin,admin,admin,\"system:masters\"\n".to_owned();
        for line in &options.users {
            let _ = writeln!(users, "{line}");
        }
        std::fs::write(dir.path().join("tokens.csv"), users)?;
        let kubeconfig = write_kubeconfig(dir.path(), &options.place, ports, "admin", "admin")?;
        let kubectl = Kubectl::new(&kubeconfig, options.place.path())?;
        let etcd = start_etcd(dir.path(), &options.place, ports)?;
        let mut server = Self { options, ports, kubectl, api: None, etcd, dir };
        server.resume()?;
        Ok(server)
    }

    /// Starts the API server (again); returns when it is ready.
    ///
    /// # Errors
    /// Where it is not ready within a minute, with the end of its log.
    pub fn resume(&mut self) -> Result<()> {
        let program = match &self.options.program {
            Some(program) => program.clone(),
            None => crate::binary("kube-apiserver")?,
        };
        let mut command = short_lived(self.options.place.command(&program));
        command.args(self.flags()).args(&self.options.flags).current_dir(self.dir());
        let log = self.dir().join("kube-apiserver.log");
        self.api = Some(Daemon::start(command, &log)?);
        let ready = || {
            let ready = self.is_ready().then_some(());
            if ready.is_none() {
                // So that asking takes little of the processors that it starts with.
                std::thread::sleep(Duration::from_millis(50));
            }
            ready
        };
        wait_until("an API server that is ready", PATIENCE, ready)
            .with_context(|| tail(&log))
            .with_context(|| tail(self.etcd.log()))
    }

    /// Ends the API server as a power-off would; etcd, and so everything that was written, stays.
    /// [`ApiServer::resume`] brings it back at the same address and port.
    pub fn stop(&mut self) {
        self.api = None;
    }

    /// Stops and starts it: every watch breaks.
    ///
    /// # Errors
    /// As [`ApiServer::resume`].
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        self.resume()
    }

    /// Freezes the API server: connections stay and nothing is answered, until [`ApiServer::thaw`].
    ///
    /// # Errors
    /// Where it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.api.as_ref().context("the API server does not run")?.signal(Signal::SIGSTOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn thaw(&self) -> Result<()> {
        self.api.as_ref().context("the API server does not run")?.signal(Signal::SIGCONT)
    }

    /// Etcd's process, to slow it down by `SIGSTOP` and `SIGCONT`.
    #[must_use]
    pub fn etcd(&self) -> &Daemon {
        &self.etcd
    }

    /// The API server's process, while it runs.
    #[must_use]
    pub fn process(&self) -> Option<&Daemon> {
        self.api.as_ref()
    }

    /// Whether it says that it is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        // By curl: kubectl takes ten times the processor to start, and this is asked again and again.
        let url = format!("https://{}:{}/readyz", self.options.place.address(), self.ports.api);
        let authority = self.dir().join("ca.crt");
        let authority = authority.to_string_lossy();
        let admin = ["--max-time", "2", "--cacert", &authority, "-HAuthorization: Bearer admin"];
        self.options.place.curl(&[&admin[..], &[&url]].concat()).is_ok()
    }

    /// Its directory: keys, logs, etcd's data.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `kubectl` as `admin`, who is in `system:masters`.
    #[must_use]
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        self.kubectl.kubeconfig()
    }

    /// A kubeconfig for whoever has `token`; `name` is the file's.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn kubeconfig_of(&self, name: &str, token: &str) -> Result<PathBuf> {
        write_kubeconfig(self.dir(), &self.options.place, self.ports, name, token)
    }

    /// `kubectl` for whoever has `token`.
    ///
    /// # Errors
    /// Where the kubeconfig cannot be written.
    pub fn kubectl_of(&self, name: &str, token: &str) -> Result<Kubectl> {
        Kubectl::new(&self.kubeconfig_of(name, token)?, self.options.place.path())
    }

    /// A token of a ServiceAccount for an hour. Where `pod` is given, it is bound to that pod, as
    /// the tokens are that kubelets mount: it then carries the name of the pod's node.
    ///
    /// # Errors
    /// Where the ServiceAccount or the pod does not exist.
    pub fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
        pod: Option<&str>,
    ) -> Result<String> {
        let mut arguments = vec!["create", "token", name, "-n", namespace];
        if let Some(pod) = pod {
            arguments.extend(["--bound-object-kind", "Pod", "--bound-object-name", pod]);
        }
        Ok(self.kubectl.ask(&arguments)?.trim().to_owned())
    }

    /// Compacts etcd's history up to now: whoever then resumes a watch from an older version gets
    /// `410 Gone`.
    ///
    /// # Errors
    /// Where etcd cannot be asked.
    pub fn compact(&self) -> Result<()> {
        let revision =
            etcd_call(&self.options.place, self.ports.etcd, "kv/range", r#"{"key":"AA=="}"#)?;
        let revision: serde_json::Value = serde_json::from_str(&revision)?;
        let revision = revision["header"]["revision"].as_str().context("etcd has a revision")?;
        let body = format!(r#"{{"revision":"{revision}","physical":true}}"#);
        etcd_call(&self.options.place, self.ports.etcd, "kv/compaction", &body).map(drop)
    }

    fn flags(&self) -> Vec<String> {
        let Ports { api, etcd, .. } = self.ports;
        let mut flags =
            vec![format!("--etcd-servers=http://127.0.0.1:{etcd}"), format!("--secure-port={api}")];
        let address = self.options.place.address();
        match self.options.place {
            Place::Loopback => flags.push(format!("--bind-address={address}")),
            Place::Namespace { .. } => flags.push(format!("--advertise-address={address}")),
        }
        flags.extend(FLAGS.map(str::to_owned));
        if self.options.place == Place::Loopback {
            // Endpoints on loopback are refused, once in ten seconds, in the log.
            flags.push("--endpoint-reconciler-type=none".to_owned());
        }
        if !self.options.service_accounts {
            flags.push("--disable-admission-plugins=ServiceAccount".to_owned());
        }
        flags
    }
}

const FLAGS: [&str; 15] = [
    "--tls-cert-file=api.crt",
    "--tls-private-key-file=api.key",
    "--client-ca-file=ca.crt",
    "--token-auth-file=tokens.csv",
    "--kubelet-client-certificate=api-kubelet.crt",
    "--kubelet-client-key=api-kubelet.key",
    "--kubelet-preferred-address-types=InternalIP",
    "--service-account-issuer=https://kubernetes.default.svc",
    "--service-account-key-file=sa.pub",
    "--service-account-signing-key-file=sa.key",
    "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112",
    "--authorization-mode=Node,RBAC",
    "--enable-admission-plugins=NodeRestriction",
    "--allow-privileged=true",
    "--profiling=false",
];

impl Ports {
    /// Three ports that were free a moment ago, held together so that they differ.
    fn free() -> Result<Self> {
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let held = [bind()?, bind()?, bind()?];
        let port = |at: usize| held[at].local_addr().map(|address| address.port());
        Ok(Self { api: port(0)?, etcd: port(1)?, peers: port(2)? })
    }
}

fn start_etcd(dir: &Path, place: &Place, ports: Ports) -> Result<Daemon> {
    let (clients, peers) =
        (format!("http://127.0.0.1:{}", ports.etcd), format!("http://127.0.0.1:{}", ports.peers));
    let mut command = short_lived(place.command(&crate::binary("etcd")?));
    command.arg(format!("--data-dir={}", dir.join("etcd").display())).args([
        // Its data live as long as the directory, and a disk would be the slowest part of it all.
        "--unsafe-no-fsync",
        "--log-level=warn",
        &format!("--listen-client-urls={clients}"),
        &format!("--advertise-client-urls={clients}"),
        &format!("--listen-peer-urls={peers}"),
        &format!("--initial-advertise-peer-urls={peers}"),
        &format!("--initial-cluster=default={peers}"),
    ]);
    Daemon::start(command, &dir.join("etcd.log"))
}

/// A call of etcd's JSON gateway.
fn etcd_call(place: &Place, port: u16, method: &str, body: &str) -> Result<String> {
    let url = format!("http://127.0.0.1:{port}/v3/{method}");
    place.curl(&["--max-time", "10", "-d", body, &url]).with_context(|| format!("etcd {method}"))
}

fn write_kubeconfig(
    dir: &Path,
    place: &Place,
    ports: Ports,
    name: &str,
    token: &str,
) -> Result<PathBuf> {
    let path = dir.join(format!("{name}.kubeconfig"));
    let (address, port, ca) = (place.address(), ports.api, dir.join("ca.crt"));
    let text = format!(
        "apiVersion: v1
kind: Config
clusters:
- name: egret
  cluster: {{server: \"https://{address}:{port}\", certificate-authority: {ca}}}
users:
- name: {name}
  user: {{token: {token}}}
contexts:
- name: egret
  context: {{cluster: egret, user: {name}}}
current-context: egret
",
        ca = ca.display()
    );
    // Whole at once: others may be reading it.
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(text.as_bytes())?;
    file.persist(&path)?;
    Ok(path)
}

/// The end of a log, for an error.
pub(crate) fn tail(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let from = bytes.len().saturating_sub(3000);
    format!("{} ends with:\n{}", log.display(), String::from_utf8_lossy(&bytes[from..]))
}
