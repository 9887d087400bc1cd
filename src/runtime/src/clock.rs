//! The clocks: one for people, two for leases.

use std::time::{SystemTime, UNIX_EPOCH};

use egret_core::model::Timestamp;
use egret_ports::clock::Clock;

/// The system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// CLOCK_MONOTONIC_RAW in nanoseconds: no time daemon bends it (docs/leases.md rule 1). Stands
/// still while the machine is suspended; 0 is about the boot.
#[cfg(target_os = "linux")]
#[must_use]
pub fn raw_now() -> u64 {
    nanoseconds(rustix::time::clock_gettime(rustix::time::ClockId::MonotonicRaw))
}

/// CLOCK_BOOTTIME in nanoseconds: the clock of deadlines in the kernel (`bpf_ktime_get_boot_ns`).
/// Goes on while the machine is suspended.
#[cfg(target_os = "linux")]
#[must_use]
pub fn boot_now() -> u64 {
    nanoseconds(rustix::time::clock_gettime(rustix::time::ClockId::Boottime))
}

#[cfg(target_os = "linux")]
fn nanoseconds(time: rustix::time::Timespec) -> u64 {
    let (seconds, rest) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(rest.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_this_century() {
        assert!(SystemClock.now() > Timestamp(1_700_000_000_000));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn lease_clocks_do_not_go_back_and_boot_time_includes_suspension() {
        let (raw, boot) = (raw_now(), boot_now());
        assert!(raw > 0 && boot > 0);
        assert!(raw_now() >= raw && boot_now() >= boot);
    }
}
