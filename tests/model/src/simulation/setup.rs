use egret_core::lease::InjectedFaults;

/// A millisecond in nanoseconds.
pub const MS: u64 = 1_000_000;
/// So long an address is probed for, where its last holder was not heard just before.
pub(super) const PROBING: u64 = 5000 * MS;

/// What a simulation is made with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The only source of chance.
    pub seed: u64,
    /// How many nodes; all are gateways.
    pub nodes: usize,
    /// How many of them vote.
    pub voters: usize,
    /// How many addresses.
    pub addresses: usize,
    /// T in milliseconds.
    pub lease: u64,
    /// T_max in milliseconds.
    pub t_max: u64,
    /// Lost datagrams in a thousand.
    pub loss: u64,
    /// A node's stalls in an hour, each of `shortest_stall` to `longest_stall` milliseconds.
    pub stalls: u64,
    /// Milliseconds.
    pub shortest_stall: u64,
    /// Milliseconds.
    pub longest_stall: u64,
    /// The addresses are a cloud's, which is the fence.
    pub cloud: bool,
    /// The clocks of the nodes run apart: CLOCK_BOOTTIME by up to 8.3 %.
    pub bent_clocks: bool,
    /// Rules that the machines break: the simulation must notice.
    pub mistakes: InjectedFaults,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            seed: 1,
            nodes: 5,
            voters: 3,
            addresses: 1,
            lease: 450,
            t_max: 1000,
            loss: 0,
            stalls: 0,
            shortest_stall: 50,
            longest_stall: 350,
            cloud: false,
            bent_clocks: false,
            mistakes: InjectedFaults::default(),
        }
    }
}
