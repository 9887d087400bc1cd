//! The rows, in the order in which they run: those that leave a laboratory as they found it first.

mod laboratory;
mod s51_negative_control;

use crate::bench::Row;

pub const ALL: &[Row] = &[
    Row { name: "laboratory_reaches_everything", run: laboratory::reaches_everything },
    Row { name: "laboratory_oracles_can_fail", run: laboratory::oracles_can_fail },
    Row { name: "laboratory_faults_do_what_they_say", run: laboratory::faults },
    Row { name: "s51_negative_control", run: s51_negative_control::run },
];
