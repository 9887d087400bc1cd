//! Copies of the golden store, the binary run over one, and what is masked in its output.

use std::collections::BTreeMap;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Two manifests with mistakes.
pub const BROKEN: &str = "\
apiVersion: egret.dev/v1alpha1
kind: EgressPool
metadata: {name: partners}
spec:
  provider: L2
  addresses: [203.0.113.17/29]
  gateways: {nodeSelektor: {}}
---
apiVersion: egret.dev/v1alpha1
kind: StaticEgressIP
metadata: {name: bank, namespace: payments}
spec: {poolRef: {name: partners}, count: 0}
";

/// A folder with a store in it, where commands run.
pub struct Store {
    folder: TempDir,
}

impl Store {
    /// With a copy of the golden store of `egret-state`.
    pub fn golden() -> Self {
        let store = Self::empty();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../state/tests/golden/full");
        for (path, text) in tree(&golden) {
            store.put(&format!("store/{path}"), &text);
        }
        assert!(store.run("init").ends_with("exit 0\n\n"), "{}", store.run("init"));
        store
    }

    /// Without one.
    pub fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn put(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Every file, with versions and times of now masked.
    pub fn files(&self) -> BTreeMap<String, String> {
        let mut files = tree(self.folder.path());
        files.values_mut().for_each(|text| *text = text.lines().map(masked_line).collect());
        files
    }

    /// What a command says of the store, and how it ends.
    pub fn run(&self, line: &str) -> String {
        self.start(line, Some("store"), "")
    }

    /// What a command says of what is piped into it, and how it ends.
    pub fn pipe(&self, line: &str, input: &str) -> String {
        self.start(line, None, input)
    }

    /// What a command says without a store, and how it ends.
    pub fn run_bare(&self, line: &str) -> String {
        self.start(line, None, "")
    }

    fn start(&self, line: &str, store: Option<&str>, input: &str) -> String {
        let mut stdin = tempfile::tempfile().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        stdin.rewind().unwrap();
        // Neither a terminal's width nor a variable of this machine may show.
        let done = Command::new(env!("CARGO_BIN_EXE_egret"))
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .env_clear()
            .envs(store.map(|store| ("EGRET_MANIFESTS", store)))
            .stdin(Stdio::from(stdin))
            .output()
            .unwrap();
        let (out, err) = (text(&done.stdout), text(&done.stderr));
        let err = if err.is_empty() { err } else { format!("[stderr]\n{err}") };
        let line = format!("$ egret {}", line.trim());
        format!("{}\n{out}{err}exit {}\n\n", line.trim_end(), done.status.code().unwrap())
    }
}

fn text(bytes: &[u8]) -> String {
    let lines = String::from_utf8(bytes.to_vec()).unwrap();
    let mask = |line: &str| match line.split_once(" holds nothing now (") {
        Some((node, _)) => format!("{node} holds nothing now (SECONDS)\n"),
        None => format!("{}\n", masked_ages(line)),
    };
    lines.lines().map(mask).collect()
}

/// Ages grow: `23d` is `AGE`. A column may become wider by it, so there the spaces shrink.
fn masked_ages(line: &str) -> String {
    let is_age = |cell: &str| {
        let digits = cell.trim_end_matches(['s', 'm', 'h', 'd']);
        digits.len() + 1 == cell.len() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let cells: Vec<&str> = line.split("   ").map(str::trim).collect();
    if cells.iter().any(|cell| is_age(cell) || *cell == "AGE") {
        let cells = cells.into_iter().filter(|cell| !cell.is_empty());
        let cells = cells.map(|cell| if is_age(cell) { "AGE" } else { cell });
        return cells.collect::<Vec<_>>().join("   ");
    }
    line.to_owned()
}

fn masked_line(line: &str) -> String {
    let golden = |time: &str| time.trim_matches('"').starts_with("2026-05-04T");
    match line.rsplit_once(": ") {
        Some(("  resourceVersion", _)) => "  resourceVersion: VERSION\n".to_owned(),
        Some((name, time)) if name.ends_with("since") && !golden(time) => format!("{name}: NOW\n"),
        _ => format!("{line}\n"),
    }
}

/// The commands that a help lists, without `help` itself.
pub fn subcommands(help: &str) -> Vec<&str> {
    let Some((_, listed)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let lines = listed.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").collect()
}

fn tree(folder: &Path) -> BTreeMap<String, String> {
    let mut tree = BTreeMap::new();
    let mut pending: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            tree.insert(name, std::fs::read_to_string(&path).unwrap());
        }
    }
    tree
}

/// Compares a text with a golden file.
pub fn compare(name: &str, fresh: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("EGRET_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, fresh).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(fresh, golden, "{name}: EGRET_UPDATE=1 cargo test -p egret --test golden");
}
