use std::os::unix::fs::PermissionsExt as _;

use tokio::sync::mpsc;

use super::*;

const CONFLIST: &str = r#"{"name":"pods","plugins":[{"type":"bridge"}]}"#;

/// The two folders of a host, and a program to install.
struct Host {
    _dir: tempfile::TempDir,
    paths: HostPaths,
}

impl Host {
    fn new(configurations: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [bin_dir, conf_dir] = ["bin", "net.d"].map(|name| dir.path().join(name));
        fs::create_dir(&bin_dir).unwrap();
        fs::create_dir(&conf_dir).unwrap();
        let plugin = dir.path().join("program");
        fs::write(&plugin, "a program").unwrap();
        let socket = PathBuf::from("/run/egret/cni.sock");
        let entry = PluginEntry { socket, guard: None, fail_closed: false };
        let host = Self { _dir: dir, paths: HostPaths { bin_dir, conf_dir, entry, plugin } };
        for (name, text) in configurations {
            fs::write(host.conf(name), text).unwrap();
        }
        host
    }

    fn conf(&self, name: &str) -> PathBuf {
        self.paths.conf_dir.join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.conf(name)).unwrap()
    }

    fn file(&self) -> PathBuf {
        self.paths.bin_dir.join(TYPE)
    }

    fn ensure(&self) -> Result<(), PluginInstallError> {
        Installation::new(self.paths.clone()).ensure(Instant::now()).unwrap()
    }

    fn remove(&self) -> Result<(), PluginInstallError> {
        remove(&self.paths.bin_dir, &self.paths.conf_dir, false)
    }
}

#[test]
fn the_first_configuration_gets_the_entry_and_keeps_its_mode() {
    let host = Host::new(&[
        ("05-broken.conflist", "{"),
        ("10-a.conflist", CONFLIST),
        ("20-b.conflist", CONFLIST),
        ("00-readme.txt", "no configuration"),
    ]);
    let path = host.conf("10-a.conflist");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    host.ensure().unwrap();
    assert!(host.text("10-a.conflist").contains(TYPE));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(host.text("20-b.conflist"), CONFLIST);
    assert_eq!(fs::read_to_string(host.file()).unwrap(), "a program");
    assert_eq!(fs::metadata(host.file()).unwrap().permissions().mode() & 0o777, 0o755);
    // Nothing is written twice.
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    host.ensure().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written);
    assert_eq!(fs::read_dir(&host.paths.conf_dir).unwrap().count(), 4);
}

#[test]
fn what_cannot_be_chained_is_left_and_said() {
    let host =
        Host::new(&[("00-multus.conf", r#"{"type":"multus"}"#), ("10-a.conflist", CONFLIST)]);
    let error = host.ensure().unwrap_err().to_string();
    assert!(error.contains("00-multus.conf is of one plugin"), "{error}");
    assert_eq!(host.text("10-a.conflist"), CONFLIST);
    let host = Host::new(&[]);
    assert!(matches!(host.ensure(), Err(PluginInstallError::None(_))));
}

#[test]
fn removal_leaves_the_configuration_as_it_was_and_no_file() {
    let host = Host::new(&[("10-a.conflist", CONFLIST)]);
    host.ensure().unwrap();
    host.remove().unwrap();
    assert_eq!(host.text("10-a.conflist"), CONFLIST);
    assert!(!host.file().exists());
    host.remove().unwrap();
}

#[test]
fn the_file_stays_while_anything_names_it_and_where_it_is_asked_for() {
    let host = Host::new(&[("10-a.conflist", CONFLIST)]);
    host.ensure().unwrap();
    fs::copy(host.conf("10-a.conflist"), host.conf("10-a.conflist.bak")).unwrap();
    assert!(matches!(host.remove(), Err(PluginInstallError::Named(_))));
    assert!(host.file().exists());
    fs::remove_file(host.conf("10-a.conflist.bak")).unwrap();
    remove(&host.paths.bin_dir, &host.paths.conf_dir, true).unwrap();
    assert!(host.file().exists());
    host.remove().unwrap();
    assert!(!host.file().exists());
}

#[test]
fn who_undoes_it_again_and_again_is_not_fought() {
    let host = Host::new(&[]);
    let installation = Installation::new(host.paths.clone());
    let begun = Instant::now();
    for _ in 0..MOST_WRITES {
        fs::write(host.conf("10-a.conflist"), CONFLIST).unwrap();
        installation.ensure(begun).unwrap().unwrap();
    }
    fs::write(host.conf("10-a.conflist"), CONFLIST).unwrap();
    let error = installation.ensure(begun).unwrap().unwrap_err();
    assert!(matches!(error, PluginInstallError::Contended(_)), "{error}");
    assert_eq!(host.text("10-a.conflist"), CONFLIST);
    installation.ensure(begun + WINDOW).unwrap().unwrap();
    assert!(host.text("10-a.conflist").contains(TYPE));
}

#[tokio::test]
async fn a_rewritten_configuration_and_a_deleted_file_come_back_until_the_removal() {
    let host = Host::new(&[("10-a.conflist", CONFLIST)]);
    let installation = Installation::new(host.paths.clone());
    let (news, mut heard) = mpsc::channel(64);
    let kept = tokio::spawn(installation.clone().keep(news));
    heard.recv().await.unwrap().unwrap();
    for spoil in
        [&(|| fs::write(host.conf("10-a.conflist"), CONFLIST).unwrap()) as &dyn Fn(), &|| {
            fs::remove_file(host.file()).unwrap()
        }]
    {
        spoil();
        while !(host.file().exists() && host.text("10-a.conflist").contains(TYPE)) {
            // What was read half-written is looked at again.
            let _ = heard.recv().await.unwrap();
        }
    }
    let removed = tokio::task::spawn_blocking(move || installation.remove(false));
    removed.await.unwrap().unwrap();
    while heard.recv().await.is_some() {}
    kept.await.unwrap();
    assert!(!host.file().exists());
    assert_eq!(host.text("10-a.conflist"), CONFLIST);
}
