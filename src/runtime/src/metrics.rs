//! The metrics registry, and metrics that are read where they live when somebody asks.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::{fmt, io};

use clap::Args;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

/// Arguments of every daemon.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Metrics and health")]
pub struct MetricsArgs {
    /// Where to serve /metrics, /healthz and /readyz over HTTP, such as `127.0.0.1:9850`, or `:9850`
    /// for all addresses of the host; not served where absent
    #[arg(long, env = "EGRET_METRICS_LISTEN", value_name = "ADDRESS:PORT", value_parser = listen)]
    pub metrics_listen: Option<Listen>,
}

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// At one address.
    At(SocketAddr),
    /// At all addresses of the host, at this port.
    Everywhere(u16),
}

impl Listen {
    /// Binds it: everywhere is both families, or IPv4 alone where the kernel has no IPv6.
    ///
    /// # Errors
    /// As bind(2).
    pub async fn bind(self) -> io::Result<TcpListener> {
        match self {
            Self::At(address) => TcpListener::bind(address).await,
            Self::Everywhere(port) => {
                match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
                    Ok(listener) => Ok(listener),
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
                    Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
                }
            }
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::Everywhere(port) => write!(f, ":{port}"),
        }
    }
}

fn listen(text: &str) -> Result<Listen, String> {
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
        return Ok(Listen::Everywhere(port));
    }
    let wrong = |_| format!("{text}: write ADDRESS:PORT, [ADDRESS]:PORT or :PORT");
    text.parse().map(Listen::At).map_err(wrong)
}

/// A registry whose names begin with `egret_`, with the memory and version of this process.
#[must_use]
pub fn registry(version: &'static str) -> Registry {
    let mut registry = Registry::with_prefix("egret");
    let info = prometheus_client::metrics::info::Info::new([("version", version)]);
    registry.register("build", "The version that runs", info);
    #[cfg(target_os = "linux")]
    gauge(&mut registry, "resident_memory_bytes", "Memory of the process in RAM", || {
        crate::memory::resident_bytes().ok().and_then(|bytes| i64::try_from(bytes).ok())
    });
    registry
}

/// Registers counters that live elsewhere (in a BPF map, in another thread), read at every scrape:
/// one metric, one sample for each value of `label`. What `read` leaves out is absent.
pub fn counters<I>(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    label: &'static str,
    read: impl Fn() -> I + Send + Sync + 'static,
) where
    I: IntoIterator<Item = (&'static str, u64)>,
{
    let read = move || read().into_iter().collect::<Vec<_>>();
    registry.register_collector(Box::new(Counters { name, help, label, read }));
}

/// Registers a gauge that lives elsewhere, read at every scrape; absent where it reads `None`.
pub fn gauge(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    read: impl Fn() -> Option<i64> + Send + Sync + 'static,
) {
    registry.register_collector(Box::new(OneGauge { name, help, read }));
}

/// Registers a gauge with a label, read at every scrape.
pub fn gauges<V>(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    label: &'static str,
    read: impl Fn() -> V + Send + Sync + 'static,
) where
    V: IntoIterator<Item = (String, f64)> + 'static,
{
    let read = move || read().into_iter().collect();
    registry.register_collector(Box::new(Gauges { name, help, label, read }));
}

struct Gauges<R> {
    name: &'static str,
    help: &'static str,
    label: &'static str,
    read: R,
}

impl<R> fmt::Debug for Gauges<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauges").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<R: Fn() -> Vec<(String, f64)> + Send + Sync + 'static> Collector for Gauges<R> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric =
            encoder.encode_descriptor(self.name, self.help, None, MetricType::Gauge)?;
        for (of, value) in (self.read)() {
            let labels = [(self.label, of.as_str())];
            ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

struct Counters<R> {
    name: &'static str,
    help: &'static str,
    label: &'static str,
    read: R,
}

impl<R> fmt::Debug for Counters<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<R: Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static> Collector for Counters<R> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric =
            encoder.encode_descriptor(self.name, self.help, None, MetricType::Counter)?;
        for (value, count) in (self.read)() {
            let labels = [(self.label, value)];
            ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

struct OneGauge<R> {
    name: &'static str,
    help: &'static str,
    read: R,
}

impl<R> fmt::Debug for OneGauge<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneGauge").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<R: Fn() -> Option<i64> + Send + Sync + 'static> Collector for OneGauge<R> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(value) = (self.read)() else { return Ok(()) };
        let metric = encoder.encode_descriptor(self.name, self.help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(metric)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn what_lives_elsewhere_is_read_at_every_scrape() {
        let mut registry = registry("1.2.3");
        let drops = Arc::new(AtomicU64::new(7));
        let read = Arc::clone(&drops);
        counters(&mut registry, "drops", "Packets dropped", "reason", move || {
            [("no_block", read.load(Ordering::Relaxed)), ("no_holder", 0)]
        });
        gauge(&mut registry, "absent", "Never there", || None);
        gauges(&mut registry, "silence", "Seconds", "node", || [("node-2".to_owned(), 0.5)]);
        let scrape = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text
        };
        let text = scrape();
        for line in [
            "# TYPE egret_drops counter",
            "egret_drops_total{reason=\"no_block\"} 7",
            "egret_drops_total{reason=\"no_holder\"} 0",
            "egret_silence{node=\"node-2\"} 0.5",
            "egret_build_info{version=\"1.2.3\"} 1",
            "# TYPE egret_resident_memory_bytes gauge",
        ] {
            assert!(text.contains(line), "no {line} in:\n{text}");
        }
        assert!(!text.contains("absent"), "{text}");
        drops.store(8, Ordering::Relaxed);
        assert!(scrape().contains("egret_drops_total{reason=\"no_block\"} 8"));
    }
}
