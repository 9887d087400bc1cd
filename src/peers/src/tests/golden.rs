//! The bytes of datagrams and of the files in the state directory, which older agents write and
//! read too.
//!
//! `EGRET_UPDATE=golden cargo test -p egret-peers golden` writes the golden files anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::*;
use crate::channel::{Channel, Verified};
use crate::header::{DatagramKind, HEADER, Header, Incarnation, TAG};
use crate::keys;

/// The golden text, after it was compared with `found`, or written where `EGRET_UPDATE` says so.
fn golden(name: &str, found: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var("EGRET_UPDATE").is_ok_and(|what| what == "golden") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, found).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, wanted, "{name} is what this build no longer writes");
    wanted
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// What `me` keeps of `peer`, with an incarnation that no chance is in.
fn channel(me: (&str, u8), peer: (&str, u8), session: u64) -> Channel {
    let (mine, theirs) = (Identity::for_test([me.1; 32], 0), Identity::for_test([peer.1; 32], 0));
    let (my_name, their_name) = (me.0.into(), peer.0.into());
    let keys =
        keys::derive(&mine.secret, CLUSTER, &my_name, &their_name, &theirs.public_key()).unwrap();
    let my_id = keys::sender_id(CLUSTER, &my_name, &mine.public_key());
    let table = Peer { endpoints: Vec::new(), port: 7_946, public_key: theirs.public_key() };
    let salt = [0x50 + me.1; 8];
    Channel::new(their_name, table, keys, my_id, Incarnation::new(session, salt))
}

/// Opens a datagram and gives the plain bytes too.
fn open(by: &mut Channel, datagram: &[u8], now: Instant) -> (Verified, String, Header) {
    let mut datagram = datagram.to_vec();
    let header = Header::decode(&datagram).unwrap();
    let verified = by.open(&header, &mut datagram, now).unwrap();
    let plain = String::from_utf8_lossy(&datagram[HEADER..datagram.len() - TAG]).into_owned();
    (verified, plain, header)
}

#[test]
fn headers_have_their_bytes() {
    let header = |kind, echo| Header {
        kind,
        sender: std::array::from_fn(|at| 0x10 + at as u8),
        incarnation: Incarnation::new(0x2122_2324_2526_2728, [0x31; 8]),
        counter: 0x4142_4344_4546_4748,
        echo,
    };
    let known = Incarnation::new(0x5152_5354_5556_5758, [0x61; 8]);
    let headers = [
        ("message", header(DatagramKind::Message, Incarnation::UNKNOWN)),
        ("hello", header(DatagramKind::Hello, known)),
    ];
    let mut found = String::new();
    for (name, header) in headers {
        let bytes = header.encode();
        writeln!(found, "{name}: {}", hex(&bytes)).unwrap();
        assert_eq!(Header::decode(&[&bytes[..], &[0; TAG]].concat()), Ok(header));
    }
    golden("headers.txt", &found);
}

/// Keys, ids, nonces and the order of everything in a datagram: another build opens what this one
/// seals.
#[test]
fn sealed_datagrams_have_their_bytes() {
    let (mut a, mut b) = (channel(("a", 1), ("b", 2), 9), channel(("b", 2), ("a", 1), 10));
    let (now, text) = (Instant::now(), "a message of the layer above");
    let (mut first, mut hello, mut second) = (Vec::new(), Vec::new(), Vec::new());

    assert!(a.seal(text.as_bytes(), now, &mut first));
    let (verified, plain, header) = open(&mut b, &first, now);
    assert!(matches!(verified, Verified::Refused));
    assert_eq!(plain, text);

    assert!(b.hello(&header, &mut hello));
    let (verified, _, _) = open(&mut a, &hello, now);
    let Verified::Met(Some(refused)) = verified else { panic!("not met") };
    assert_eq!(refused, text.as_bytes());

    assert!(a.seal_again(&refused, &mut second));
    let (verified, plain, _) = open(&mut b, &second, now);
    assert!(matches!(verified, Verified::Message));
    assert_eq!(plain, text);

    let key = |number| hex(&Identity::for_test([number; 32], 0).public_key().0);
    let found = format!(
        "public key of a: {}\npublic key of b: {}\n\
         message: {}\nhello: {}\nmessage again: {}\n",
        key(1),
        key(2),
        hex(&first),
        hex(&hello),
        hex(&second),
    );
    golden("sealed.txt", &found);
}

#[test]
fn the_key_and_the_session_have_their_files() {
    let directory = tempfile::tempdir().unwrap();
    let key = golden("peer.key", &format!("{}\n", "5a".repeat(32)));
    put(directory.path(), "peer.key", &key);
    // Far above every clock, so that the next number follows from this one alone.
    put(directory.path(), "peer.session", "9223372036854775807\n");
    let identity = Identity::open(directory.path()).unwrap();
    assert_eq!(identity.public_key(), Identity::for_test([0x5a; 32], 0).public_key());
    assert_eq!(fs::read_to_string(directory.path().join("peer.key")).unwrap(), key);
    golden("peer.session", &fs::read_to_string(directory.path().join("peer.session")).unwrap());

    // A new key is written in the same form.
    let other = tempfile::tempdir().unwrap();
    Identity::open(other.path()).unwrap();
    let made = fs::read_to_string(other.path().join("peer.key")).unwrap();
    assert_eq!(made.len(), key.len());
    assert!(made.ends_with('\n'), "{made:?}");
    assert!(made.trim_end().bytes().all(|digit| b"0123456789abcdef".contains(&digit)), "{made:?}");
}

/// A file that only its owner may read, as the agent wants it.
fn put(directory: &Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}
