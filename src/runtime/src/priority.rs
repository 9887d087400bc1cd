//! Raised priority for the thread that renews leases: a busy node must not delay a renewal.

use std::fmt;

use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
};

/// Above every ordinary thread, below the kernel's own (50 for threaded interrupts).
const REAL_TIME: u8 = 10;
/// What `nice` can give where real time is not allowed: the kernel's smallest is -20.
const NICE: i32 = -15;

/// What the calling thread got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Priority {
    /// SCHED_RR: runs before every thread that is not real-time.
    RealTime {
        /// The static priority, 1 to 99.
        priority: u8,
    },
    /// SCHED_OTHER with a larger share.
    Nice {
        /// The nice value.
        value: i32,
        /// Why not real time, and the remedy.
        refused: String,
    },
    /// As before: stalls of a busy node may cost a takeover.
    Unchanged {
        /// Why, and the remedy.
        refused: String,
    },
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RealTime { priority } => write!(f, "SCHED_RR, priority {priority}"),
            Self::Nice { value, refused } => write!(f, "nice {value} ({refused})"),
            Self::Unchanged { refused } => write!(f, "unchanged ({refused})"),
        }
    }
}

/// Raises the calling thread as far as it is allowed to be; never fails, since the thread works
/// without.
pub fn raise_priority() -> Priority {
    let real_time = real_time();
    choose(real_time, || {
        // On Linux this is the calling thread alone, not the process (setpriority(2), "C
        // library/kernel differences").
        rustix::process::setpriority_process(None, NICE).map_err(|error| error.to_string())
    })
}

fn real_time() -> Result<(), String> {
    let value = ThreadPriorityValue::try_from(REAL_TIME)?;
    thread_priority::set_thread_priority_and_policy(
        thread_priority::thread_native_id(),
        ThreadPriority::Crossplatform(value),
        ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin),
    )
    .map_err(|error| match error {
        thread_priority::Error::OS(number) => std::io::Error::from_raw_os_error(number).to_string(),
        other => other.to_string(),
    })
}

fn choose(real_time: Result<(), String>, nice: impl FnOnce() -> Result<(), String>) -> Priority {
    let Err(refused) = real_time else { return Priority::RealTime { priority: REAL_TIME } };
    let refused = format!("SCHED_RR refused: {refused}; give the agent CAP_SYS_NICE");
    match nice() {
        Ok(()) => Priority::Nice { value: NICE, refused },
        Err(error) => Priority::Unchanged { refused: format!("{refused}; nice refused: {error}") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_it_got_as_the_kernel_sees_it() {
        let thread = std::thread::spawn(|| {
            let got = raise_priority();
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            // proc_pid_stat(5): behind the name in parentheses follow the fields from 3 on; nice
            // is 19, rt_priority 40, policy 41.
            let fields: Vec<_> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
            (got, fields[16].to_owned(), fields[37].to_owned(), fields[38].to_owned())
        });
        let (got, nice, real_time, policy) = thread.join().unwrap();
        match got {
            Priority::RealTime { priority } => {
                assert_eq!((real_time, policy.as_str()), (priority.to_string(), "2"));
            }
            Priority::Nice { value, .. } => assert_eq!(nice, value.to_string()),
            Priority::Unchanged { .. } => assert_eq!(policy, "0"),
        }
    }

    #[test]
    fn falls_back_step_by_step_with_the_remedy() {
        let no = || Err("EPERM".to_owned());
        assert_eq!(choose(Ok(()), no), Priority::RealTime { priority: REAL_TIME });
        let nice = choose(no(), || Ok(())).to_string();
        assert!(nice.starts_with("nice -15") && nice.contains("CAP_SYS_NICE"), "{nice}");
        let unchanged = choose(no(), no).to_string();
        assert!(unchanged.starts_with("unchanged") && unchanged.contains("EPERM"), "{unchanged}");
    }
}
