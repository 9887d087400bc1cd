//! Against the double of Compute Engine.

mod aliases;
mod contract;
mod double;
mod drift;
pub(crate) mod ideal;
mod identity;
mod permissions;
mod scenarios;
mod shared_vpc;
