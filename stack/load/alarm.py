"""Wake a greenlet at a time, to within the machine's own wake-up time.

gevent sleeps through epoll, whose time limit is rounded up to whole milliseconds. A timer file
descriptor has the resolution of the kernel's high-resolution timers, so that no request is sent up
to a millisecond late, and no core is burnt by spinning through the last one.
"""

import ctypes
import os
import time
from typing import Self

import gevent

_TFD_NONBLOCK = os.O_NONBLOCK
_TFD_CLOEXEC = os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class Alarm:
    """A timer of the monotonic clock, for one greenlet at a time."""

    def __init__(self) -> None:
        # Python has os.timerfd_create from 3.13 on.
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._timer = self._libc.timerfd_create(time.CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self._timer < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._hub = gevent.get_hub()
        self._readable = self._hub.loop.io(self._timer, 1)
        self._spec = _TimerSpec()
        self._set_s = 0.0  # when it goes off; 0: nobody waits

    def wait_until(self, when_s: float) -> None:
        """Let other greenlets run until `time.monotonic()` is `when_s`; at once when it is past."""
        if when_s <= time.monotonic():
            return
        self._set(when_s)
        self._hub.wait(self._readable)
        os.read(self._timer, 8)
        self._set_s = 0.0

    def bring_forward(self, when_s: float) -> None:
        """Let whoever waits go on at `when_s`, if that is earlier than it waits for."""
        if when_s < self._set_s:
            self._set(when_s)

    def _set(self, when_s: float) -> None:
        self._set_s = when_s
        # A time of zero would put the timer out of action.
        nanoseconds = max(1, int(when_s * 1e9))
        self._spec.value.seconds, self._spec.value.nanoseconds = divmod(nanoseconds, 10**9)
        self._libc.timerfd_settime(self._timer, _TFD_TIMER_ABSTIME, ctypes.byref(self._spec), None)

    def close(self) -> None:
        """Release the timer."""
        self._readable.close()
        os.close(self._timer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
