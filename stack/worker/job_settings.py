"""What the worker needs to know."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from stack.infra.settings import BackgroundSettings


class WorkerSettings(BackgroundSettings):
    """Settings of the worker; it cannot run without a queue."""

    queue_url: Annotated[str, Field(pattern=r"^(rediss?|unix)://.+")]
    # Without a mail server welcome e-mails are off, and each such job says so.
    smtp_url: Annotated[str, Field(pattern=r"^smtps?://.+")] | None = None
    mail_from: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] = "shop@example.com"
    # A dead worker's job is due again after so long; a living one renews it three times as often.
    job_lease_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    job_backoff_s: Annotated[float, Field(gt=0, le=3600)] = 1.0
    job_attempts: Annotated[int, Field(ge=1, le=100)] = 8
    emulation_file: Path | None = None  # where the workers are emulated machines
