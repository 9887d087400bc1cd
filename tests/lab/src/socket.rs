//! Sockets of a process whose threads start programs.

use std::io;
use std::time::{Duration, Instant};

/// How long an address may be in use still.
const PATIENCE: Duration = Duration::from_secs(2);

/// Binds a socket, also where its address is in use for a moment more: a child that another thread
/// has begun to start has copies of all sockets until it runs its program, of closed ones too.
///
/// # Errors
/// What `bind` says: at once, or after 2 s where the address is in use.
pub fn bound<T>(mut bind: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let begun = Instant::now();
    loop {
        match bind() {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < PATIENCE =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_in_use_is_tried_again_and_nothing_else() {
        let mut left = 3;
        let freed = bound(|| {
            left -= 1;
            if left > 0 { Err(io::ErrorKind::AddrInUse.into()) } else { Ok(left) }
        });
        assert_eq!(freed.unwrap(), 0);
        let mut tries = 0;
        let refused = bound(|| -> io::Result<()> {
            tries += 1;
            Err(io::ErrorKind::AddrNotAvailable.into())
        });
        assert!(refused.is_err() && tries == 1);
    }
}
