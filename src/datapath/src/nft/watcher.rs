//! What others, and we, change of our table.

use std::collections::BTreeSet;
use std::io;

use egret_ports::error::PortError;
use egret_ports::steering::{SteeringChange, SteeringWatcher};
use netlink_packet_core::{NlaBuffer, NlasIterator};
use netlink_sys::protocols::NETLINK_NETFILTER;

use crate::netlink::notices::{NoticeRead, NoticeSocket};
use crate::netlink::{refused, split};

// include/uapi/linux/netfilter/nfnetlink.h and nf_tables.h
const NFNLGRP_NFTABLES: u32 = 7;
const NFNL_SUBSYS_NFTABLES: u8 = 10;
const NFT_MSG_NEWGEN: u8 = 15;
const NFTA_GEN_PROC_PID: u16 = 2;
const NFTA_GEN_PROC_NAME: u16 = 3;
const NFPROTO_INET: u8 = 1;
/// The table's name is attribute 1 of tables, chains, rules, sets, elements and objects alike.
const NFTA_TABLE: u16 = 1;

/// Reads transactions: some notices, then one of the new generation, which says who did it.
pub(super) struct NftWatcher {
    socket: NoticeSocket,
    table: String,
    touched: BTreeSet<&'static str>,
    removed: bool,
}

impl NftWatcher {
    pub(super) fn new(table: &str) -> io::Result<Self> {
        Ok(Self {
            socket: NoticeSocket::open(NETLINK_NETFILTER, &[NFNLGRP_NFTABLES])?,
            table: table.to_owned(),
            touched: BTreeSet::new(),
            removed: false,
        })
    }

    fn message(&mut self, message: &[u8]) -> Option<SteeringChange> {
        let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
        let [kind, subsystem] = kind.to_le_bytes();
        // The netlink header has 16 bytes, nfgenmsg 4, the first of them the family.
        let family = *message.get(16)?;
        let attributes = message.get(20..)?;
        if subsystem != NFNL_SUBSYS_NFTABLES {
            return None;
        }
        if kind == NFT_MSG_NEWGEN {
            return self.end_of_transaction(attributes);
        }
        let name = attribute(attributes, NFTA_TABLE)?;
        if family != NFPROTO_INET || text(&name) != self.table {
            return None;
        }
        match kind {
            // A replaced table is removed and made in one transaction.
            0 => self.removed = false,
            2 => self.removed = true,
            3..=5 => _ = self.touched.insert("chain"),
            6..=8 => _ = self.touched.insert("rule"),
            9..=11 => _ = self.touched.insert("set"),
            12..=14 => _ = self.touched.insert("element"),
            _ => _ = self.touched.insert("object"),
        }
        None
    }

    fn end_of_transaction(&mut self, attributes: &[u8]) -> Option<SteeringChange> {
        let touched = std::mem::take(&mut self.touched);
        let removed = std::mem::take(&mut self.removed);
        let what = match (removed, touched.is_empty()) {
            (true, _) => "the nft table was removed".to_owned(),
            (false, false) => {
                let parts: Vec<&str> = touched.into_iter().collect();
                format!("the nft table was changed ({})", parts.join(", "))
            }
            (false, true) => return None,
        };
        let by = attribute(attributes, NFTA_GEN_PROC_NAME).map(|name| {
            let pid = attribute(attributes, NFTA_GEN_PROC_PID)
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, u32::from_be_bytes);
            format!("{} ({pid})", text(&name))
        });
        Some(SteeringChange::Rules { what, by })
    }
}

impl SteeringWatcher for NftWatcher {
    fn wait(&mut self) -> Result<Vec<SteeringChange>, PortError> {
        let read = self.socket.read().map_err(|e| refused("read the notices of nftables", e))?;
        Ok(match read {
            NoticeRead::Lost => vec![SteeringChange::Unknown],
            NoticeRead::Messages(bytes) => {
                split(&bytes).filter_map(|message| self.message(message)).collect()
            }
        })
    }
}

fn attribute(bytes: &[u8], wanted: u16) -> Option<Vec<u8>> {
    NlasIterator::new(bytes)
        .map_while(Result::ok)
        .find(|attribute: &NlaBuffer<&[u8]>| attribute.kind() == wanted)
        .map(|attribute| attribute.value().to_vec())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}
