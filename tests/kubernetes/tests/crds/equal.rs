//! The directory store and the API server refuse the same objects with the same words.

use std::collections::{BTreeMap, BTreeSet};

use egret_kubernetes::{ApiServer, ApiServerOptions, oldest_api_server, repository};
use egret_state::manifest::parse;

use super::cases::{CLAIMS, CLOUDS, CrdCase, GOOD, GOOD_CLOUDS, POOLS, RANGES, Says};
use super::{Kind, shared};

fn cases() -> impl Iterator<Item = &'static CrdCase> {
    [POOLS, RANGES, CLAIMS, CLOUDS].into_iter().flatten()
}

fn good() -> impl Iterator<Item = &'static (Kind, &'static str)> {
    GOOD.iter().chain(GOOD_CLOUDS)
}

#[test]
fn the_directory_store_says_the_sentences() {
    for (kind, change, field, sentence, _) in cases() {
        let parsed = parse(&kind.manifest("bank", change));
        let [fault] = &parsed.faults[..] else { panic!("{kind:?} {change}: {parsed:?}") };
        assert_eq!(fault.message, format!("{field}: {sentence}"), "{kind:?} {change}");
        assert!(parsed.objects.is_empty(), "{kind:?} {change}");
    }
    for (kind, change) in good() {
        let parsed = parse(&kind.manifest("bank", change));
        assert_eq!((parsed.objects.len(), &parsed.faults[..]), (1, &[][..]), "{kind:?} {change}");
    }
}

#[test]
fn the_api_server_says_the_same() {
    says_the_same(&shared());
}

/// The fields of a kind's spec, as the reference has them: without the entries of lists and maps.
fn fields(kind: Kind) -> BTreeSet<String> {
    let reference = std::fs::read_to_string(repository().join("docs/reference-api.md")).unwrap();
    let head = format!("## {}\n", kind.name());
    let (_, section) = reference.split_once(&head).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let paths = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let paths = paths.map(|path| path.trim_matches('*'));
    let own = paths.filter_map(|path| path.strip_prefix("spec."));
    own.map(|path| path.replace("[]", "").replace("{}", "")).collect()
}

/// A field that is new has a case here, which holds the rule of the API server against the directory
/// store's: else nobody has compared them.
#[test]
fn every_field_that_people_write_is_in_some_case() {
    let changes = cases().map(|case| (case.0, case.1)).chain(good().copied());
    let changes: Vec<(Kind, &str)> = changes.collect();
    // All keys of its path in one change, in their order.
    let names = |change: &str, field: &str| {
        let mut rest = change;
        field.split('.').all(|key| {
            let found = rest.split_once(&format!("{key}:"));
            found.inspect(|(_, after)| rest = after).is_some()
        })
    };
    let tried = |kind: Kind, field: &str| {
        let own = kind.fields().iter().any(|given| names(given, field));
        own || changes.iter().any(|(of, change)| *of == kind && names(change, field))
    };
    let mut missing = Vec::new();
    // A claim of the cluster has the claim's fields, which the claim's cases try, and its own.
    let claim = fields(Kind::Claim);
    let cluster: BTreeSet<String> =
        fields(Kind::ClusterClaim).difference(&claim).cloned().collect();
    for (kind, fields) in
        [(Kind::Pool, fields(Kind::Pool)), (Kind::Claim, claim), (Kind::ClusterClaim, cluster)]
    {
        assert!(!fields.is_empty(), "the reference has no fields of {kind:?}");
        missing.extend(fields.into_iter().filter(|field| !tried(kind, field)));
    }
    assert!(missing.is_empty(), "no case tries {missing:?}: add one to crds/cases");
}

/// What an API server refuses, by the name of the object.
fn refusals(server: &ApiServer, stream: &str) -> BTreeMap<String, String> {
    let create = ["create", "--dry-run=server", "-f", "-"];
    let output = server.kubectl().feed(&create, stream).unwrap();
    let mut refusals: BTreeMap<String, String> = BTreeMap::new();
    let mut current = None;
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        if let Some((head, rest)) = line.split_once(" is invalid: ") {
            let name = head.rsplit('"').nth(1).unwrap_or(head).to_owned();
            refusals.insert(name.clone(), rest.to_owned());
            current = Some(name);
        } else if let Some(text) = current.as_ref().and_then(|name| refusals.get_mut(name)) {
            text.push('\n');
            text.push_str(line);
        } else {
            panic!("kubectl says: {line}");
        }
    }
    refusals
}

fn says_the_same(server: &ApiServer) {
    let named = |index: usize| format!("case-{index}");
    let stream: String = cases()
        .enumerate()
        .map(|(index, case)| format!("---\n{}", case.0.manifest(&named(index), case.1)))
        .collect();
    let refusals = refusals(server, &stream);
    let mut wrong = Vec::new();
    for (index, case) in cases().enumerate() {
        let found = refusals.get(&named(index)).map(String::as_str);
        if let Err(wanted) = judge(case, found) {
            wrong.push(format!("{:?} {}:\n  found  {found:?}\n  wanted {wanted}", case.0, case.1));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases().count(), wrong.join("\n"));
    let good: String = good()
        .enumerate()
        .map(|(index, (kind, change))| format!("---\n{}", kind.manifest(&named(index), change)))
        .collect();
    assert_eq!(self::refusals(server, &good), BTreeMap::new());
}

/// Whether the API server's words are those of the table; else what was wanted.
fn judge(case: &CrdCase, found: Option<&str>) -> Result<(), String> {
    let (_, _, field, sentence, says) = case;
    let rule = |field: &str| format!("{field}: Invalid value: ");
    let fits = |field: &str| {
        found.is_some_and(|found| {
            found.starts_with(&rule(field))
                && found.ends_with(&format!(": {}", sentence.trim_start()))
        })
    };
    let good = match says {
        Says::Same => fits(field),
        Says::Of(place) => fits(place),
        Says::Schema(words) => found
            .is_some_and(|found| found.contains(&format!("{field}: ")) && found.contains(words)),
        Says::Null => found.is_some_and(|found| {
            let above = field.rsplit_once('.').unwrap_or_default().0;
            found.ends_with(&format!("\"{above}\" must not validate the schema (not)"))
        }),
        Says::Nothing => found.is_none(),
    };
    if good { Ok(()) } else { Err(format!("{says:?} {field}: {sentence}")) }
}

#[test]
fn unknown_fields_are_refused_by_both() {
    let server = shared();
    for (kind, change, field) in [
        (
            Kind::Pool,
            "allowedNamespaces: {matchLabel: {a: b}}",
            "spec.allowedNamespaces.matchLabel",
        ),
        (Kind::Pool, "pause: true", "spec.pause"),
        (
            Kind::Pool,
            "provider: AWS\n  aws: {elasticIPTags: {a: b}, interfaceTags: {a: b}}",
            "spec.aws.interfaceTags",
        ),
        (
            Kind::Claim,
            "podSelector: {matchLabels: {a: b}, matchExpression: []}",
            "spec.podSelector.matchExpression",
        ),
        (
            Kind::Claim,
            "destinations: [{cidr: 0.0.0.0/0, excepts: []}]",
            "spec.destinations[0].excepts",
        ),
    ] {
        let manifest = kind.manifest("bank", change);
        let parsed = parse(&manifest);
        assert!(parsed.faults[0].message.starts_with(&format!("{field}: there is no field")));
        for apply in [&["apply", "-f", "-"][..], &["apply", "--server-side", "-f", "-"]] {
            let output = server.kubectl().feed(apply, &manifest).unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{change} is accepted by {apply:?}");
            assert!(said.contains(field.rsplit('.').next().unwrap()), "{change}: {said}");
        }
    }
}

/// As many entries as the bounds allow, of the costliest spelling: no rule may run out of budget on
/// an object without a fault.
#[test]
fn the_largest_objects_are_within_the_budget() {
    let server = shared();
    let texts = |count: usize, text: &dyn Fn(usize) -> String| {
        (0..count).map(|index| format!("'{}'", text(index))).collect::<Vec<_>>().join(", ")
    };
    let six = |index: usize| format!("2001:0db8:0005:0000:0000:0000:{index:04x}:0000/112");
    let single = |index: usize| format!("2001:0db8:0005:0000:0000:0000:0000:{index:04x}");
    let range = |index: usize| {
        format!(
            "2001:0db8:0005:0000:0000:0000:{index:04x}:0000 - 2001:0db8:0005:0000:0000:0000:{index:04x}:ffff"
        )
    };
    let four = |index: usize| format!("203.0.113.{index}");
    let plain = |index: usize| format!("198.51.{index}.128/25");
    let mut stream = String::new();
    for (index, entries) in [
        texts(64, &six),
        texts(64, &single),
        texts(64, &range),
        texts(64, &four),
        texts(64, &plain),
    ]
    .iter()
    .enumerate()
    {
        let name = format!("large-{index}");
        let change = format!("addresses: [{entries}]");
        stream.push_str(&format!("---\n{}", Kind::Pool.manifest(&name, &change)));
    }
    let tags = |count: usize| {
        let tag = |index: usize| format!("{index:é>128}: {}", "é".repeat(256));
        (0..count).map(tag).collect::<Vec<_>>().join(", ")
    };
    let change = format!(
        "provider: AWS\n  addresses: [{}]\n  aws: {{elasticIPTags: {{{}}}}}",
        texts(64, &range),
        tags(50)
    );
    stream.push_str(&format!("---\n{}", Kind::Pool.manifest("large-tags", &change)));
    let except = |to: usize| {
        (0..32).map(|index| format!("'2001:0db8:{to:04x}:{index:04x}::/64'")).collect::<Vec<_>>()
    };
    let destinations: Vec<String> = (0..128)
        .map(|to| {
            format!("{{cidr: '2001:0db8:{to:04x}::/48', except: [{}]}}", except(to).join(", "))
        })
        .collect();
    let change = format!(
        "addresses: [{}]\n  destinations: [{}]",
        texts(64, &single),
        destinations.join(", ")
    );
    stream.push_str(&format!("---\n{}", Kind::Claim.manifest("large-claim", &change)));
    assert_eq!(refusals(&server, &stream), BTreeMap::new());
    assert!(parse(&stream).faults.is_empty());
}

/// Its CEL has fewer functions, and its estimates of costs are others.
#[test]
#[ignore = "make soak builds the oldest API server and runs this"]
fn the_oldest_maintained_api_server_says_the_same() {
    let program = Some(oldest_api_server().unwrap());
    let options = ApiServerOptions { program, ..ApiServerOptions::default() };
    let server = ApiServer::start_with(options).unwrap();
    super::install(&server);
    says_the_same(&server);
}
