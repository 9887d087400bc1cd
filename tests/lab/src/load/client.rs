use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout};

use super::plan::{LoadPlan, LoadPorts, PATIENCE, SOURCE_PORTS, server_address};
use super::series::{LoadRecord, LoadSeries, LoadStamp, SharedRecord, TrafficKind, lock};
use super::udp;
use crate::clock::WallTime;

/// Opens everything that `plan` asks of one pod.
pub(super) async fn run(
    record: &Arc<LoadRecord>,
    ports: LoadPorts,
    plan: &LoadPlan,
    pod: &str,
    addresses: [IpAddr; 2],
) {
    for family in &plan.families {
        let from = family.pick(addresses);
        for number in 0..plan.connections {
            let kind =
                if number % 2 == 0 { TrafficKind::PodSpeaks } else { TrafficKind::ServerDrives };
            let series = record.add(LoadSeries::new(pod, *family, kind, number));
            let port = if kind == TrafficKind::PodSpeaks { ports.echo() } else { ports.drive() };
            let ends =
                (SocketAddr::new(from, SOURCE_PORTS + number), server_address(*family, port));
            tokio::spawn(connection(record.clone(), series, ends, plan.clone()));
        }
        if plan.udp {
            let series = record.add(LoadSeries::new(pod, *family, TrafficKind::Udp, 0));
            let to = server_address(*family, ports.udp());
            let from = SocketAddr::new(from, SOURCE_PORTS);
            tokio::spawn(udp::stream(record.clone(), series, (from, to), plan.clone()));
        }
        if let Some(pause) = plan.probe {
            let (_, series) = record.add(LoadSeries::new(pod, *family, TrafficKind::Probe, 0));
            let to = server_address(*family, ports.probe());
            tokio::spawn(probes(series, to, pause, plan.limit));
        }
    }
}

async fn connection(
    record: Arc<LoadRecord>,
    (index, series): (u64, SharedRecord),
    (from, to): (SocketAddr, SocketAddr),
    plan: LoadPlan,
) {
    let stream = match timeout(PATIENCE, connect(Some(from), to)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return record.fail(format!("{from} → {to}: {error}")),
        Err(_) => return record.fail(format!("{from} → {to}: no answer in {PATIENCE:?}")),
    };
    record.settle();
    let kind = lock(&series).kind;
    let work = async {
        if kind == TrafficKind::PodSpeaks {
            speak(stream, index, &series, plan.every).await
        } else {
            listen(stream, index, &series).await
        }
    };
    if let Ok(Err(error)) = timeout(plan.limit, work).await {
        let end = (WallTime::now(), format!("the pod's side ended: {}", error.kind()));
        lock(&series).ended.get_or_insert(end);
    }
}

pub(super) async fn connect(from: Option<SocketAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(from) = from {
        socket.set_reuseaddr(true)?;
        socket.bind(from)?;
    }
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn speak(
    mut stream: TcpStream,
    index: u64,
    series: &SharedRecord,
    every: Duration,
) -> io::Result<()> {
    let mut ticks = interval_at(Instant::now() + phase(index, every), every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut bytes = [0; LoadStamp::LENGTH];
    for sequence in 0.. {
        ticks.tick().await;
        let stamp = WallTime::now();
        {
            let mut series = lock(series);
            series.waiting = Some(stamp);
            series.sent += 1;
        }
        stream.write_all(&LoadStamp { index, sequence, stamp }.to_bytes()).await?;
        stream.read_exact(&mut bytes).await?;
        if LoadStamp::from_bytes(&bytes).sequence != sequence {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "another sequence number"));
        }
        lock(series).finish(stamp, WallTime::now());
    }
    Ok(())
}

/// Connections take turns: together they would come in bursts.
pub(super) fn phase(index: u64, every: Duration) -> Duration {
    every * u32::try_from(index * 7 % 64).unwrap_or_default() / 64
}

async fn listen(mut stream: TcpStream, index: u64, series: &SharedRecord) -> io::Result<()> {
    let hello = LoadStamp { index, sequence: 0, stamp: WallTime::now() };
    stream.write_all(&hello.to_bytes()).await?;
    let mut bytes = [0; LoadStamp::LENGTH];
    for sequence in 0.. {
        stream.read_exact(&mut bytes).await?;
        let word = LoadStamp::from_bytes(&bytes);
        if word.sequence != sequence {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "another sequence number"));
        }
        let mut series = lock(series);
        series.sent += 1;
        series.finish(word.stamp, WallTime::now());
    }
    Ok(())
}

/// Opens connections one after another, each when the last has ended or `pause` has passed,
/// whichever is later.
async fn probes(series: SharedRecord, to: SocketAddr, pause: Duration, limit: Duration) {
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let work = async {
        loop {
            ticks.tick().await;
            let begun = WallTime::now();
            {
                let mut series = lock(&series);
                series.waiting = Some(begun);
                series.sent += 1;
            }
            if let Ok(Ok(_)) = timeout(PATIENCE, seen_source(to)).await {
                lock(&series).finish(begun, WallTime::now());
            } else {
                lock(&series).waiting = None;
            }
        }
    };
    let _ = timeout(limit, work).await;
}

/// Connects to a port that says which source it sees.
pub(super) async fn seen_source(to: SocketAddr) -> io::Result<String> {
    let mut stream = connect(None, to).await?;
    let mut text = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).await? == 1 && byte[0] != b'\n' {
        text.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
