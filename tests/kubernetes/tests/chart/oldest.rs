//! Policies on the oldest Kubernetes that is still maintained, whose CEL knows less.

use super::agents::{self, ready};
use super::fixture::ChartFixture;
use super::people;

#[test]
#[ignore = "make soak builds the oldest API server and runs this"]
fn agents_are_held_to_the_same() {
    let fixture = ready(ChartFixture::oldest(&[]));
    for held in [
        agents::its_own_node_only,
        agents::what_the_plan_gives_it_only,
        agents::nothing_else,
        agents::events_in_its_own_name,
    ] {
        held(&fixture);
    }
}

#[test]
#[ignore = "make soak builds the oldest API server and runs this"]
fn the_cluster_object_goes_only_when_that_is_meant() {
    people::deleted_when_meant(&ChartFixture::oldest(&[]));
}

#[test]
#[ignore = "make soak builds the oldest API server and runs this"]
fn the_controller_takes_one_taint_off_a_node() {
    people::one_taint(&ChartFixture::oldest(people::TAINT));
}
