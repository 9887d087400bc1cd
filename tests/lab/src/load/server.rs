use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::client::phase;
use super::plan::{LoadPlan, LoadPorts, server_address};
use super::series::{LoadRecord, LoadStamp, lock};
use crate::clock::WallTime;

/// Binds every port and serves until the thread ends.
pub(super) async fn run(
    record: &Arc<LoadRecord>,
    ports: LoadPorts,
    plan: &LoadPlan,
) -> io::Result<()> {
    for family in &plan.families {
        let echo = listen(server_address(*family, ports.echo()))?;
        serve(echo, |stream| async {
            let _ = echo_on(stream).await;
        });
        let (kept, pause) = (record.clone(), plan.every);
        serve(listen(server_address(*family, ports.drive()))?, move |stream| {
            drive(stream, kept.clone(), pause)
        });
        serve(listen(server_address(*family, ports.probe()))?, |stream| async {
            let _ = tell_source(stream).await;
        });
        let udp = UdpSocket::bind(server_address(*family, ports.udp())).await?;
        tokio::spawn(echo_datagrams(udp, record.clone()));
    }
    Ok(())
}

pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    crate::bound(|| {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(1024)
    })
}

fn serve<F>(listener: TcpListener, handle: impl Fn(TcpStream) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(handle(stream));
        }
    });
}

async fn echo_on(mut stream: TcpStream) -> io::Result<()> {
    let mut bytes = [0; LoadStamp::LENGTH];
    loop {
        stream.read_exact(&mut bytes).await?;
        stream.write_all(&bytes).await?;
    }
}

/// The pod says once, as the first thing, which of its series this is; from then on only the
/// server speaks.
async fn drive(mut stream: TcpStream, record: Arc<LoadRecord>, pause: std::time::Duration) {
    let mut bytes = [0; LoadStamp::LENGTH];
    if stream.read_exact(&mut bytes).await.is_err() {
        return;
    }
    let index = LoadStamp::from_bytes(&bytes).index;
    let mut ticks = interval_at(Instant::now() + phase(index, pause), pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for sequence in 0.. {
        ticks.tick().await;
        let word = LoadStamp { index, sequence, stamp: WallTime::now() };
        if let Err(error) = stream.write_all(&word.to_bytes()).await {
            if let Some(series) = record.get(index) {
                let mut series = lock(&series);
                let end = (WallTime::now(), format!("the server's side ended: {}", error.kind()));
                series.ended.get_or_insert(end);
            }
            return;
        }
    }
}

/// Says which source it sees, and waits for the client to close first: a server that closes first
/// would hold the port of the client's block in TIME_WAIT.
pub(super) async fn tell_source(mut stream: TcpStream) -> io::Result<()> {
    let peer = stream.peer_addr()?;
    stream.write_all(format!("{}\n", peer.ip()).as_bytes()).await?;
    let mut rest = [0; 16];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

async fn echo_datagrams(socket: UdpSocket, record: Arc<LoadRecord>) {
    let mut bytes = [0; LoadStamp::LENGTH];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut bytes).await else { continue };
        if length != LoadStamp::LENGTH {
            continue;
        }
        if let Some(series) = record.get(LoadStamp::from_bytes(&bytes).index) {
            let mut series = lock(&series);
            series.arrived += 1;
            series.arrivals.push(WallTime::now());
        }
        let _ = socket.send_to(&bytes, peer).await;
    }
}
