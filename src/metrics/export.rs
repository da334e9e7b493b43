//! The listener that answers scrapes, and the publisher that feeds it.

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{
    BuildError, ExporterFuture, PrometheusBuilder, PrometheusRecorder,
};
use tokio::sync::oneshot;

use super::names::{Kind, METRICS, Metric, Unit};
use crate::Snapshot;

/// How often figures are published.
pub const PUBLISH_INTERVAL: Duration = Duration::from_secs(1);

/// Why metrics cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on: in use, not of this host, or not allowed.
    #[error("metrics cannot be served on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        reason: String,
    },
    /// The thread that serves metrics cannot start.
    #[error("metrics cannot be served: {0}")]
    Thread(#[from] std::io::Error),
}

/// A running metrics endpoint. [`finish`](Self::finish) publishes once more and ends it; so does dropping it.
#[derive(Debug)]
pub struct MetricsServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Serves every metric of [`METRICS`] at `http://address/metrics` until the result is dropped. Every
/// [`PUBLISH_INTERVAL`], at once and at the end, `figures` is asked for those of shards and ports. With port 0 the
/// operating system chooses one.
///
/// # Errors
/// [`ServeError`], in particular where the address is in use.
pub fn serve<F: Into<Snapshot>>(
    address: SocketAddr,
    mut figures: impl FnMut() -> F + Send + 'static,
) -> Result<MetricsServer, ServeError> {
    let address = with_port(address).map_err(|error| ServeError::Listen {
        address,
        reason: error.to_string(),
    })?;
    let (stop, stopped) = oneshot::channel();
    let (started, start) = mpsc::sync_channel(1);
    let thread = thread::Builder::new()
        .name("mosaic-metrics".into())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error.into()))),
            };
            runtime.block_on(async {
                match listen(address) {
                    Ok((recorder, exporter)) => {
                        let mut publisher = Publisher {
                            recorder,
                            figures: move || figures().into(),
                        };
                        publisher.publish();
                        // Whoever started this waits for the answer, and `stopped` tells when nobody does any more.
                        let _ = started.send(Ok(()));
                        publisher.run(exporter, stopped).await;
                    }
                    Err(error) => drop(started.send(Err(error))),
                }
            });
        })?;
    let server = MetricsServer {
        address,
        stop: Some(stop),
        thread: Some(thread),
    };
    start.recv().map_err(std::io::Error::other)??;
    Ok(server)
}

impl MetricsServer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Publishes the last figures and closes the endpoint.
    pub fn finish(self) {
        drop(self);
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there was reported by the panic hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}

/// The exporter does not tell which port it was given, so port 0 is resolved first.
fn with_port(address: SocketAddr) -> std::io::Result<SocketAddr> {
    if address.port() == 0 {
        TcpListener::bind(address)?.local_addr()
    } else {
        Ok(address)
    }
}

fn listen(address: SocketAddr) -> Result<(PrometheusRecorder, ExporterFuture), ServeError> {
    let (recorder, exporter) = PrometheusBuilder::new()
        .with_http_listener(address)
        .build()
        .map_err(|error| {
            let reason = match error {
                BuildError::FailedToCreateHTTPListener(reason) => reason,
                other => other.to_string(),
            };
            ServeError::Listen { address, reason }
        })?;
    METRICS
        .iter()
        .for_each(|metric| describe(&recorder, metric));
    Ok((recorder, exporter))
}

struct Publisher<S> {
    recorder: PrometheusRecorder,
    figures: S,
}

impl<S: FnMut() -> Snapshot> Publisher<S> {
    async fn run(&mut self, mut exporter: ExporterFuture, mut stopped: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(PUBLISH_INTERVAL) => self.publish(),
                // An error of the listener ends the scrapes, not the work that is measured.
                result = &mut exporter => return if let Err(error) = result { tracing::warn!(?error, "metrics endpoint") },
                _ = &mut stopped => return self.publish(),
            }
        }
    }

    fn publish(&mut self) {
        let figures = (self.figures)();
        for metric in METRICS {
            metric.read(&figures, &mut |subject, label, value| {
                record(&self.recorder, metric, subject, label, value);
            });
        }
    }
}

fn describe(recorder: &PrometheusRecorder, metric: &Metric) {
    let unit = match metric.unit {
        Unit::Count => metrics::Unit::Count,
        Unit::Bytes => metrics::Unit::Bytes,
    };
    match metric.kind {
        Kind::Counter => {
            recorder.describe_counter(metric.name.into(), Some(unit), metric.help.into())
        }
        Kind::Gauge => recorder.describe_gauge(metric.name.into(), Some(unit), metric.help.into()),
    }
}

fn record(recorder: &PrometheusRecorder, metric: &Metric, subject: &str, label: &str, value: u64) {
    const METADATA: Metadata<'static> =
        Metadata::new(module_path!(), Level::INFO, Some(module_path!()));
    let mut labels = vec![Label::new(metric.subject.label(), subject.to_owned())];
    labels.extend(metric.label.map(|name| Label::new(name, label.to_owned())));
    let key = Key::from_parts(metric.name, labels);
    match metric.kind {
        Kind::Counter => recorder.register_counter(&key, &METADATA).absolute(value),
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge above 2^53 may be off by a little"
        )]
        Kind::Gauge => recorder.register_gauge(&key, &METADATA).set(value as f64),
    }
}
