//! Each line: a manifest's spec, the line of the fault inside it, and the whole sentence.

use egret_state::manifest::{ManifestFault, parse};

pub(super) const POOL: &str = "apiVersion: egret.dev/v1alpha1
kind: EgressPool
metadata: {name: partners}
spec:
";
const CLAIM: &str = "apiVersion: egret.dev/v1alpha1
kind: StaticEgressIP
metadata: {name: bank, namespace: payments}
spec:
";
pub(super) const POOL_REST: &str =
    "  provider: L2\n  addresses: [203.0.113.16/29]\n  gateways: {nodeSelector: {}}\n";
const CLAIM_REST: &str = "  poolRef: {name: partners}\n  podSelector: {}\n";

pub(super) fn faults(head: &str, spec: &str) -> Vec<ManifestFault> {
    let parsed = parse(&format!("{head}{spec}"));
    assert_eq!(parsed.objects.is_empty(), !parsed.faults.is_empty(), "{spec}: {parsed:?}");
    let before = head.lines().count();
    let inside =
        |fault: ManifestFault| ManifestFault { line: fault.line.saturating_sub(before), ..fault };
    parsed.faults.into_iter().map(inside).collect()
}

pub(super) fn refused(head: &str, rest: &str, cases: &[(&str, usize, &str)]) {
    assert!(faults(head, rest).is_empty(), "without the fault all is well");
    for (spec, line, sentence) in cases {
        let found = faults(head, &format!("{spec}{rest}"));
        let [fault] = &found[..] else { panic!("{spec}: {found:?}") };
        assert_eq!((fault.line, &*fault.message), (*line, *sentence), "{spec}");
    }
}

const POOLS: &[(&str, usize, &str)] = &[
    (
        "  ports: {perNode: 1000}\n",
        1,
        "spec.ports.perNode: 1000 is not a power of two from 128 to 8192: write 1024",
    ),
    (
        "  ports: {perNode: 64}\n",
        1,
        "spec.ports.perNode: 64 is not a power of two from 128 to 8192: write 128",
    ),
    (
        "  ports:\n    perNode: 16384\n",
        2,
        "spec.ports.perNode: 16384 is not a power of two from 128 to 8192: write 8192",
    ),
    (
        "  ports: {perNode: -1}\n",
        1,
        "spec.ports.perNode: the value is no whole number in range: write one",
    ),
    (
        "  failover: {lease: 450}\n",
        1,
        "spec.failover.lease: 450 is a number or a keyword, where a text belongs: write it in \
                 quotes",
    ),
    ("  failover: {lease: 50ms}\n", 1, "spec.failover.lease: 50ms is not from 100ms to 10s"),
    ("  failover: {lease: 11s}\n", 1, "spec.failover.lease: 11s is not from 100ms to 10s"),
    (
        "  failover:\n    releaseAfter: -1h\n",
        2,
        "spec.failover.releaseAfter: -1h is not a duration: write whole numbers with \
                 units, such as 450ms, 10s or 1h",
    ),
    (
        "  failover: {failback: Always}\n",
        1,
        "spec.failover.failback: Always is none of Never, WhenDrained, Immediately: write \
                 one of them",
    ),
    (
        "  allowedNamespaces: {matchLabel: {a: b}}\n",
        1,
        "spec.allowedNamespaces.matchLabel: there is no field matchLabel: write one of \
                 matchExpressions, matchLabels, or remove it",
    ),
    (
        "  allowedNamespaces: {matchExpressions: [{key: a, operator: In}]}\n",
        1,
        "spec.allowedNamespaces.matchExpressions[0].values: In and NotIn need at least \
                 one value",
    ),
    (
        "  allowedNamespaces: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}\n",
        1,
        "spec.allowedNamespaces.matchExpressions[0].values: Exists and DoesNotExist take \
                 no values",
    ),
    ("  paused: maybe\n", 1, "spec.paused: the value is no boolean: write one"),
];

#[test]
fn pools() {
    refused(POOL, POOL_REST, POOLS);
}

const RANGES: &[(&str, &str)] = &[
    (
        "[]",
        "spec.addresses: a pool needs at least one range, such as 203.0.113.16/29, \
         spec.aws.elasticIPTags or spec.gcp.addressLabels",
    ),
    (
        "[203.0.113.300]",
        "spec.addresses[0]: 203.0.113.300 is not an IP address: write it like \
                             203.0.113.17 or 2001:db8:5::11",
    ),
    (
        "[203.0.113.17/29]",
        "spec.addresses[0]: 203.0.113.17/29 is an address inside a range: \
                               write 203.0.113.16/29 for the range or 203.0.113.17 for the address",
    ),
    (
        "[203.0.113.16/33]",
        "spec.addresses[0]: 203.0.113.16/33 is not a CIDR: write it like \
                               198.51.100.0/24 or 2001:db8:6::/64",
    ),
    (
        "[203.0.113.9-203.0.113.3]",
        "spec.addresses[0]: 203.0.113.9-203.0.113.3 ends below its \
                                       beginning: write 203.0.113.3-203.0.113.9",
    ),
    (
        "['203.0.113.9-2001:db8::1']",
        "spec.addresses[0]: 203.0.113.9-2001:db8::1 begins in one \
                                         family and ends in the other: split it in two",
    ),
    (
        "[203.0.113.16/29, 203.0.113.20]",
        "spec.addresses[1]: 203.0.113.20 overlaps \
                                             203.0.113.16/29: write each address once",
    ),
    (
        "['::ffff:203.0.113.17']",
        "spec.addresses[0]: ::ffff:203.0.113.17 is an IPv4 address in \
                                     IPv6 form: write 203.0.113.17",
    ),
    (
        "[224.0.0.1]",
        "spec.addresses[0]: 224.0.0.1 holds multicast addresses (224.0.0.0/4): \
                         leave them out",
    ),
    (
        "['::/0']",
        "spec.addresses[0]: ::/0 holds unspecified addresses (::/128): leave them \
                      out",
    ),
    (
        "203.0.113.16/29",
        "spec.addresses: a list belongs here: write it as [value] or as lines \
                             of - value",
    ),
];

#[test]
fn ranges_of_pools() {
    let rest = "  provider: L2\n  gateways: {nodeSelector: {}}\n";
    for (addresses, sentence) in RANGES {
        let found = faults(POOL, &format!("  addresses: {addresses}\n{rest}"));
        let [fault] = &found[..] else { panic!("{addresses}: {found:?}") };
        assert_eq!((fault.line, &*fault.message), (1, *sentence), "{addresses}");
    }
    let gateways = "  provider: L2\n  addresses: [203.0.113.16/29]\n  gateways: {nodeSelector: {}, maxAddressesPerNode: 0}\n";
    assert_eq!(
        faults(POOL, gateways)[0].message,
        "spec.gateways.maxAddressesPerNode: 0 lets no node hold an address: write at least 1, or \
         leave it out for no limit"
    );
    assert_eq!(
        faults(POOL, "  provider: L2\n  addresses: [203.0.113.16/29]\n")[0].message,
        "spec.gateways: is missing: write it"
    );
}

const CLAIMS: &[(&str, usize, &str)] = &[
    ("  serviceName: settle\n", 0, "spec: select pods by podSelector or by serviceName, not both"),
    (
        "  destinations:\n  - cidr: 198.51.100.0/24\n    except: [192.0.2.0/24]\n",
        3,
        "spec.destinations[0].except[0]: except 192.0.2.0/24 is not inside cidr \
                 198.51.100.0/24",
    ),
    (
        "  destinations:\n  - cidr: 198.51.100.0/24\n    except:\n    - 198.51.100.0/24\n",
        4,
        "spec.destinations[0].except[0]: except 198.51.100.0/24 is all of cidr \
                 198.51.100.0/24: remove the destination instead",
    ),
    (
        "  destinations: []\n",
        1,
        "spec.destinations: list at least one range, or leave destinations out for \
                 everywhere outside the cluster",
    ),
    (
        "  destinations: [{cidr: 198.51.100.7}]\n",
        1,
        "spec.destinations[0].cidr: 198.51.100.7 is an address, not a CIDR: write \
                 198.51.100.7/32",
    ),
    (
        "  destinations: [{cidr: 198.51.100.0/24}, {cidr: 198.51.100.9/24}]\n",
        1,
        "spec.destinations[1].cidr: 198.51.100.9/24 is the range of another entry: write it \
                 once, with all its exceptions",
    ),
    (
        "  addresses: [203.0.113.17, 203.0.113.17]\n",
        1,
        "spec.addresses[1]: 203.0.113.17 is listed twice: write each address once",
    ),
    (
        "  families: [IPv6]\n  addresses:\n  - 2001:db8:5::11\n  - 203.0.113.17\n",
        4,
        "spec.addresses[1]: 203.0.113.17 is IPv4, which spec.families does not list: add \
                 IPv4 there or remove the address",
    ),
    (
        "  addresses: []\n",
        1,
        "spec.addresses: list at least one address, or leave addresses out: the pool \
                 chooses",
    ),
    ("  count: 0\n", 1, "spec.count: 0 asks for no address: write at least 1"),
    (
        "  count: 1\n  addresses: [203.0.113.17]\n",
        0,
        "spec: ask for addresses by addresses or by count, not both",
    ),
    (
        "  families: []\n",
        1,
        "spec.families: list IPv4, IPv6 or both, or leave families out for what the pool \
                 has",
    ),
    ("  families: [IPv4, IPv4]\n", 1, "spec.families[1]: IPv4 is listed twice"),
    ("  families: [IPv5]\n", 1, "spec.families[0]: IPv5 is none of IPv4, IPv6: write one of them"),
    (
        "  whenUnavailable: Leak\n",
        1,
        "spec.whenUnavailable: Leak is none of Drop, Node: write one of them",
    ),
];

#[test]
fn claims() {
    refused(CLAIM, CLAIM_REST, CLAIMS);
    assert_eq!(
        faults(CLAIM, "  poolRef: {name: partners}\n")[0].message,
        "spec: select pods by podSelector or by serviceName; podSelector: {} selects all pods"
    );
    assert_eq!(
        faults(CLAIM, "  poolRef: {name: ''}\n  podSelector: {}\n")[0].message,
        "spec.poolRef.name: name the EgressPool that the addresses come from"
    );
}

const HEADS: &[(&str, &str)] = &[
    (
        "kind: EgressPool\n",
        "apiVersion and kind are missing: every document begins with them, \
                                such as apiVersion: egret.dev/v1alpha1 and kind: StaticEgressIP",
    ),
    (
        "apiVersion: egret.dev/v1alpha1\nkind: EgresPool\n",
        "kind EgresPool is not known in egret.dev/v1alpha1: write EgressPool, StaticEgressIP or \
          ClusterStaticEgressIP",
    ),
    (
        "apiVersion: nirmata.io/v1\nkind: StaticEgressIP\n",
        "nirmata.io/v1 StaticEgressIP is not known: write it as StaticEgressIP of apiVersion: \
             egret.dev/v1alpha1",
    ),
    (
        "apiVersion: egret.dev/v1\nkind: EgressPool\n",
        "egret.dev/v1 EgressPool is not known: write it as EgressPool of apiVersion: egret.dev/v1alpha1",
    ),
    (
        "apiVersion: egret.dev/v1alpha1\nkind: EgressAddress\n",
        "EgressAddress objects are Egret's own: remove the document from your manifests",
    ),
    (
        "apiVersion: v1\nkind: List\nitems: []\n",
        "a List is not read: write its items as documents, separated by lines of ---",
    ),
    (
        "apiVersion: v1\nkind: Pod\nmetadata: {namespace: a}\n",
        "metadata.name: is missing: name the object",
    ),
    (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: a.b}\n",
        "metadata.namespace: \"a.b\" is not a namespace: use at most 63 lower-case letters, digits \
          and -",
    ),
    (
        "apiVersion: v1\nkind: Node\nmetadata: {name: ../a}\n",
        "metadata.name: \"../a\" is not a name: use at most 253 lower-case letters, digits, - and \
          ., with a letter or digit at both ends of every part",
    ),
    (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {egret.dev/cidr: x}}\nspec: {nodeName: b}\n",
        "metadata.annotations.egret.dev/cidr[0]: x is not a CIDR: write it like 198.51.100.0/24 or \
          2001:db8:6::/64",
    ),
    ("just words\n", "a mapping belongs here: write it as key: value"),
];

#[test]
fn heads() {
    for (text, sentence) in HEADS {
        let parsed = parse(text);
        let [fault] = &parsed.faults[..] else { panic!("{text}: {parsed:?}") };
        assert_eq!(fault.message, *sentence, "{text}");
    }
    let pool = format!("{}{POOL_REST}", POOL.replace("name:", "namespace: a, name:"));
    let fault = &parse(&pool).faults[0];
    let sentence = "metadata.namespace: EgressPool objects have no namespace: remove it";
    assert_eq!((fault.line, &*fault.message), (3, sentence));
    let typo = format!("{}{POOL_REST}", POOL.replace("name:", "lables: {}, name:"));
    let fault = &parse(&typo).faults[0];
    assert!(fault.message.starts_with("metadata.lables: there is no field lables"), "{fault:?}");
}

#[test]
fn all_faults_of_an_object_are_said_at_once() {
    let found = faults(
        POOL,
        "  provider: L2\n  addresses: [a, b]\n  gateways: {nodeSelector: {}}\n  ports: {perNode: 1}\n",
    );
    assert_eq!(found.iter().map(|fault| fault.line).collect::<Vec<_>>(), [2, 2, 4]);
}
