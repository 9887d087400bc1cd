use super::super::Kind::{self, Pool};
use super::CrdCase;
use super::Says::{Same, Schema};

macro_rules! text64 {
    () => {
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    };
}
macro_rules! text128 {
    () => {
        concat!(text64!(), text64!())
    };
}
macro_rules! tagged {
    ($tags:expr) => {
        concat!("provider: AWS\n  addresses:\n  aws: {elasticIPTags: {", $tags, "}}")
    };
}
macro_rules! labelled {
    ($labels:expr) => {
        concat!("provider: GCP\n  addresses:\n  gcp: {addressLabels: {", $labels, "}}")
    };
}
macro_rules! tags50 {
    () => {
        "'0': x, '1': x, '2': x, '3': x, '4': x, '5': x, '6': x, '7': x, '8': x, '9': x, a0: x, a1: x, a2: x, a3: x, \
         a4: x, a5: x, a6: x, a7: x, a8: x, a9: x, b0: x, b1: x, b2: x, b3: x, b4: x, b5: x, b6: x, \
         b7: x, b8: x, b9: x, c0: x, c1: x, c2: x, c3: x, c4: x, c5: x, c6: x, c7: x, c8: x, c9: x, \
         d0: x, d1: x, d2: x, d3: x, d4: x, d5: x, d6: x, d7: x, d8: x, d9: x"
    };
}

const ALL: &str = "without a tag that would be every Elastic IP of the account: name at least one";
const OTHER: &str = "is for provider AWS: write provider AWS, or leave it out";
const NONE: &str = "a pool needs at least one range, such as 203.0.113.16/29, spec.aws.elasticIPTags or \
         spec.gcp.addressLabels";

const ALL_STATIC: &str =
    "without a label that would be every static address of the project: name at least one";
const OTHER_THAN_GCP: &str = "is for provider GCP: write provider GCP, or leave it out";

/// Pools of a cloud without a fault.
pub const GOOD_CLOUDS: &[(Kind, &str)] = &[
    (Pool, "aws: null"),
    (Pool, "provider: AWS"),
    (Pool, "provider: AWS\n  aws: null"),
    (Pool, tagged!("egret.dev/pool: public")),
    (Pool, tagged!("Name: '', name: ' ', 'a:b': '*', 'Aws:x': é, xaws: x, aws: x")),
    (Pool, "provider: AWS\n  addresses: []\n  aws: {elasticIPTags: {a: b}}"),
    (Pool, "provider: AWS\n  addresses: [10.0.0.64/27]\n  aws: {elasticIPTags: {a: b}}"),
    (Pool, tagged!(concat!(text128!(), ": ", text128!(), text128!()))),
    (Pool, tagged!(tags50!())),
    (Pool, "gcp: null"),
    (Pool, "provider: GCP"),
    (Pool, labelled!("pool: shop, a_b-c: '', ä: ö")),
    (Pool, "provider: GCP\n  addresses: [10.0.0.64/27]\n  gcp: {addressLabels: {a: b}}"),
    (Pool, "provider: GCP\n  addresses: [10.0.0.64/27]\n  gcp: {mode: AliasRange}"),
    (Pool, "provider: GCP\n  addresses: [10.0.0.64/27]\n  gcp: {}"),
    (Pool, "provider: GCP\n  addresses:\n  gcp: {mode: TargetInstance, addressLabels: {a: b}}"),
    (Pool, "provider: GCP\n  gcp: {mode: HAPolicy}"),
    (Pool, "provider: GCP\n  gcp: {acceptUnsupportedDataplane: true}"),
    (Pool, "provider: GCP\n  gcp: {mode: AliasRange, acceptUnsupportedDataplane: false}"),
    (
        Pool,
        labelled!(concat!(
            tags50!(),
            ", e0: x, e1: x, e2: x, e3: x, e4: x, e5: x, e6: x, e7: x, \
        e8: x, e9: x, f0: x, f1: x, f2: x, f3: x"
        )),
    ),
];

pub const CLOUDS: &[CrdCase] = &[
    (Pool, "provider: AWS\n  addresses:", "spec.addresses", NONE, Same),
    (Pool, "provider: AWS\n  addresses: []\n  aws: null", "spec.addresses", NONE, Same),
    (Pool, "aws: {elasticIPTags: {a: b}}", "spec.aws", OTHER, Same),
    (Pool, "addresses:\n  aws: {elasticIPTags: {a: b}}", "spec.aws", OTHER, Same),
    (Pool, "provider: AWS\n  aws: {}", "spec.aws.elasticIPTags", ALL, Same),
    (Pool, "provider: AWS\n  addresses:\n  aws: {}", "spec.aws.elasticIPTags", ALL, Same),
    (Pool, tagged!(""), "spec.aws.elasticIPTags", ALL, Same),
    (
        Pool,
        "provider: AWS\n  aws: public",
        "spec.aws",
        "a mapping belongs here: write it as key: value",
        Schema("must be of type object"),
    ),
    (Pool, tagged!("a: b, '': c"), "spec.aws.elasticIPTags", "name the tag's key", Same),
    (
        Pool,
        tagged!(concat!(text128!(), "x: b")),
        "spec.aws.elasticIPTags",
        "a tag's key has at most 128 characters: shorten it",
        Same,
    ),
    (
        Pool,
        tagged!("a: b, 'aws:cloudformation:stack-name': c"),
        "spec.aws.elasticIPTags",
        "aws:cloudformation:stack-name is a tag of AWS itself: name a tag that you give",
        Same,
    ),
    (
        Pool,
        tagged!(concat!("a: ", text128!(), text128!(), "x")),
        "spec.aws.elasticIPTags.a",
        "a tag's value has at most 256 characters: shorten it",
        Schema("Too long"),
    ),
    (
        Pool,
        tagged!(concat!(tags50!(), ", e0: x")),
        "spec.aws.elasticIPTags",
        "no Elastic IP has more than 50 tags: list fewer",
        Schema("must have at most 50 items"),
    ),
    (
        Pool,
        tagged!("a: 7"),
        "spec.aws.elasticIPTags.a",
        "7 is a number or a keyword, where a text belongs: write it in quotes",
        Schema("must be of type string"),
    ),
    (Pool, "provider: GCP\n  addresses:", "spec.addresses", NONE, Same),
    (Pool, "gcp: {addressLabels: {a: b}}", "spec.gcp", OTHER_THAN_GCP, Same),
    (Pool, "provider: AWS\n  gcp: {addressLabels: {a: b}}", "spec.gcp", OTHER_THAN_GCP, Same),
    (Pool, "provider: GCP\n  addresses:\n  gcp: {}", "spec.addresses", NONE, Same),
    (Pool, "provider: GCP\n  addresses:\n  gcp: {mode: AliasRange}", "spec.addresses", NONE, Same),
    (Pool, "provider: GCP\n  gcp: {addressLabels: {}}", "spec.gcp.addressLabels", ALL_STATIC, Same),
    (
        Pool,
        "provider: GCP\n  gcp: {mode: Alias}",
        "spec.gcp.mode",
        "Alias is none of HAPolicy, TargetInstance, AliasRange: write one of them",
        Schema("Unsupported value: \"Alias\""),
    ),
    (Pool, "gcp: {acceptUnsupportedDataplane: true}", "spec.gcp", OTHER_THAN_GCP, Same),
    (
        Pool,
        "provider: GCP\n  addresses:\n  gcp: {acceptUnsupportedDataplane: true}",
        "spec.addresses",
        NONE,
        Same,
    ),
    (
        Pool,
        "provider: GCP\n  gcp: {acceptUnsupportedDataplane: maybe}",
        "spec.gcp.acceptUnsupportedDataplane",
        "the value is no boolean: write one",
        Schema("must be of type boolean"),
    ),
    (Pool, labelled!(""), "spec.gcp.addressLabels", ALL_STATIC, Same),
    (Pool, labelled!("a: b, '': c"), "spec.gcp.addressLabels", "name the label's key", Same),
    (
        Pool,
        labelled!(concat!(text64!(), ": b")),
        "spec.gcp.addressLabels",
        "a label's key has at most 63 characters: shorten it",
        Same,
    ),
    (
        Pool,
        labelled!("Pool: b"),
        "spec.gcp.addressLabels",
        "Pool has capital letters: labels of Google Cloud have none",
        Same,
    ),
    (
        Pool,
        labelled!("pool: Shop"),
        "spec.gcp.addressLabels",
        "pool has capital letters in its value: labels of Google Cloud have none",
        Same,
    ),
    (
        Pool,
        labelled!(concat!("a: ", text64!())),
        "spec.gcp.addressLabels.a",
        "a label's value has at most 63 characters: shorten it",
        Schema("Too long"),
    ),
    (
        Pool,
        labelled!(concat!(
            tags50!(),
            ", e0: x, e1: x, e2: x, e3: x, e4: x, e5: x, e6: x, e7: x, e8: x, \
            e9: x, f0: x, f1: x, f2: x, f3: x, f4: x"
        )),
        "spec.gcp.addressLabels",
        "no address has more than 64 labels: list fewer",
        Schema("must have at most 64 items"),
    ),
    (
        Pool,
        labelled!("a: true"),
        "spec.gcp.addressLabels.a",
        "true is a number or a keyword, where a text belongs: write it in quotes",
        Schema("must be of type string"),
    ),
];
