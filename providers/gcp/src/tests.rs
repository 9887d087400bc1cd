//! Against the double of Compute Engine.

mod aliases;
mod contract;
mod double;
mod identity;
mod permissions;
mod scenarios;
mod shared_vpc;
