"""OpenTelemetry traces of requests, over OTLP/HTTP. A switch: no URL, none.

A span is made when its request is over, from the request's own notebook (`trace.py`): nothing is
carried along while it is served, and a request costs the same calls whether traces are on or not.
"""

from collections.abc import Sequence
from time import perf_counter_ns, time_ns

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Scope

from stack.service.trace import LOG, Trace

# Seconds of `perf_counter` to the epoch in ns; both clocks run at the same pace.
_EPOCH_NS = time_ns() - perf_counter_ns()
EXPORT_S = 3  # retries included; what is not taken by then is dropped
SYSTEMS = {"db": "mongodb", "cache": "redis", "search": "elasticsearch"}


class Spans:
    """Exports a span for each request, and one for each of its steps."""

    def __init__(self, url: str, replica: str, sample_fraction: float) -> None:
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample_fraction)),
            resource=Resource({"service.name": "headroom-api", "service.instance.id": replica}),
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(f"{url.rstrip('/')}/v1/traces", timeout=EXPORT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("headroom")
        self._parents = TraceContextTextMapPropagator()

    def request_done(
        self, scope: Scope, trace: Trace, route: str, status: int, times_s: Sequence[float]
    ) -> None:
        """Take up one request that began and ended at `times_s` (of `perf_counter`)."""
        told = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in (b"traceparent", b"tracestate")
        }
        span = self._tracer.start_span(
            f"{scope['method']} {route}",
            context=self._parents.extract(told) if told else None,
            kind=SpanKind.SERVER,
            start_time=_ns(times_s[0]),
            attributes={
                "http.request.method": scope["method"],
                "http.route": route,
                "http.response.status_code": status,
                "url.path": scope["path"],
                "headroom.request_id": trace.request_id,
                "headroom.cache": trace.outcome,
                **({"user.id": trace.user} if trace.user else {}),
            },
        )
        if span.is_recording():
            inside = set_span_in_context(span)
            for step in trace.steps or ():
                if step.part == LOG:
                    span.add_event(step.what, timestamp=_ns(step.began_s))
                    continue
                system = SYSTEMS.get(step.part)
                child = self._tracer.start_span(
                    f"{step.part} {step.what}".strip(),
                    context=inside,
                    kind=SpanKind.CLIENT if system else SpanKind.INTERNAL,
                    start_time=_ns(step.began_s),
                    attributes={"db.system.name": system} if system else None,
                )
                child.end(_ns(step.ended_s))
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR))
        span.end(_ns(times_s[1]))

    def close(self) -> None:
        """Export what waits."""
        self._provider.shutdown()


def _ns(perf_counter_s: float) -> int:
    return _EPOCH_NS + int(perf_counter_s * 1e9)
