//! S41 and neighbours: what comes in, and what stays inside, keeps its source.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use egret_lab::address::{AddressFamily, OUTSIDE};
use egret_lab::load::{seen_by, source_seen};

use crate::fixtures::{bank, holder};
use egret_lab::bench::Bench;

/// NodePort and LB as DNAT rules; pod to pod, pod to node; replies are not steered.
pub fn run(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let port = fixture.lab.reserve_ports();
    let pod = fixture.lab.pod("settle-1")?;
    let (pod_net, addresses) = (pod.net.path(), pod.addresses);
    let node = fixture.lab.node("director-1")?;
    let ends = node.addresses();
    node.net()?.nft(&format!(
        "table inet lab-service {{ chain pre {{
  type nat hook prerouting priority dstnat;
  ip daddr {n4} tcp dport {np} dnat ip to {p4}:{port}
  ip6 daddr {n6} tcp dport {np} dnat ip6 to [{p6}]:{port}
}}
}}\n",
        n4 = ends[0],
        n6 = ends[1],
        p4 = addresses[0],
        p6 = addresses[1],
        np = port + 1
    ));
    let (out, other) = (fixture.lab.out.path(), fixture.lab.pod("settle-2")?);
    let (other_net, other_ends) = (other.net.path(), other.addresses);
    for family in AddressFamily::BOTH {
        let listen = SocketAddr::new(family.pick(addresses), port);
        let through = SocketAddr::new(family.pick(ends), port + 1);
        let name = family.name();
        let seen = seen_by(&pod_net, listen, &out, through)?;
        ensure!(seen == family.pick(OUTSIDE), "NodePort over {name}: the pod sees {seen}");
        let seen = seen_by(&pod_net, listen, &other_net, listen)?;
        ensure!(seen == family.pick(other_ends), "pod to pod over {name}: {seen}");
        // The CNI masquerades pod → node, and Egret leaves that to it.
        let host = fixture.lab.node("director-2")?;
        let host_listen = SocketAddr::new(family.pick(host.addresses()), port + 2);
        let seen = seen_by(&host.net()?.path(), host_listen, &pod_net, host_listen)?;
        ensure!(seen == family.pick(ends), "pod to node over {name}: {seen}");
        let seen = source_seen(&mut fixture.lab, "settle-1", family)?;
        ensure!(seen == family.pick(bank()), "to the outside over {name}: {seen}");
        let seen = source_seen(&mut fixture.lab, "other-1", family)?;
        ensure!(seen == family.pick(ends), "a pod that is not selected, over {name}: {seen}");
    }
    fixture.lab.node("director-1")?.shell("nft delete table inet lab-service")?;
    Ok(())
}

/// A Service whose endpoint is outside: the destination after DNAT decides.
pub fn external_endpoint(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let port = fixture.lab.reserve_ports();
    let service: IpAddr = "10.96.0.77".parse()?;
    fixture.lab.node("director-1")?.net()?.nft(&format!(
        "table ip lab-service {{ chain pre {{
  type nat hook prerouting priority dstnat;
  ip daddr {service} tcp dport 80 dnat to {}:{port}
}}
}}\n",
        OUTSIDE[0]
    ));
    let client = fixture.lab.pod("settle-1")?.net.path();
    let listen = SocketAddr::new(OUTSIDE[0], port);
    let seen = seen_by(&fixture.lab.out.path(), listen, &client, SocketAddr::new(service, 80))?;
    ensure!(seen == bank()[0], "through a Service with an external endpoint: {seen}");
    fixture.lab.node("director-1")?.shell("nft delete table ip lab-service")?;
    Ok(())
}

/// Nothing listens on the egress address: no port of the gateway node is open there.
pub fn nothing_listens(bench: &mut Bench) -> Result<()> {
    let fixture = bench.fixture()?;
    let gateway = holder(fixture)?;
    let port = fixture.lab.reserve_ports();
    let net = fixture.lab.node(&gateway)?.net()?.path();
    for family in AddressFamily::BOTH {
        let unspecified: IpAddr = match family {
            AddressFamily::V4 => "0.0.0.0".parse()?,
            AddressFamily::V6 => "::".parse()?,
        };
        let listen = SocketAddr::new(unspecified, port);
        let own = family.pick(fixture.lab.node(&gateway)?.addresses());
        seen_by(&net, listen, &fixture.lab.out.path(), SocketAddr::new(own, port))?;
        let egress = SocketAddr::new(family.pick(bank()), port);
        let answer = seen_by(&net, listen, &fixture.lab.out.path(), egress);
        ensure!(answer.is_err(), "{egress} reached a port of {gateway}");
    }
    Ok(())
}
