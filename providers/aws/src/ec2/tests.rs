use std::collections::BTreeSet;

/// The actions that a source text calls on the client.
fn calls(text: &str) -> BTreeSet<String> {
    let text: String = text.split_whitespace().collect();
    let called = text.split("client.").skip(1).filter_map(|rest| rest.split_once('('));
    let camel = |name: &str| {
        let parts = name.split('_').map(|part| {
            let (first, rest) = part.split_at(1);
            first.to_uppercase() + rest
        });
        parts.collect::<String>()
    };
    let is_name =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || b"_6".contains(&byte));
    called.map(|(name, _)| name).filter(|name| is_name(name)).map(camel).collect()
}

#[test]
fn the_list_of_calls_is_that_of_the_code() {
    let code = [include_str!("../ec2.rs"), include_str!("describe.rs")].concat();
    let listed = include_str!("../../ec2-calls.txt").lines().map(Into::into).collect();
    assert_eq!(calls(&code), listed);
    let labels = code.matches("\"Describe").count() + code.matches("\"A").count();
    assert!(labels >= 8, "metrics are labelled with the actions");
}
