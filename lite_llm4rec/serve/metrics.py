"""What Prometheus is told."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

Numbers = tuple[float, ...]

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the page


class Metrics:
    """One service's metrics, in a registry of their own.

    Attributes
    ----------
    requests, latency
        By route, method and status; by route.
    stage, batch, queue
        By stage: seconds in its queue ("wait") and in its call ("call"), requests per call,
        requests that wait.
    refused
        Requests turned away, by reason.
    texts
        Texts in histories and searches that were encoded before ("hit") or not ("miss").
    items, reloads, recorded
        The catalogue's size by state; reloads by result; events.
    """

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        ProcessCollector(registry=own)
        PlatformCollector(registry=own)

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"lite_llm4rec_{name}", what, labels, registry=own)

        def gauge(name: str, what: str, *labels: str) -> Gauge:
            return Gauge(f"lite_llm4rec_{name}", what, labels, registry=own)

        def histogram(name: str, what: str, buckets: Numbers, *labels: str) -> Histogram:
            return Histogram(f"lite_llm4rec_{name}", what, labels, registry=own, buckets=buckets)

        self.requests = counter("requests", "Requests answered.", "route", "method", "status")
        self.latency = histogram("request_seconds", "From request to answer.", SECONDS, "route")
        self.stage = histogram("stage_seconds", "Waiting and working.", SECONDS, "stage", "part")
        self.batch = histogram("batch_size", "Requests per call.", SIZES, "stage")
        self.queue = gauge("queue_depth", "Requests that wait.", "stage")
        self.refused = counter("refused", "Requests turned away.", "reason")
        self.texts = counter("text_cache", "Texts encoded before, or not.", "result")
        self.items = gauge("catalogue_items", "Items of the catalogue.", "state")
        self.reloads = counter("reloads", "Reloads of the run folder.", "result")
        self.recorded = counter("events_recorded", "Events on the disk.")

    def page(self) -> bytes:
        """Write them in Prometheus' text format."""
        return generate_latest(self.registry)
