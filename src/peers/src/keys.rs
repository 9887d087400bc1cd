//! The two keys of a pair of nodes, one per direction, and the ids that tell senders apart.

use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use egret_core::model::{NodeName, PublicKey};
use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use x25519_dalek::StaticSecret;

use crate::header::{SenderId, VERSION, array};

/// Seals what goes to the peer and opens what comes from it.
pub(crate) struct PairKeys {
    pub(crate) seal: XChaCha20Poly1305,
    pub(crate) open: XChaCha20Poly1305,
}

/// The keys between `me` and `peer`; `None` where the peer's public key is one of the few points
/// that give everybody the same secret (RFC 7748 section 6.1).
pub(crate) fn derive(
    secret: &StaticSecret,
    cluster: &str,
    me: &NodeName,
    peer: &NodeName,
    public_key: &PublicKey,
) -> Option<PairKeys> {
    let shared = secret.diffie_hellman(&x25519_dalek::PublicKey::from(public_key.0));
    if !shared.was_contributory() {
        return None;
    }
    let hkdf = Hkdf::<Sha256>::new(Some(b"egret peers"), shared.as_bytes());
    Some(PairKeys {
        seal: direction(&hkdf, cluster, me, peer)?,
        open: direction(&hkdf, cluster, peer, me)?,
    })
}

fn direction(
    hkdf: &Hkdf<Sha256>,
    cluster: &str,
    from: &NodeName,
    to: &NodeName,
) -> Option<XChaCha20Poly1305> {
    let mut info = vec![VERSION];
    for part in [cluster, from.as_str(), to.as_str()] {
        push(&mut info, part.as_bytes());
    }
    let mut key = [0; 32];
    hkdf.expand(&info, &mut key).ok()?;
    Some(XChaCha20Poly1305::new(&key.into()))
}

/// Names a sender in the header. The name is part of it: a node that publishes another's public
/// key as its own cannot take the other's place in the table.
pub(crate) fn sender_id(cluster: &str, name: &NodeName, public_key: &PublicKey) -> SenderId {
    let mut text = Vec::new();
    for part in [cluster.as_bytes(), name.as_str().as_bytes(), &public_key.0[..]] {
        push(&mut text, part);
    }
    array(&Sha256::digest(&text)[..16])
}

/// Length first, so that no two lists of parts have the same bytes.
fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend((part.len() as u64).to_be_bytes());
    bytes.extend(part);
}
