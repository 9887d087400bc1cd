//! Who has a lock, as far as the kernel tells.

use rustix::fs::{Stat, major, minor};

/// For people: the process that has a lock on this file, such as `process 812 (egret)`. `None` where that
/// cannot be told: no `/proc`, another PID namespace, or a file system that has one number for `stat` and
/// another for its locks.
pub fn of(file: &Stat) -> Option<String> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let process = first(&locks, (major(file.st_dev), minor(file.st_dev)), file.st_ino)?;
    Some(match std::fs::read_to_string(format!("/proc/{process}/comm")) {
        Ok(name) => format!("process {process} ({})", name.trim()),
        Err(_) => format!("process {process}"),
    })
}

/// The first process in `/proc/locks` that has a lock of `flock` on this file; whoever waits for one is
/// listed with an arrow.
fn first(locks: &str, (major, minor): (u32, u32), inode: u64) -> Option<u32> {
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let kind = words.next()?;
        let (process, locked) = (words.nth(2)?, words.next()?);
        let process = process.parse().ok().filter(|process| *process > 0);
        process.filter(|_| kind == "FLOCK" && locked == file)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKS: &str = "\
1: POSIX  ADVISORY  WRITE 11 08:02:77 0 EOF
2: FLOCK  ADVISORY  WRITE 0 08:02:77 0 EOF
2: -> FLOCK  ADVISORY  WRITE 12 08:02:77 0 EOF
3: FLOCK  ADVISORY  READ 13 00:2b:77 0 EOF
4: FLOCK  ADVISORY  READ 14 08:02:77 0 EOF
5: FLOCK  ADVISORY  READ 15 08:02:77 0 EOF
";

    #[test]
    fn it_is_who_has_the_lock_of_that_file() {
        assert_eq!(first(LOCKS, (8, 2), 77), Some(14));
        assert_eq!(first(LOCKS, (0, 0x2b), 77), Some(13));
        assert_eq!(first(LOCKS, (8, 2), 78), None);
        assert_eq!(first("", (8, 2), 77), None);
    }
}
