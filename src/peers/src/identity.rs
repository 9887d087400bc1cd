//! Who this node is to its peers: a key pair and session numbers that never go back.

use std::fmt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use egret_core::model::PublicKey;
use rustix::rand::GetRandomFlags;
use x25519_dalek::StaticSecret;

use crate::file::{self, StateError};
use crate::header::Incarnation;

const KEY: &str = "peer.key";
const SESSION: &str = "peer.session";
const LIMIT: u64 = 4_096;

/// Distance between the session numbers of two processes where the clock stands still: within one
/// process every added peer takes one more.
const STEP: u64 = 1 << 32;

/// The node's key pair and the first session number of this process.
///
/// Always: session numbers of one key pair grow from process to process (as long as the state
/// directory is not put back to an older state *and* the clock with it).
pub struct Identity {
    pub(crate) secret: StaticSecret,
    public: PublicKey,
    session: u64,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("public_key", &self.public_key()).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads the key pair from the state directory, or makes both (mode 0700 and 0600), and takes
    /// a new session number, which is on disk when this returns.
    ///
    /// # Errors
    /// The file that is unreadable, corrupt or open to others, and what to do. Nothing is replaced:
    /// the peers know this node by its key.
    pub fn open(directory: &Path) -> Result<Self, StateError> {
        file::make_directory(directory)?;
        let path = directory.join(KEY);
        let secret = match file::read(&path, LIMIT)? {
            Some(bytes) => parse_key(&path, &bytes)?,
            None => make_key(&path)?,
        };
        let session = next_session(&directory.join(SESSION))?;
        Ok(Self::new(secret, session))
    }

    /// The half that the node's `EgressNode` publishes.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// A new incarnation, greater than all before.
    pub(crate) fn incarnate(&mut self) -> Result<Incarnation, rustix::io::Errno> {
        self.session += 1;
        Ok(Incarnation::new(self.session, random()?))
    }

    fn new(secret: [u8; 32], session: u64) -> Self {
        let secret = StaticSecret::from(secret);
        let public = PublicKey(x25519_dalek::PublicKey::from(&secret).to_bytes());
        Self { secret, public, session }
    }

    #[cfg(test)]
    pub(crate) fn for_test(secret: [u8; 32], session: u64) -> Self {
        Self::new(secret, session)
    }
}

fn random<const N: usize>() -> Result<[u8; N], rustix::io::Errno> {
    let mut bytes = [0; N];
    // The kernel fills up to 256 bytes at once, or fails (getrandom(2)).
    rustix::rand::getrandom(&mut bytes[..], GetRandomFlags::empty())?;
    Ok(bytes)
}

fn make_key(path: &Path) -> Result<[u8; 32], StateError> {
    let key = random::<32>().map_err(|error| StateError::io("draw", path, error.into()))?;
    let mut text = String::with_capacity(65);
    for byte in key {
        text.push_str(&format!("{byte:02x}"));
    }
    text.push('\n');
    if file::create(path, text.as_bytes())? {
        return Ok(key);
    }
    // Another process was faster: its key is the node's.
    let bytes = file::read(path, LIMIT)?.unwrap_or_default();
    parse_key(path, &bytes)
}

fn parse_key(path: &Path, bytes: &[u8]) -> Result<[u8; 32], StateError> {
    let corrupt = || StateError::Corrupt {
        path: path.into(),
        problem: "not a key (64 hexadecimal digits)".into(),
        remedy: "restore it, or remove it: the node then gets a new key and is unknown to its \
                 peers until they have read it from the API",
    };
    let text = bytes.trim_ascii();
    if text.len() != 64 {
        return Err(corrupt());
    }
    let mut key = [0; 32];
    for (byte, digits) in key.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).ok_or_else(corrupt);
        *byte = (digit(digits[0])? << 4 | digit(digits[1])?) as u8;
    }
    Ok(key)
}

fn next_session(path: &Path) -> Result<u64, StateError> {
    let corrupt = |problem: &str| StateError::Corrupt {
        path: path.into(),
        problem: problem.into(),
        remedy: "remove it and peer.key beside it: the node then gets a new key and is unknown \
                 to its peers until they have read it from the API",
    };
    let stored = match file::read(path, LIMIT)? {
        None => 0,
        Some(bytes) => std::str::from_utf8(bytes.trim_ascii())
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or_else(|| corrupt("not a session number"))?,
    };
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let clock = u64::try_from(clock).unwrap_or(0);
    let after = stored.checked_add(STEP).filter(|next| next.checked_add(STEP).is_some());
    let next = after.ok_or_else(|| corrupt("its session numbers are used up"))?.max(clock);
    file::replace(path, format!("{next}\n").as_bytes())?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_survives_and_sessions_grow() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let mut first = Identity::open(&state).unwrap();
        let mut second = Identity::open(&state).unwrap();
        assert_eq!(first.public_key(), second.public_key());
        let (a, b, c) =
            (first.incarnate().unwrap(), first.incarnate().unwrap(), second.incarnate().unwrap());
        assert!(a < b && b < c);
        for name in [KEY, SESSION] {
            let mode = fs::metadata(state.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let other = tempfile::tempdir().unwrap();
        assert_ne!(Identity::open(other.path()).unwrap().public_key(), first.public_key());
    }

    #[test]
    fn a_session_number_never_goes_back_with_the_clock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(SESSION);
        let far = u64::MAX / 2;
        file::replace(&path, far.to_string().as_bytes()).unwrap();
        assert_eq!(next_session(&path).unwrap(), far + STEP);
        assert_eq!(next_session(&path).unwrap(), far + 2 * STEP);
        file::replace(&path, (u64::MAX - 5).to_string().as_bytes()).unwrap();
        assert!(next_session(&path).unwrap_err().to_string().contains("used up"));
    }

    #[test]
    fn what_is_corrupt_or_exposed_stops_the_start_and_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let message = || Identity::open(directory.path()).unwrap_err().to_string();
        Identity::open(directory.path()).unwrap();
        let key = directory.path().join(KEY);
        let good = fs::read(&key).unwrap();
        for bad in [&b""[..], b"zz", &[b'g'; 64], &[b'a'; 65]] {
            fs::write(&key, bad).unwrap();
            assert!(message().contains("peer.key: not a key"), "{}", message());
        }
        fs::write(&key, &good).unwrap();
        fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(message().contains("mode 0644"), "{}", message());
        fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
        fs::write(directory.path().join(SESSION), "-1").unwrap();
        assert!(message().contains("peer.session: not a session number"), "{}", message());
    }
}
