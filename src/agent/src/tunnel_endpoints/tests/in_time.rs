use super::*;

#[test]
fn another_address_of_the_link_is_followed() {
    let mut host = Host::new(&[], &[uplink(2, &["10.0.1.20/24", "2001:db8::20/64"])]);
    assert_eq!(host.endpoints.current(), ips(&["10.0.1.20", "2001:db8::20"]));
    let other = [uplink(2, &["10.0.9.7/24", "2001:db8::20/64"])];
    assert_eq!(host.after(&other, RENEWAL), ips(&["10.0.9.7", "2001:db8::20"]));
    assert_eq!(host.trouble(), "");
    let other = [uplink(2, &["10.0.9.7/24", "2001:db8::7/64"])];
    assert_eq!(host.after(&other, RENEWAL), ips(&["10.0.9.7", "2001:db8::7"]));
}

/// Looks once, and then only when that asked for it.
fn settled(host: &mut Host, uplinks: &[HostUplink]) -> Duration {
    let begun = host.now;
    host.uplinks = uplinks.to_vec();
    host.look();
    while let Some(pause) = host.endpoints.due(host.now) {
        host.now += pause;
        host.look();
    }
    host.now - begun
}

/// The kernel tells of a change once; nothing else may ever happen on the node.
#[test]
fn another_address_is_in_use_within_two_seconds_of_the_change_and_of_nothing_else() {
    let (both, others) = (["10.0.0.1/24", "fd00::1/64"], ["10.0.0.9/24", "fd00::9/64"]);
    for beside in [false, true] {
        let mut host = Host::new(&[], &[uplink(2, &both)]);
        // A DHCP client may give the new one before it takes the old one away.
        if beside {
            let all = [both, others].concat();
            assert_eq!(settled(&mut host, &[uplink(2, &all)]), Duration::ZERO);
            assert_eq!(host.endpoints.current(), ips(&["10.0.0.1", "fd00::1"]));
        }
        let took = settled(&mut host, &[uplink(2, &others)]);
        assert_eq!(host.endpoints.current(), ips(&["10.0.0.9", "fd00::9"]));
        assert!(took <= Duration::from_secs(2), "{took:?}");
        assert!(host.trouble().is_empty() && host.impaired().is_empty());
    }
}
