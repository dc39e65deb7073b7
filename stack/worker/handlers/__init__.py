"""What the worker can do: one kind of job per module, each safe to be done twice."""

from stack.infra.jobs import JobKind
from stack.worker.handlers import (
    image,
    recommendations,
    report,
    search_check,
    search_rebuild,
    session_cleanup,
    welcome,
)
from stack.worker.tools import Handler

HANDLERS: dict[str, Handler] = {
    JobKind.WELCOME: welcome.send_welcome,
    JobKind.MISSED_WELCOMES: welcome.ask_for_missed,
    JobKind.RECOMMENDATIONS: recommendations.compute,
    JobKind.SEARCH_CHECK: search_check.check_and_repair,
    JobKind.SEARCH_REBUILD: search_rebuild.build_anew,
    JobKind.SESSION_CLEANUP: session_cleanup.forget_ended,
    JobKind.REPORT: report.write_report,
    JobKind.IMAGE: image.make_sizes,
}
