//! How much memory the process has in RAM.

use std::io;

/// Resident memory of this process in bytes: VmRSS of /proc/self/status (proc_pid_status(5)).
///
/// # Errors
/// Where /proc is not mounted or has no such line.
pub fn resident_bytes() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    parse(&status).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "/proc/self/status has no VmRSS in kB")
    })
}

fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_line_and_nothing_else() {
        assert_eq!(parse("VmHWM:\t  9 kB\nVmRSS:\t  2048 kB\nRssAnon:\t 1 kB\n"), Some(2 << 20));
        assert_eq!(parse("VmRSS:\t  2048\n"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn more_memory_in_use_is_more_memory_read() {
        let before = resident_bytes().unwrap();
        let block = vec![1u8; 64 << 20];
        assert!(resident_bytes().unwrap() > before + (32 << 20));
        assert_eq!(std::hint::black_box(&block)[5], 1);
    }
}
