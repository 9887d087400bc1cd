//! The life of the rules: made, changed, broken by others, put back, removed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::addresses::{EGRESS, NODE, POD, PORT, SERVER, block, idle, steered};
use super::fixture::{SteeringFixture, ip, throws};
use super::load::{connect, one_way, talk, tcp_echo, udp};
use super::oracle::PATIENCE;
use super::steered::{assert_nothing_leaked, one_block};
use super::{Factory, Names};
use crate::steering::{Applied, Steering as _, SteeringChange};

/// A connection that was open before the claim goes on the node's way, and one opened under it goes
/// on through the tunnel when its flow, and its blocks, have left the steering config.
pub fn running_connections_are_left_alone(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&idle());
    let ends: Vec<_> = POD.each().into_iter().zip(SERVER.each()).collect();
    let open = |world: &SteeringFixture<_>| -> Vec<_> {
        ends.iter()
            .map(|(pod, server)| connect(&world.pod, *pod, SocketAddr::new(*server, PORT)))
            .map(|stream| stream.unwrap_or_else(|error| panic!("open: {error}")))
            .collect()
    };
    let mut before = open(&world);
    world.apply(&one_block());
    let mut under = open(&world);
    for stream in before.iter_mut().chain(&mut under) {
        talk(stream).unwrap_or_else(|error| panic!("under the claim: {error}"));
    }
    world.settle();
    for server in SERVER.each() {
        assert!(!world.tunnel.to(server).is_empty(), "the new connection was not steered");
    }
    world.apply(&idle());
    for stream in before.iter_mut().chain(&mut under) {
        talk(stream).unwrap_or_else(|error| panic!("after the claim: {error}"));
    }
    world.tunnel.clear();
    for stream in &mut under {
        talk(stream).unwrap_or_else(|error| panic!("after the claim: {error}"));
    }
    world.settle();
    for ((pod, server), address) in ends.iter().zip(EGRESS.each()) {
        let seen = world.tunnel.to(*server);
        assert!(!seen.is_empty() && seen.iter().all(|p| p.source == address), "{seen:?}");
        tcp_echo(&world.pod, *pod, SocketAddr::new(*server, PORT))
            .unwrap_or_else(|error| panic!("a new connection after the claim: {error}"));
    }
}

/// Of a one-way flow that began before the claim every packet is `new` to conntrack, and its NAT is
/// decided: none of it enters the tunnel (it would carry the node's address there, for ever) until
/// its entry is forgotten.
pub fn one_way_flows_from_before_are_not_half_steered(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&idle());
    let flows: Vec<_> = POD
        .each()
        .into_iter()
        .zip(SERVER.each())
        .map(|(pod, server)| udp(&world.pod, pod, SocketAddr::new(server, PORT)))
        .collect();
    flows.iter().for_each(one_way);
    world.settle();
    world.apply(&one_block());
    for _ in 0..5 {
        flows.iter().for_each(one_way);
    }
    world.settle();
    for (server, node) in SERVER.each().into_iter().zip(NODE.each()) {
        assert_eq!(world.tunnel.to(server), [], "entered the tunnel");
        let seen = world.leaked.seen(|p| p.destination == server && p.destination_port == PORT);
        assert!(seen.len() >= 6 && seen.iter().all(|p| p.source == node), "{seen:?}");
    }
}

/// Device down, rule deleted, routes flushed: neither new nor running connections leave by the
/// uplink, and all goes on when it is put back.
pub fn nothing_leaks_without_the_tunnel(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&one_block());
    let Names { device, packet_mark: mark, route_table: table, rule_priority: priority, .. } =
        world.names.clone();
    let rule = |verb: &str, family: &str| {
        format!("{family} rule {verb} fwmark {mark:#x} table {table} priority {priority}")
    };
    let both = |line: &dyn Fn(&str) -> String| format!("{}\n{}\n", line("-4"), line("-6"));
    let routes = both(&|family| format!("{family} route add default dev {device} table {table}"));
    let faults = [
        (format!("link set {device} down\n"), format!("link set {device} up\n{routes}")),
        (both(&|family| rule("del", family)), both(&|family| rule("add", family))),
        (both(&|family| format!("{family} route flush table {table}")), routes + &throws(table)),
    ];
    for (fault, cure) in faults {
        let mut running: Vec<_> = POD
            .each()
            .into_iter()
            .zip(SERVER.each())
            .map(|(pod, server)| connect(&world.pod, pod, SocketAddr::new(server, PORT)))
            .map(|stream| stream.unwrap_or_else(|error| panic!("before {fault}: {error}")))
            .collect();
        ip(&world.director, &fault);
        for (stream, (pod, server)) in
            running.iter_mut().zip(POD.each().into_iter().zip(SERVER.each()))
        {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
            assert!(talk(stream).is_err(), "answered without a tunnel: {fault}");
            one_way(&udp(&world.pod, pod, SocketAddr::new(server, PORT)));
        }
        world.settle_uplink();
        assert_nothing_leaked(&world);
        ip(&world.director, &cure);
        for (pod, server) in POD.each().into_iter().zip(SERVER.each()) {
            tcp_echo(&world.pod, pod, SocketAddr::new(server, PORT))
                .unwrap_or_else(|error| panic!("after the cure of {fault}: {error}"));
        }
    }
}

/// A foreign flush is told of and noticed by `verify`, `apply` puts everything back, and what
/// follows is steered.
pub fn flushed_rules_are_noticed_and_put_back(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    assert_eq!(world.apply(&one_block()), Applied::Changed);
    assert!(world.verify(&one_block()), "right after apply");
    let mut watcher = world.watch();
    let before = watcher.wait().unwrap_or_else(|error| panic!("{error}"));
    assert!(before.is_empty(), "nothing has happened, and it says {before:?}");
    world.director.run("nft flush ruleset");
    let end = Instant::now() + PATIENCE;
    let mut changes = Vec::new();
    while changes.is_empty() {
        assert!(Instant::now() < end, "no notice of a foreign flush");
        changes = watcher.wait().unwrap_or_else(|error| panic!("{error}"));
    }
    let of_rules = |change: &SteeringChange| matches!(change, SteeringChange::Rules { .. });
    assert!(changes.iter().all(of_rules), "what was flushed is not said: {changes:?}");
    assert!(!world.verify(&idle()), "another config than the one applied");
    assert!(!world.verify(&one_block()), "after a foreign flush");
    assert_eq!(world.apply(&one_block()), Applied::Changed);
    assert!(world.verify(&one_block()), "after the repair");
    for (pod, server) in POD.each().into_iter().zip(SERVER.each()) {
        tcp_echo(&world.pod, pod, SocketAddr::new(server, PORT))
            .unwrap_or_else(|error| panic!("after the repair: {error}"));
    }
    world.settle();
    assert_nothing_leaked(&world);
}

/// Applying what is there writes nothing, and one change after the other leads to the same as all
/// at once.
pub fn an_unchanged_config_writes_nothing(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    let programs = [
        idle(),
        steered(&[]),
        one_block(),
        steered(&[block(1024, 1151), block(4096, 4223)]),
        steered(&[block(1024, 1279)]),
        steered(&[]),
        idle(),
    ];
    for config in &programs {
        world.apply(config);
        assert_eq!(world.apply(config), Applied::AlreadySo);
        assert!(world.verify(config));
        // A second back end, as after a restart, adopts what it finds.
        let adopted = {
            let _inside = world.director.enter();
            let mut other = factory.steering(super::addresses::MTU);
            assert!(other.collisions().is_ok_and(|taken| taken.is_empty()), "collides with itself");
            other.apply(config)
        };
        assert_eq!(adopted.ok(), Some(Applied::AlreadySo), "after a restart");
    }
}

/// Others' rules are byte for byte the same after apply and teardown, and teardown twice is
/// success.
pub fn foreign_tables_are_byte_equal_afterwards(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    let state = |world: &SteeringFixture<_>| {
        ["nft list ruleset", "ip rule", "ip -6 rule", "ip route show table all", "ip link"]
            .map(|line| world.director.run(line))
            .concat()
    };
    let before = state(&world);
    world.apply(&one_block());
    assert_ne!(state(&world), before, "nothing was applied");
    world.teardown();
    world.teardown();
    assert_eq!(state(&world), before);
}
