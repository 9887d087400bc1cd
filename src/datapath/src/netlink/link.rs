//! Links.

use std::io;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InetDevConf, InfoData, InfoKind,
    InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};

use super::RouteNetlink;

/// A link as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkRecord {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) mac: Option<[u8; 6]>,
    pub(crate) mtu: u32,
    pub(crate) up: bool,
    /// Up, and the other end of the cable is there.
    pub(crate) carrier: bool,
    pub(crate) no_arp: bool,
    pub(crate) ethernet: bool,
    /// `vxlan`, `veth`, `bridge` …; `None` for hardware.
    pub(crate) kind: Option<String>,
    pub(crate) vxlan: Option<VxlanRecord>,
    pub(crate) rp_filter: Option<i32>,
    pub(crate) forwarding: Option<i32>,
    /// Of IPv6; `None` where the kernel has none.
    pub(crate) disable_ipv6: Option<bool>,
    /// Packets received since the link was made.
    pub(crate) received: u64,
}

/// The part of a VXLAN device that matters to the tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VxlanRecord {
    pub(crate) port: u16,
    pub(crate) external: bool,
}

impl RouteNetlink {
    /// All links.
    pub(crate) fn links(&mut self) -> io::Result<Vec<LinkRecord>> {
        let answers = self.dump(|| RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewLink(link) => Some(record(&link)),
                _ => None,
            })
            .collect())
    }

    /// The link of this name.
    pub(crate) fn link(&mut self, name: &str) -> io::Result<Option<LinkRecord>> {
        let mut ask = LinkMessage::default();
        ask.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.one_link(ask)
    }

    /// The link of this index.
    pub(crate) fn link_at(&mut self, index: u32) -> io::Result<Option<LinkRecord>> {
        let mut ask = LinkMessage::default();
        ask.header.index = index;
        self.one_link(ask)
    }

    fn one_link(&mut self, ask: LinkMessage) -> io::Result<Option<LinkRecord>> {
        match self.get(RouteNetlinkMessage::GetLink(ask)) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
            Ok(answers) => Ok(answers.into_iter().find_map(|answer| match answer {
                RouteNetlinkMessage::NewLink(link) => Some(record(&link)),
                _ => None,
            })),
        }
    }

    /// Makes a VXLAN device in external mode, down.
    pub(crate) fn add_vxlan(&mut self, name: &str, port: u16) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfName(name.to_owned()));
        link.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Vxlan),
            LinkInfo::Data(InfoData::Vxlan(vec![
                InfoVxlan::CollectMetadata(true),
                InfoVxlan::Learning(false),
                InfoVxlan::Port(port),
            ])),
        ]));
        self.change(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Keeps a device that is down from getting a link-local address when it comes up: with one the
    /// kernel sends router solicitations and MLD reports into the tunnel. (In the message that
    /// makes a device the kernel ignores this.)
    pub(crate) fn no_link_local(&mut self, index: u32) -> io::Result<()> {
        self.generate_link_local(index, In6AddrGenMode::None)
    }

    /// Undoes [`Self::no_link_local`]: by the hardware address, as links of this kernel get it at first.
    pub(crate) fn default_link_local(&mut self, index: u32) -> io::Result<()> {
        self.generate_link_local(index, In6AddrGenMode::Eui64)
    }

    fn generate_link_local(&mut self, index: u32, mode: In6AddrGenMode) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![
            AfSpecInet6::AddrGenMode(mode),
        ])]));
        match self.change(RouteNetlinkMessage::SetLink(link), 0) {
            Err(error) if super::no_such_family(&error) => Ok(()),
            other => other,
        }
    }

    /// Sets MTU, `arp off`, up, `rp_filter` 2 (loose) and IPv4 `forwarding` in one message.
    ///
    /// These two go by netlink since /proc/sys is read-only in a container.
    pub(crate) fn set_up(&mut self, index: u32, mtu: u32) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.header.flags = LinkFlags::Up | LinkFlags::Noarp;
        link.header.change_mask = LinkFlags::Up | LinkFlags::Noarp;
        link.attributes.push(LinkAttribute::Mtu(mtu));
        let mut settings = InetDevConf::default();
        settings.rp_filter = 2;
        settings.forwarding = 1;
        link.attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet(vec![
            AfSpecInet::DevConfRequest(settings),
        ])]));
        self.change(RouteNetlinkMessage::SetLink(link), 0)
    }

    /// Sets a link up or down, and nothing else of it.
    pub(crate) fn set_flag_up(&mut self, index: u32, up: bool) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        link.header.change_mask = LinkFlags::Up;
        self.change(RouteNetlinkMessage::SetLink(link), 0)
    }

    /// Removes a link.
    pub(crate) fn delete_link(&mut self, index: u32) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        self.change(RouteNetlinkMessage::DelLink(link), 0)
    }
}

/// Reads a link message.
pub(crate) fn record(link: &LinkMessage) -> LinkRecord {
    let mut record = LinkRecord {
        index: link.header.index,
        name: String::new(),
        mac: None,
        mtu: 0,
        up: link.header.flags.contains(LinkFlags::Up),
        carrier: link.header.flags.contains(LinkFlags::LowerUp),
        no_arp: link.header.flags.contains(LinkFlags::Noarp),
        ethernet: link.header.link_layer_type == LinkLayerType::Ether,
        kind: None,
        vxlan: None,
        rp_filter: None,
        disable_ipv6: None,
        forwarding: None,
        received: 0,
    };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => record.name.clone_from(name),
            LinkAttribute::Address(mac) => record.mac = mac.as_slice().try_into().ok(),
            LinkAttribute::Mtu(mtu) => record.mtu = *mtu,
            LinkAttribute::Stats64(stats) => record.received = stats.rx_packets,
            LinkAttribute::LinkInfo(infos) => read_kind(&mut record, infos),
            LinkAttribute::AfSpecUnspec(families) => {
                let settings = families.iter().find_map(inet_settings);
                record.rp_filter = settings.map(|settings| settings.rp_filter);
                record.forwarding = settings.map(|settings| settings.forwarding);
                record.disable_ipv6 = families.iter().find_map(is_ipv6_off);
            }
            _ => {}
        }
    }
    record
}

fn read_kind(record: &mut LinkRecord, infos: &[LinkInfo]) {
    for info in infos {
        match info {
            LinkInfo::Kind(kind) => record.kind = Some(kind.to_string()),
            LinkInfo::Data(InfoData::Vxlan(parts)) => {
                let mut vxlan = VxlanRecord::default();
                for part in parts {
                    match part {
                        InfoVxlan::Port(port) => vxlan.port = *port,
                        InfoVxlan::CollectMetadata(external) => vxlan.external = *external,
                        _ => {}
                    }
                }
                record.vxlan = Some(vxlan);
            }
            _ => {}
        }
    }
}

fn is_ipv6_off(family: &AfSpecUnspec) -> Option<bool> {
    let AfSpecUnspec::Inet6(parts) = family else { return None };
    parts.iter().find_map(|part| match part {
        AfSpecInet6::DevConf(settings) => Some(settings.disable_ipv6 != 0),
        _ => None,
    })
}

fn inet_settings(family: &AfSpecUnspec) -> Option<&InetDevConf> {
    let AfSpecUnspec::Inet(parts) = family else { return None };
    parts.iter().find_map(|part| match part {
        AfSpecInet::DevConf(settings) => Some(settings),
        _ => None,
    })
}
