//! Real sockets of a pod, SNATed by its node's stack: bulk, fragments, path MTU, wire addresses.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use egret_netns::{NetworkNamespace, veth};
use egret_ports::gateway::AddressMap as _;

use super::net::{Net, Node, Underlay, egress, ip, socket, world};
use super::packets::{PATIENCE, Port, answers, set_fragment, source_mac, udp};

/// A pod behind `node`, whose flows are SNATed to the egress addresses, ports 1024–1151, and
/// steered into the tunnel: the least of what the director's rules do.
fn pod(node: &Node) -> NetworkNamespace {
    let pod = NetworkNamespace::new("pod");
    let host = &node.namespace;
    for namespace in [&pod, host] {
        namespace.sysctl("net/ipv6/conf/default/accept_dad", "0");
    }
    veth(&pod, "eth0", host, "pod0");
    pod.run("ip addr add 10.9.0.2/24 dev eth0");
    pod.run("ip -6 addr add fd09::2/64 dev eth0 nodad");
    host.run("ip addr add 10.9.0.1/24 dev pod0");
    host.run("ip -6 addr add fd09::1/64 dev pod0 nodad");
    pod.run("ip route add default via 10.9.0.1");
    pod.run("ip -6 route add default via fd09::1");
    host.sysctl("net/ipv4/ip_forward", "1");
    host.sysctl("net/ipv6/conf/all/forwarding", "1");
    for family in ["-4", "-6"] {
        host.run(&format!("ip {family} rule add iif pod0 lookup 5480"));
        host.run(&format!("ip {family} route add default dev egret0 table 5480"));
    }
    host.nft(
        "table inet egret {
           chain select {
             type filter hook prerouting priority -90
             iifname egret0 ct state != { established, related } counter drop
           }
           chain post {
             type nat hook postrouting priority 99
             oifname egret0 ip saddr 10.9.0.2 meta l4proto { tcp, udp, icmp } \
               snat ip to 192.0.2.200:1024-1151
             oifname egret0 ip6 saddr fd09::2 meta l4proto { tcp, udp, ipv6-icmp } \
               snat ip6 to [2001:db8:1::200]:1024-1151
           }
         }",
    );
    pod
}

fn pair(net: &Net) -> (Node, Node, NetworkNamespace) {
    let (gateway, director) = net.gateway_and_director();
    let pod = pod(&director);
    (gateway, director, pod)
}

/// Opens a connection from the pod, echoes `bytes` through it, returns the client's address as the
/// world saw it.
fn echo(net: &Net, pod: &NetworkNamespace, v4: bool, bytes: usize) -> SocketAddr {
    let outside = net.world.enter();
    let listener = TcpListener::bind(socket(world(v4), 0)).unwrap();
    drop(outside);
    let server = listener.local_addr().unwrap();
    let serving = thread::spawn(move || {
        let (mut stream, peer) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
        peer
    });
    let inside = pod.enter();
    let mut client = TcpStream::connect_timeout(&server, PATIENCE).unwrap();
    drop(inside);
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let sent: Vec<u8> = (0..bytes).map(|index| (index % 251) as u8).collect();
    client.write_all(&sent).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    assert!(back == sent, "{} of {} bytes came back", back.len(), sent.len());
    serving.join().unwrap()
}

/// Checksum errors that a namespace's stack has counted, of all protocols.
fn checksum_errors(namespace: &NetworkNamespace) -> u64 {
    let _inside = namespace.enter();
    let v4 = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let v6 = std::fs::read_to_string("/proc/thread-self/net/snmp6").unwrap();
    let lines: Vec<&str> = v4.lines().collect();
    let named = lines.chunks(2).flat_map(|pair| {
        pair[0].split_whitespace().zip(pair[1].split_whitespace()).collect::<Vec<_>>()
    });
    let v4: u64 = named
        .filter(|(name, _)| *name == "InCsumErrors")
        .map(|(_, n)| n.parse().unwrap_or(0))
        .sum();
    let of_v6 = |line: &str| {
        let (name, count) = line.split_once(char::is_whitespace)?;
        name.ends_with("InCsumErrors").then(|| count.trim().parse::<u64>().unwrap_or(0))
    };
    v4 + v6.lines().filter_map(of_v6).sum::<u64>()
}

const BULK: usize = 8 << 20;

#[test]
fn bulk_passes_in_both_directions_and_path_mtu_is_found() {
    for underlay in [Underlay::V4, Underlay::V6] {
        let net = Net::new(underlay);
        let (mut gateway, _director, pod) = pair(&net);
        for v4 in [true, false] {
            let seen = echo(&net, &pod, v4, BULK);
            assert_eq!(seen.ip(), egress(v4));
            assert!((1024..1152).contains(&seen.port()), "{seen}");
        }
        // The world's segments were too long at first: it was told so and believed it.
        assert!(gateway.count("too_big_answered") >= 2);
        assert_eq!(checksum_errors(&net.world) + checksum_errors(&pod), 0);
    }
}

#[test]
fn the_wire_address_stands_for_the_egress_address() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, mut director, pod) = pair(&net);
    for (v4, wire) in [(true, ip("192.0.2.55")), (false, ip("2001:db8:1::55"))] {
        let mut entry = gateway.entry(
            egret_ports::gateway::AddressState::Held,
            &gateway,
            Duration::from_secs(600),
        );
        entry.wire = Some(wire);
        gateway.addresses.put(egress(v4), &entry).unwrap();
        assert_eq!(gateway.addresses.entries().unwrap()[&egress(v4)], entry);
        let seen = echo(&net, &pod, v4, BULK);
        assert_eq!(seen.ip(), wire);
        // An ICMP error quotes the wire address; the pod's socket gets it.
        let inside = pod.enter();
        let client =
            UdpSocket::bind(socket(ip(if v4 { "10.9.0.2" } else { "fd09::2" }), 0)).unwrap();
        client.connect(socket(world(v4), 7)).unwrap();
        drop(inside);
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.send(b"to a closed port").unwrap();
        let error = client.recv(&mut [0; 10]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED), "{error}");
    }
    assert_eq!(checksum_errors(&net.world) + checksum_errors(&pod), 0);
    assert_eq!(checksum_errors(&director.namespace), 0);
    // The alias goes with the entry.
    gateway.addresses.remove(egress(true)).unwrap();
    assert_eq!(gateway.addresses.entries().unwrap().len(), 1);
    let outside = Port::of(&net.world, "eth0", world(true));
    let macs = (net.world_mac(), gateway.uplink.mac);
    let before = gateway.count("to_director");
    outside.send(&udp(macs, socket(world(true), 9), socket(ip("192.0.2.55"), 1100), b"x"));
    echo(&net, &pod, false, 10);
    assert!(gateway.count("to_director") > before);
    director.await_count("to_pod", 1);
}

#[test]
fn fragments_follow_their_first_in_both_directions() {
    for underlay in [Underlay::V4, Underlay::V6] {
        let net = Net::new(underlay);
        let (mut gateway, mut director, pod) = pair(&net);
        // IPv6 fragments that do not fit the tunnel are lost until path MTU discovery has acted,
        // and over an IPv6 underlay IPv4's too.
        net.world.run("ip link set eth0 mtu 1400");
        pod.run("ip link set eth0 mtu 1400");
        for v4 in [true, false] {
            let outside = net.world.enter();
            let server = UdpSocket::bind(socket(world(v4), 0)).unwrap();
            drop(outside);
            let inside = pod.enter();
            let any: IpAddr = ip(if v4 { "0.0.0.0" } else { "::" });
            let client = UdpSocket::bind(socket(any, 0)).unwrap();
            drop(inside);
            for end in [&server, &client] {
                end.set_read_timeout(Some(PATIENCE)).unwrap();
            }
            let sent: Vec<u8> = (0..4096_u32).map(|index| (index % 253) as u8).collect();
            client.send_to(&sent, server.local_addr().unwrap()).unwrap();
            let mut buffer = vec![0; 8192];
            let (length, peer) = server.recv_from(&mut buffer).unwrap();
            assert_eq!((peer.ip(), &buffer[..length]), (egress(v4), &sent[..]));
            server.send_to(&sent, peer).unwrap();
            let (length, _) = client.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], &sent[..]);
        }
        assert!(gateway.count("to_director") >= 6, "the world's datagrams were not fragmented");
        assert_eq!(gateway.count("fragment_without_first"), 0);
        assert_eq!(director.count("fragment_without_first"), 0);
    }
}

#[test]
fn a_fragment_without_its_first_is_dropped() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, _director, _pod) = pair(&net);
    let outside = Port::of(&net.world, "eth0", world(true));
    let macs = (net.world_mac(), gateway.uplink.mac);
    let mut frame = udp(macs, socket(world(true), 9), socket(egress(true), 1100), &[1; 64]);
    set_fragment(&mut frame, 100);
    outside.send(&frame);
    assert_eq!(gateway.await_count("fragment_without_first", 1), 1);
    assert_eq!(gateway.count("to_director"), 0);
}

#[test]
fn an_echo_request_of_a_pod_is_answered_and_one_to_the_address_is_not() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, _director, pod) = pair(&net);
    for v4 in [true, false] {
        pod.run(&format!("ping -c 2 -i 0.2 -W 2 {}", world(v4)));
        let answer = net.world.output(&format!("ping -c 1 -W 1 {}", egress(v4)));
        assert!(!answer.status.success(), "something answered on the egress address");
    }
    assert_eq!(gateway.await_count("unsupported_protocol", 2), 2);
}

#[test]
fn an_unsolicited_datagram_costs_one_packet_on_the_tunnel_and_none_back() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, mut director, _pod) = pair(&net);
    for v4 in [true, false] {
        let outside = Port::of(&net.world, "eth0", world(v4));
        let macs = (net.world_mac(), gateway.uplink.mac);
        outside.send(&udp(macs, socket(world(v4), 9), socket(egress(v4), 1100), b"unasked"));
        director.await_count("to_pod", if v4 { 1 } else { 2 });
        let back = |frame: &[u8]| source_mac(frame) == gateway.uplink.mac;
        assert_eq!(outside.arrived(|frame| back(frame) && answers(frame, world(v4))), 0);
    }
    assert_eq!((gateway.count("to_director"), gateway.count("to_world")), (2, 0));
    assert_eq!((director.count("to_holder"), director.count("to_pod")), (0, 2));
}
