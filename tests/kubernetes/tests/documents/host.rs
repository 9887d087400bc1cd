//! A host of its own: a network namespace with an uplink, and its own `/run` and `/var/lib`.

use egret_netns::{NetworkNamespace, veth};

/// Where the host's folders begin anew: nothing of this machine's is seen or changed.
const FOLDERS: &str = "
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mount -t bpf bpf /sys/fs/bpf
mkdir /run/bin
ln -s \"$EGRET\" /run/bin/egret
PATH=/run/bin:$PATH
";

/// Runs the lines of the recipe until its claim is Ready, then `teardown`; `flags` are added to the daemon's.
pub fn recipe(lines: &[&str], flags: &str) {
    let (host, router) = (NetworkNamespace::new("host"), NetworkNamespace::new("router"));
    veth(&host, "eth0", &router, "lan0");
    router.run("ip addr add 203.0.113.1/24 dev lan0");
    router.run("ip link set lan0 up");
    host.run("ip addr add 203.0.113.5/24 dev eth0");
    host.run("ip link set eth0 up");
    host.run("ip route add default via 203.0.113.1");
    let mut script = FOLDERS.to_owned();
    for line in lines {
        let daemon = line.contains(" standalone ");
        let tail =
            if daemon { format!(" {flags} >/run/log 2>&1 &\ndaemon=$!") } else { String::new() };
        let line = line.replace("/etc/egret", "/run/etc");
        script += &format!("{line}{tail}\n");
    }
    script += CHECKS;
    let done = host
        .command("unshare")
        .args(["--mount", "bash", "-euc", &script])
        .env("flags", flags)
        .env("EGRET", egret_lab::binary(None).unwrap())
        .output()
        .unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(done.status.success(), "{}{}", said(&done.stdout), said(&done.stderr));
}

/// After it nothing of Egret's is in this kernel, and none of the claim's state in the way of the next one.
const CHECKS: &str = "
none() { if grep . >&2; then exit 1; fi; }
mark=0x1000
case \"$flags\" in *--mark*) mark=0x4 ;; esac
ended() { kill $daemon 2>/dev/null || true; }
trap ended EXIT
ready() { egret status --manifests /run/etc/manifests | grep -q 'payments/bank .*203.0.113.17 .*True'; }
for second in $(seq 90); do
  if ready; then break; fi
  sleep 1
done
if ! ready; then
  egret status --manifests /run/etc/manifests >&2
  tail -n 20 /run/log >&2
  exit 1
fi
egret explain --live --all -o json | grep -q '\"meaning\"'
ip rule | grep -q 'fwmark' || { ip rule >&2; exit 1; }
if egret teardown >&2; then
  echo 'the agent puts it all back' >&2
  exit 1
fi
kill -KILL $daemon
wait $daemon 2>/dev/null || true
# A connection that was steered, and a table whose rule somebody has removed.
conntrack -I -p udp --src 10.244.0.5 --dst 198.51.100.20 --sport 4000 --dport 53 --timeout 300 --mark $mark >/dev/null
for family in -4 -6; do
  ip $family rule del pref $(ip $family rule | awk -F: '/fwmark/ { print $1 }')
done
egret teardown
conntrack -L 2>/dev/null | grep 198.51.100.20 | none
ip rule | grep fwmark | none
ip -6 rule | grep fwmark | none
for table in 77 5480; do
  ip route show table $table 2>/dev/null | none
  ip -6 route show table $table 2>/dev/null | none
done
ip link show egret0 2>/dev/null | none
nft list tables | grep egret | none
test ! -e /run/egret/settings.json
";
