//! The table of calls and permissions is the code's.

use std::collections::BTreeSet;

/// The methods that the sources name.
fn called() -> BTreeSet<&'static str> {
    let sources = [include_str!("../compute/read.rs"), include_str!("../compute/change.rs")];
    let texts = sources.into_iter().flat_map(|source| source.split('"').skip(1).step_by(2));
    texts.filter(|text| text.starts_with("compute.")).collect()
}

#[test]
fn every_call_is_in_the_table_and_nothing_else() {
    let table = include_str!("../../permissions.tsv");
    let rows = table.lines().filter(|line| !line.starts_with('#')).skip(1);
    let rows: Vec<&str> = rows.filter_map(|row| row.split('\t').next()).collect();
    let methods: BTreeSet<&str> = rows.iter().copied().collect();
    assert_eq!(methods.len(), rows.len(), "a method is there twice");
    assert_eq!(methods, called());
}
