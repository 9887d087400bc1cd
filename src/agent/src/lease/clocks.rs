use egret_core::quorum::{BootTime, Now};

/// Both clocks, one after the other.
pub(crate) fn now() -> Now {
    Now { raw: egret_runtime::clock::raw_now(), boot: BootTime(egret_runtime::clock::boot_now()) }
}
