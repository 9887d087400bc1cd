use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use super::*;

const PREVIOUS: &str = r#"{ "cniVersion":"1.0.0", "z": 1, "interfaces":[{"name":"eth0"}],
  "ips":[{"address":"10.244.1.5/24"},{"address":"fd00:10:244:1::5/64"}], "a": [] }"#;

fn environment(command: &str) -> Environment {
    let args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=payments;K8S_POD_NAME=settle-1;K8S_POD_UID=u-1";
    Environment { command: command.to_owned(), args: args.to_owned() }
}

fn configuration(socket: &str) -> String {
    format!(
        r#"{{"cniVersion":"1.0.0","name":"pods","type":"egret-cni","socket":"{socket}",
        "prevResult":{PREVIOUS}}}"#
    )
}

fn no_guard(path: &Path) -> Result<(), String> {
    panic!("loaded {}", path.display())
}

#[test]
fn a_guard_that_cannot_be_loaded_fails_the_add_where_that_was_asked_for() {
    let text = |more: &str| format!(r#"{{"guard":"/g"{more},"prevResult":{PREVIOUS}}}"#);
    let add = |input: &str| {
        let load = |path: &Path| Err(format!("{} is broken", path.display()));
        answer(&environment("ADD"), input, load, |_, _| panic!("told"))
    };
    assert_eq!(add(&text("")).unwrap(), PREVIOUS);
    assert_eq!(add(&text(r#","failClosed":false"#)).unwrap(), PREVIOUS);
    let error = add(&text(r#","failClosed":true"#)).unwrap_err();
    assert_eq!(error.code(), 100);
    assert!(error.to_string().contains("/g is broken"), "{error}");
    let mut loaded = false;
    let load = |_: &Path| {
        loaded = true;
        Ok(())
    };
    let input = text(r#","failClosed":true"#);
    assert_eq!(answer(&environment("ADD"), &input, load, |_, _| ()).unwrap(), PREVIOUS);
    assert!(loaded);
}

#[test]
fn no_file_is_no_failure_and_an_unreadable_one_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guard.json");
    load_in_time(&path).unwrap();
    std::fs::write(&path, "{").unwrap();
    assert!(load_in_time(&path).unwrap_err().contains("guard.json"));
}

#[test]
fn an_add_tells_the_pod_and_gives_the_result_back_as_it_came() {
    let mut reported = None;
    let said = answer(
        &environment("ADD"),
        &configuration("/run/egret/cni.sock"),
        no_guard,
        |path, added| {
            reported = Some((path.to_owned(), added));
        },
    )
    .unwrap();
    assert_eq!(said, PREVIOUS);
    let (path, added) = reported.unwrap();
    assert_eq!(path, Path::new("/run/egret/cni.sock"));
    let ips = vec!["10.244.1.5".parse().unwrap(), "fd00:10:244:1::5".parse().unwrap()];
    let [namespace, name, uid] = ["payments", "settle-1", "u-1"].map(str::to_owned);
    assert_eq!(added, PodAdded { namespace, name, uid, ips });
}

#[test]
fn what_names_no_pod_or_no_address_tells_nothing_and_succeeds() {
    let nothing = |_: &Path, added: PodAdded| panic!("told {added:?}");
    let no_pod = Environment { command: "ADD".to_owned(), args: String::new() };
    assert_eq!(answer(&no_pod, &configuration("/s"), no_guard, nothing).unwrap(), PREVIOUS);
    for previous in [r#"{"ips":[]}"#, r#"{"ips":[{"address":"?"}]}"#, r#"{"ips":3}"#, "[]"] {
        let input = format!(r#"{{"socket":"/s","prevResult":{previous}}}"#);
        assert_eq!(answer(&environment("ADD"), &input, no_guard, nothing).unwrap(), previous);
    }
    let said = answer(&environment("ADD"), r#"{"cniVersion":"0.4.0"}"#, no_guard, nothing).unwrap();
    assert_eq!(said, r#"{"cniVersion":"0.4.0"}"#);
}

#[test]
fn other_commands_have_nothing_to_say_and_version_names_the_versions() {
    for command in ["DEL", "CHECK", "GC", "STATUS"] {
        assert_eq!(answer(&environment(command), "", no_guard, |_, _| panic!()).unwrap(), "");
    }
    let said = answer(&environment("VERSION"), "{}", no_guard, |_, _| panic!()).unwrap();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let versions = json!(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
    assert_eq!(said["supportedVersions"], versions);
    let error = answer(&environment("PLAY"), "", no_guard, |_, _| panic!()).unwrap_err();
    assert_eq!(error.code(), 4);
    assert_eq!(answer(&environment("ADD"), "{", no_guard, |_, _| panic!()).unwrap_err().code(), 6);
}

fn pod() -> PodAdded {
    let ips = vec!["10.244.1.5".parse().unwrap()];
    PodAdded { namespace: "n".to_owned(), name: "p".to_owned(), uid: String::new(), ips }
}

#[test]
fn the_agent_hears_one_line_and_its_answer_ends_the_wait() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("cni.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let agent = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        stream.write_all(b"{\"programmed\":true}\n").unwrap();
        line
    });
    assert!(report(&socket, &pod()).unwrap());
    let heard: PodAdded = serde_json::from_str(&agent.join().unwrap()).unwrap();
    assert_eq!(heard, pod());
}

/// The golden text, after it was compared with `found`, or written where `EGRET_UPDATE` says so.
fn golden(name: &str, found: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var("EGRET_UPDATE").is_ok_and(|what| what == "golden") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, found).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, wanted, "{name} is what this build no longer says");
    wanted
}

/// Plugin and agent are of two builds during an update, and the runtime of a third.
///
/// `EGRET_UPDATE=golden cargo test -p egret-cni golden` writes the golden files anew.
#[test]
fn what_is_said_to_the_agent_and_to_the_runtime_is_golden() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("cni.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let agent = std::thread::spawn(move || {
        let mut lines = String::new();
        for answer in [true, false] {
            let mut stream = listener.accept().unwrap().0;
            BufReader::new(&stream).read_line(&mut lines).unwrap();
            let mut answer = serde_json::to_string(&AgentAnswer { programmed: answer }).unwrap();
            answer.push('\n');
            stream.write_all(answer.as_bytes()).unwrap();
            lines.push_str(&answer);
        }
        lines
    });
    let mut reported = Vec::new();
    let said = answer(&environment("ADD"), &configuration("/s"), no_guard, |_, added| {
        reported.push(added)
    });
    reported.push(pod());
    assert!(report(&socket, &reported[0]).unwrap());
    assert!(!report(&socket, &reported[1]).unwrap());
    let text = golden("socket.txt", &agent.join().unwrap());
    let read = text.lines().step_by(2).map(|line| serde_json::from_str::<PodAdded>(line).unwrap());
    assert_eq!(read.collect::<Vec<_>>(), reported);
    let without_uid = text.replace(r#""uid":"","#, "");
    assert_eq!(
        serde_json::from_str::<PodAdded>(without_uid.lines().nth(2).unwrap()).unwrap(),
        pod()
    );
    let answers = text.lines().skip(1).step_by(2);
    let answers = answers.map(|line| serde_json::from_str::<AgentAnswer>(line).unwrap().programmed);
    assert_eq!(answers.collect::<Vec<_>>(), [true, false]);

    let alone = answer(&environment("ADD"), r#"{"cniVersion":"0.4.0"}"#, no_guard, |_, _| panic!());
    let version = answer(&environment("VERSION"), "", no_guard, |_, _| panic!());
    let texts = [said, alone, version].map(|text| text.unwrap() + "\n");
    golden("runtime.txt", &texts.concat());
}

#[test]
fn an_agent_that_is_away_or_silent_does_not_hold_the_pod_up() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("cni.sock");
    report_in_time(&socket, pod());
    let listener = UnixListener::bind(&socket).unwrap();
    let begun = Instant::now();
    report_in_time(&socket, pod());
    assert!(begun.elapsed() >= PATIENCE);
    assert!(begun.elapsed() < Duration::from_secs(30));
    drop(listener);
    // A file without a listener, as a killed agent leaves it.
    report_in_time(&socket, pod());
}
