use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::{AgentAnswer, LONGEST_REQUEST, PATIENCE, PodAdded};

/// What VERSION answers. Chained plugins with `prevResult` exist since 0.3.0.
const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// Where the agent keeps the guard on a host on which nothing else was chosen.
const GUARD: &str = "/var/lib/egret/guard.json";

/// The runtime called the plugin in a way that the specification does not know. Codes as in the CNI
/// specification, section 5 (Error).
#[derive(Debug, thiserror::Error)]
pub enum CniError {
    /// Code 4.
    #[error("CNI_COMMAND is {0:?}: use ADD, DEL, CHECK, VERSION, GC or STATUS")]
    Command(String),
    /// Code 6.
    #[error("the network configuration on the standard input is not what a runtime writes: {0}")]
    Configuration(#[from] serde_json::Error),
    /// Code 5.
    #[error("standard input or output: {0}")]
    Io(#[from] io::Error),
    /// Code 100, the first that is a plugin's own.
    #[error("no pod starts before the guard is loaded (failClosed): {0}")]
    Guard(String),
}

impl CniError {
    fn code(&self) -> u32 {
        match self {
            Self::Command(_) => 4,
            Self::Io(_) => 5,
            Self::Configuration(_) => 6,
            Self::Guard(_) => 100,
        }
    }
}

/// What the runtime says in variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `CNI_COMMAND`.
    pub command: String,
    /// `CNI_ARGS`: `KEY=VALUE;KEY=VALUE`.
    pub args: String,
}

impl Environment {
    fn read() -> Self {
        let variable = |name| std::env::var(name).unwrap_or_default();
        Self { command: variable("CNI_COMMAND"), args: variable("CNI_ARGS") }
    }

    fn arg(&self, key: &str) -> &str {
        let pairs = self.args.split(';').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(name, _)| *name == key).map(|(_, value)| value).next().unwrap_or_default()
    }
}

/// The plugin's own configuration, with what the runtime adds.
#[derive(Deserialize)]
struct Configuration<'a> {
    #[serde(rename = "cniVersion")]
    version: Option<String>,
    socket: Option<PathBuf>,
    guard: Option<PathBuf>,
    #[serde(default, rename = "failClosed")]
    fail_closed: bool,
    #[serde(borrow, rename = "prevResult")]
    previous: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct PreviousResult {
    #[serde(default)]
    ips: Vec<Interface>,
}

#[derive(Deserialize)]
struct Interface {
    address: String,
}

/// Runs the plugin as a container runtime calls it: variables, standard input and output. With the argument
/// `guard`, as a unit of systemd does, it loads the guard and ends.
///
/// # Errors
/// Where the call itself is wrong, and where the guard is not loaded; a runtime has then been told on the
/// standard output too, as the specification wants it.
pub fn run() -> Result<(), CniError> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == "guard") {
        let path = arguments.next().map_or_else(|| PathBuf::from(GUARD), PathBuf::from);
        return load_in_time(&path).map_err(CniError::Guard);
    }
    let environment = Environment::read();
    let outcome = read_and_answer(&environment);
    let said = match &outcome {
        Ok(said) => said.clone(),
        Err(error) => {
            json!({"cniVersion": "1.0.0", "code": error.code(), "msg": error.to_string()})
                .to_string()
        }
    };
    let mut out = io::stdout().lock();
    out.write_all(said.as_bytes())?;
    out.flush()?;
    outcome.map(drop)
}

fn read_and_answer(environment: &Environment) -> Result<String, CniError> {
    let mut input = String::new();
    io::stdin().lock().read_to_string(&mut input)?;
    answer(environment, &input, load_in_time, report_in_time)
}

/// What the plugin prints for one call. For an ADD `load` is called with the guard's file, and then
/// `tell`, where it is of a pod, with its socket and addresses; what becomes of that does not matter.
///
/// # Errors
/// An unknown command, an ADD whose configuration cannot be read, and one with `failClosed` whose guard
/// is not loaded.
pub fn answer(
    environment: &Environment,
    input: &str,
    load: impl FnOnce(&Path) -> Result<(), String>,
    tell: impl FnOnce(&Path, PodAdded),
) -> Result<String, CniError> {
    match environment.command.as_str() {
        "ADD" => {
            let configuration: Configuration<'_> = serde_json::from_str(input)?;
            // Before the agent is told: where it runs, its own rules are there.
            match configuration.guard.as_deref().map_or(Ok(()), load) {
                Err(why) if configuration.fail_closed => return Err(CniError::Guard(why)),
                Err(why) => eprintln!("egret-cni: {why}; the pod starts without it"),
                Ok(()) => {}
            }
            if let (Some(socket), Some(added)) =
                (&configuration.socket, added(environment, &configuration))
            {
                tell(socket, added);
            }
            let version = configuration.version.as_deref().unwrap_or("1.0.0");
            Ok(configuration.previous.map_or_else(
                || json!({"cniVersion": version}).to_string(),
                |previous| previous.get().to_owned(),
            ))
        }
        "DEL" | "CHECK" | "GC" | "STATUS" => Ok(String::new()),
        "VERSION" => Ok(json!({"cniVersion": "1.1.0", "supportedVersions": VERSIONS}).to_string()),
        other => Err(CniError::Command(other.to_owned())),
    }
}

/// The pod, where the call is for one and it has addresses.
fn added(environment: &Environment, configuration: &Configuration<'_>) -> Option<PodAdded> {
    let previous = configuration.previous?.get();
    let previous: PreviousResult = serde_json::from_str(previous).unwrap_or_default();
    let address = |interface: Interface| {
        let text = interface.address;
        text.split('/').next().and_then(|text| text.parse::<IpAddr>().ok())
    };
    let ips: Vec<IpAddr> = previous.ips.into_iter().filter_map(address).collect();
    let [namespace, name, uid] = ["K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_UID"]
        .map(|key| environment.arg(key).to_owned());
    let complete = !ips.is_empty() && !namespace.is_empty() && !name.is_empty();
    complete.then_some(PodAdded { namespace, name, uid, ips })
}

/// Loads the guard where nothing of Egret's is in the kernel, and waits for [`PATIENCE`] at most: others may
/// have the lock of nf_tables.
fn load_in_time(path: &Path) -> Result<(), String> {
    let (done, waiting) = mpsc::channel();
    let file = path.to_owned();
    let thread = std::thread::Builder::new().spawn(move || {
        // Nobody waits any more: too late.
        let _ = done.send(egret_guard::load(&file));
    });
    thread.map_err(|error| error.to_string())?;
    match waiting.recv_timeout(PATIENCE) {
        Ok(loaded) => loaded.map(drop).map_err(|error| error.to_string()),
        Err(_) => Err(format!(
            "the guard {} is not loaded within {} ms; look at what holds nf_tables up",
            path.display(),
            PATIENCE.as_millis()
        )),
    }
}

/// Tells the agent, and waits for its answer for [`PATIENCE`] at most.
///
/// The thread is left behind when that is over: to connect blocks without a limit while the
/// socket's backlog is full (unix(7)), and the process ends anyway.
fn report_in_time(socket: &Path, added: PodAdded) {
    let (done, waiting) = mpsc::channel();
    let path = socket.to_owned();
    let thread = std::thread::Builder::new().spawn(move || {
        // Nobody waits any more: too late.
        let _ = done.send(report(&path, &added));
    });
    let outcome = match thread {
        Ok(_) => waiting.recv_timeout(PATIENCE),
        Err(error) => Ok(Err(error)),
    };
    let why = match outcome {
        Ok(Ok(true)) => return,
        Ok(Ok(false)) => "it has not programmed the pod".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} ms", PATIENCE.as_millis()),
    };
    eprintln!("egret-cni: the agent at {}: {why}; the pod starts without it", socket.display());
}

fn report(socket: &Path, added: &PodAdded) -> io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    let mut line = serde_json::to_vec(added)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut said = String::new();
    BufReader::new(stream).take(LONGEST_REQUEST).read_line(&mut said)?;
    let answer: AgentAnswer = serde_json::from_str(&said)?;
    Ok(answer.programmed)
}

#[cfg(test)]
mod tests;
