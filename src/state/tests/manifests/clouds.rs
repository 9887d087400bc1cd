//! Pools that find their addresses in a cloud.

use egret_state::manifest::{ManifestObject, parse};

use super::refused::{POOL, POOL_REST, faults, refused};

const AWS: &[(&str, &str)] = &[
    (
        "  aws: {}\n",
        "spec.aws.elasticIPTags: without a tag that would be every Elastic IP of the account: name \
         at least one",
    ),
    (
        "  aws: {elasticIPTags: {}}\n",
        "spec.aws.elasticIPTags: without a tag that would be every Elastic IP of the account: name \
         at least one",
    ),
    ("  aws: {elasticIPTags: {'': b}}\n", "spec.aws.elasticIPTags: name the tag's key"),
    (
        "  aws: {elasticIPTags: {a: b, 'aws:c': d}}\n",
        "spec.aws.elasticIPTags: aws:c is a tag of AWS itself: name a tag that you give",
    ),
    (
        "  aws: {interfaceTags: {a: b}, elasticIPTags: {a: b}}\n",
        "spec.aws.interfaceTags: there is no field interfaceTags: write one of elasticIPTags, or \
         remove it",
    ),
    (
        "  aws: {elasticIPTags: {a: true}}\n",
        "spec.aws.elasticIPTags.a: true is a number or a keyword, where a text belongs: write it in \
         quotes",
    ),
];

const GCP: &[(&str, &str)] = &[
    (
        "{addressLabels: {}}",
        "spec.gcp.addressLabels: without a label that would be every static address of the \
         project: name at least one",
    ),
    ("{addressLabels: {'': b}}", "spec.gcp.addressLabels: name the label's key"),
    (
        "{addressLabels: {a: b}, acceptUnsupportedDataplane: maybe}",
        "spec.gcp.acceptUnsupportedDataplane: the value is no boolean: write one",
    ),
    (
        "{addressLabels: {Pool: b}}",
        "spec.gcp.addressLabels: Pool has capital letters: labels of Google Cloud have none",
    ),
    (
        "{addressLabels: {pool: B}}",
        "spec.gcp.addressLabels: pool has capital letters in its value: labels of Google Cloud have \
         none",
    ),
];

#[test]
fn modes_of_pools() {
    let pool = |gcp: &str, addresses: &str| {
        let rest = format!("  provider: GCP\n  gateways: {{nodeSelector: {{}}}}\n{addresses}");
        faults(POOL, &format!("  gcp: {gcp}\n{rest}"))
    };
    for mode in ["HAPolicy", "TargetInstance", "AliasRange"] {
        assert_eq!(pool(&format!("{{mode: {mode}}}"), "  addresses: [10.0.0.64/27]\n"), []);
        let none = pool(&format!("{{mode: {mode}}}"), "");
        assert!(none[0].message.starts_with("spec.addresses: a pool needs"), "{none:?}");
    }
    let wrong = pool("{mode: Alias}", "  addresses: [10.0.0.64/27]\n");
    let sentence =
        "spec.gcp.mode: Alias is none of HAPolicy, TargetInstance, AliasRange: write one of them";
    assert_eq!((wrong.len(), &*wrong[0].message), (1, sentence));
}

#[test]
fn a_dataplane_is_accepted_by_a_word_of_the_pool_alone() {
    for (gcp, accepted) in [
        ("{}", false),
        ("{mode: AliasRange}", false),
        ("{acceptUnsupportedDataplane: false}", false),
        ("{acceptUnsupportedDataplane: true}", true),
    ] {
        let rest = "  provider: GCP\n  addresses: [10.0.0.64/27]\n  gateways: {nodeSelector: {}}\n";
        let parsed = parse(&format!("{POOL}  gcp: {gcp}\n{rest}"));
        let [(_, ManifestObject::Pool(_, pool))] = &parsed.objects[..] else { panic!("{gcp}") };
        assert_eq!(pool.accepts_unsupported_dataplane, accepted, "{gcp}");
    }
}

#[test]
fn labels_of_pools() {
    let rest = "  provider: GCP\n  gateways: {nodeSelector: {}}\n";
    refused(POOL, &format!("  gcp: {{addressLabels: {{a: b}}}}\n{rest}"), &[]);
    for (gcp, sentence) in GCP {
        let found = faults(POOL, &format!("  gcp: {gcp}\n{rest}"));
        let [fault] = &found[..] else { panic!("{gcp}: {found:?}") };
        assert_eq!((fault.line, &*fault.message), (1, *sentence), "{gcp}");
    }
    let labels = |of: &dyn Fn(usize) -> String, count: usize| {
        let labels: Vec<String> = (0..count).map(of).collect();
        faults(POOL, &format!("  gcp: {{addressLabels: {{{}}}}}\n{rest}", labels.join(", ")))
    };
    let edge = |more: usize| format!("{}: {}", "ä".repeat(63), "ö".repeat(63 + more));
    assert_eq!(labels(&|_| edge(0), 1), []);
    let field = format!("spec.gcp.addressLabels.{}", "ä".repeat(63));
    let sentence = format!("{field}: a label's value has at most 63 characters: shorten it");
    assert_eq!(labels(&|_| edge(1), 1)[0].message, sentence);
    let sentence = "spec.gcp.addressLabels: a label's key has at most 63 characters: shorten it";
    assert_eq!(labels(&|_| format!("{}: b", "a".repeat(64)), 1)[0].message, sentence);
    assert_eq!(labels(&|label| format!("t{label}: ''"), 64), []);
    let sentence = "spec.gcp.addressLabels: no address has more than 64 labels: list fewer";
    assert_eq!(labels(&|label| format!("t{label}: ''"), 65)[0].message, sentence);
    let found = faults(POOL, &format!("  gcp: {{addressLabels: {{a: b}}}}\n{POOL_REST}"));
    let sentence = "spec.gcp: is for provider GCP: write provider GCP, or leave it out";
    assert_eq!((found.len(), &*found[0].message), (1, sentence));
}

#[test]
fn tags_of_pools() {
    let rest = "  provider: AWS\n  gateways: {nodeSelector: {}}\n";
    for addresses in ["", "  addresses: [10.0.0.64/27]\n"] {
        refused(POOL, &format!("  aws: {{elasticIPTags: {{a: b}}}}\n{addresses}{rest}"), &[]);
        for (aws, sentence) in AWS {
            let found = faults(POOL, &format!("{aws}{addresses}{rest}"));
            let [fault] = &found[..] else { panic!("{aws}: {found:?}") };
            assert_eq!((fault.line, &*fault.message), (1, *sentence), "{aws}");
        }
    }
    let tags = |of: &dyn Fn(usize) -> String, count: usize| {
        let tags: Vec<String> = (0..count).map(of).collect();
        faults(POOL, &format!("  aws: {{elasticIPTags: {{{}}}}}\n{rest}", tags.join(", ")))
    };
    // In characters, not in bytes.
    let edge = |more: usize| format!("{}: {}", "ä".repeat(128), "ö".repeat(256 + more));
    assert_eq!(tags(&|_| edge(0), 1), []);
    let field = format!("spec.aws.elasticIPTags.{}", "ä".repeat(128));
    let sentence = format!("{field}: a tag's value has at most 256 characters: shorten it");
    assert_eq!(tags(&|_| edge(1), 1)[0].message, sentence);
    let sentence = "spec.aws.elasticIPTags: a tag's key has at most 128 characters: shorten it";
    assert_eq!(tags(&|_| format!("{}: b", "a".repeat(129)), 1)[0].message, sentence);
    assert_eq!(tags(&|tag| format!("t{tag}: ''"), 50), []);
    let sentence = "spec.aws.elasticIPTags: no Elastic IP has more than 50 tags: list fewer";
    assert_eq!(tags(&|tag| format!("t{tag}: ''"), 51)[0].message, sentence);
    let found = faults(POOL, &format!("  aws: {{elasticIPTags: {{a: b}}}}\n{POOL_REST}"));
    let sentence = "spec.aws: is for provider AWS: write provider AWS, or leave it out";
    assert_eq!((found.len(), &*found[0].message), (1, sentence));
}
