use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};

use super::series::lock;
use crate::test_bed::PodNet;

/// ICMP echo from a pod, by `ping`. Dropping it ends it.
#[derive(Debug)]
pub struct Ping {
    child: Child,
    answered: Arc<Mutex<Vec<u32>>>,
}

impl Ping {
    /// Starts; an echo request every `pause` (10 ms at least), `count` of them at most.
    ///
    /// # Errors
    /// Where `ping` is missing.
    pub fn start(pod: impl Into<PodNet>, to: IpAddr, pause: Duration, count: u32) -> Result<Self> {
        let pause = format!("{:.3}", pause.as_secs_f64().max(0.01));
        let mut child = Command::new("nsenter")
            .arg(format!("--net={}", pod.into().path))
            .args(["--", "ping"])
            .args(["-n", "-i", &pause, "-c", &count.to_string(), "-W", "1", &to.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("ping (apt-get install iputils-ping)")?;
        let answered = Arc::new(Mutex::new(Vec::new()));
        if let Some(stdout) = child.stdout.take() {
            let kept = answered.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if let Some(sequence) = sequence(&line) {
                        lock(&kept).push(sequence);
                    }
                }
            });
        }
        Ok(Self { child, answered })
    }

    /// The sequence numbers (from 1) that were answered.
    #[must_use]
    pub fn answered(&self) -> Vec<u32> {
        lock(&self.answered).clone()
    }

    /// The longest run of unanswered requests between two answered ones.
    #[must_use]
    pub fn longest_gap(&self) -> u32 {
        let answered = self.answered();
        answered.windows(2).map(|two| two[1].saturating_sub(two[0] + 1)).max().unwrap_or(0)
    }
}

impl Drop for Ping {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn sequence(line: &str) -> Option<u32> {
    let rest = line.split_once("icmp_seq=")?.1;
    let (number, answer) = rest.split_once(' ')?;
    answer.contains("time=").then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_answers_count() {
        let answer = "64 bytes from 198.51.100.20: icmp_seq=12 ttl=62 time=0.101 ms";
        assert_eq!(super::sequence(answer), Some(12));
        let error = "From 10.244.1.1 icmp_seq=12 Destination Host Unreachable";
        assert_eq!(super::sequence(error), None);
    }
}
