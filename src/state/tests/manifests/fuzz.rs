//! No bytes make the parser panic or an object appear that its checks refuse.

use std::path::Path;

use egret_state::DirectoryState;
use egret_state::manifest::{ParsedFile, parse_bytes};
use proptest::prelude::*;

const GOOD: &str = "# pool and claim
apiVersion: egret.dev/v1alpha1
kind: EgressPool
metadata: {name: partners}
spec:
  provider: L2
  addresses:
  - 203.0.113.16/29
  - 2001:db8:5::10/124
  gateways:
    nodeSelector: {matchLabels: {egret.dev/gateway: \"true\"}}
  ports: {perNode: 1024}
  failover: {lease: 450ms, releaseAfter: 1h}
---
apiVersion: egret.dev/v1alpha1
kind: StaticEgressIP
metadata: {name: bank, namespace: payments}
spec:
  poolRef: {name: partners}
  podSelector: {}
  destinations:
  - cidr: 198.51.100.0/24
    except: [198.51.100.7/32]
---
apiVersion: v1
kind: Pod
metadata: {name: settle, namespace: payments, annotations: {egret.dev/cidr: 10.0.0.0/24}}
spec: {nodeName: node-1}
status: {podIPs: [{ip: 10.244.1.7}]}
";

fn lines_are_in_the_file(parsed: &ParsedFile, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let lines = text.chars().filter(|next| ['\n', '\r'].contains(next)).count() + 1;
    for fault in &parsed.faults {
        // A fault at the end of the input may be reported on the line after the last.
        assert!((1..=lines + 1).contains(&fault.line), "{fault:?} of {lines} lines");
        assert!(!fault.message.is_empty() && !fault.message.contains('\n'), "{fault:?}");
    }
}

#[test]
fn a_field_whose_name_has_line_breaks_is_told_in_one_line() {
    let text = GOOD.replace("{matchLabels: {", "{\"match\\nLabels\": {");
    let parsed = parse_bytes(text.as_bytes());
    lines_are_in_the_file(&parsed, text.as_bytes());
    assert!(parsed.faults[0].message.contains("match\\nLabels"), "{:?}", parsed.faults);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        lines_are_in_the_file(&parse_bytes(&bytes), &bytes);
    }

    #[test]
    fn mutated_manifests(
        cuts in proptest::collection::vec((0..GOOD.len(), 0..40_usize, ".{0,8}"), 1..4),
    ) {
        let mut bytes = GOOD.as_bytes().to_vec();
        for (at, length, inserted) in cuts {
            let at = at.min(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, inserted.bytes());
        }
        lines_are_in_the_file(&parse_bytes(&bytes), &bytes);
    }

    #[test]
    fn moved_lines(
        order in proptest::collection::vec(0..GOOD.lines().count(), 1..40),
        indent in 0..4_usize,
    ) {
        let lines: Vec<&str> = GOOD.lines().collect();
        let text: String =
            order.iter().map(|line| format!("{}{}\n", " ".repeat(indent), lines[*line])).collect();
        lines_are_in_the_file(&parse_bytes(text.as_bytes()), text.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    /// Whatever stands in one file, the store is read, the file is named, and the others count.
    #[test]
    fn a_store_with_a_random_file(
        at in 0..GOOD.len(),
        bytes in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let folder = tempfile::tempdir().unwrap();
        DirectoryState::create(folder.path()).unwrap();
        let mut broken = GOOD.as_bytes()[..at].to_vec();
        broken.extend(&bytes);
        std::fs::write(folder.path().join("a.yaml"), &broken).unwrap();
        std::fs::write(folder.path().join("good.yaml"), GOOD.replace("partners", "others")).unwrap();
        let snapshot = egret_state::read_once(folder.path()).unwrap();
        prop_assert!(snapshot.pools.contains_key(&"others".into()));
        prop_assert_eq!(
            snapshot.invalid_objects.iter().any(|broken| broken.place.starts_with("a.yaml:")),
            !parse_bytes(&broken).faults.is_empty()
        );
        prop_assert!(snapshot.invalid_objects.iter().all(|broken| Path::new(&broken.place).is_relative()));
    }
}

#[test]
fn documents_that_expand_without_end_are_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let part = format!("*a{}", level - 1);
        let parts = vec![part; 9].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{parts}]\n"));
    }
    let parsed = parse_bytes(text.as_bytes());
    assert_eq!((parsed.objects.len(), parsed.faults.len()), (0, 1));
    let deep = "[".repeat(100_000);
    assert_eq!(parse_bytes(deep.as_bytes()).faults.len(), 1);
}
