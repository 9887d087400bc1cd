use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::plan::{LoadPlan, PATIENCE};
use super::series::{LoadRecord, LoadStamp, SharedRecord, lock};
use crate::clock::WallTime;

/// Sends a datagram every `plan.every` whether or not the last came back, and notes what returns.
pub(super) async fn stream(
    record: Arc<LoadRecord>,
    (index, series): (u64, SharedRecord),
    (from, to): (SocketAddr, SocketAddr),
    plan: LoadPlan,
) {
    let bound = crate::bound(|| {
        let socket = std::net::UdpSocket::bind(from)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    let socket = match bound.and_then(UdpSocket::from_std) {
        Ok(socket) => socket,
        Err(error) => return record.fail(format!("UDP {from}: {error}")),
    };
    if let Err(error) = socket.connect(to).await {
        return record.fail(format!("UDP {from} → {to}: {error}"));
    }
    if first(&socket, index, &series).await.is_none() {
        return record.fail(format!("UDP {from} → {to}: no answer in {PATIENCE:?}"));
    }
    record.settle();
    let work =
        async { tokio::join!(send(&socket, index, &series, plan.every), take(&socket, &series)) };
    let _ = timeout(plan.limit, work).await;
}

/// Repeats the first datagram until one comes back.
async fn first(socket: &UdpSocket, index: u64, series: &SharedRecord) -> Option<()> {
    let mut bytes = [0; LoadStamp::LENGTH];
    for _ in 0..PATIENCE.as_millis() / 100 {
        let hello = LoadStamp { index, sequence: 0, stamp: WallTime::now() };
        let _ = socket.send(&hello.to_bytes()).await;
        if let Ok(Ok(_)) = timeout(Duration::from_millis(100), socket.recv(&mut bytes)).await {
            lock(series).arrivals.clear();
            lock(series).arrived = 0;
            return Some(());
        }
    }
    None
}

async fn send(socket: &UdpSocket, index: u64, series: &SharedRecord, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for sequence in 1.. {
        ticks.tick().await;
        let word = LoadStamp { index, sequence, stamp: WallTime::now() };
        {
            let mut series = lock(series);
            series.sent += 1;
            series.unanswered.insert(sequence);
        }
        // An ICMP error of a while ago may be reported here: the stream goes on.
        let _ = socket.send(&word.to_bytes()).await;
    }
}

async fn take(socket: &UdpSocket, series: &SharedRecord) {
    let mut bytes = [0; LoadStamp::LENGTH];
    loop {
        if let Ok(LoadStamp::LENGTH) = socket.recv(&mut bytes).await {
            let word = LoadStamp::from_bytes(&bytes);
            if word.sequence > 0 {
                let mut series = lock(series);
                series.unanswered.remove(&word.sequence);
                series.finish(word.stamp, WallTime::now());
            }
        }
    }
}
