use egret_core::lease::{BootTime, Now, RawTime};

/// Both clocks, one after the other.
pub(crate) fn now() -> Now {
    let raw = RawTime(egret_runtime::clock::raw_now());
    Now { raw, boot: BootTime(egret_runtime::clock::boot_now()) }
}
