"""The one source of time: wall and monotonic nanoseconds, and sleeping. A simulation passes its own subclass."""

import asyncio


cdef class Clock:
    """The system's clocks. Everything in the package that needs time is given one of these."""

    def __cinit__(self, *args, **kwargs):
        self._python_now = type(self).now_ns is not Clock.now_ns
        self._python_monotonic = type(self).monotonic_ns is not Clock.monotonic_ns

    cdef int64_t c_now_ns(self) noexcept nogil:
        if self._python_now:
            with gil:
                return self.now_ns()
        return wall_ns()

    cdef int64_t c_monotonic_ns(self) noexcept nogil:
        if self._python_monotonic:
            with gil:
                return self.monotonic_ns()
        return monotonic_ns()

    def now_ns(self) -> int:
        """Wall time in ns since the Unix epoch. Compiled code, too, asks a subclass that overrides this."""
        return wall_ns() if self._python_now else self.c_now_ns()

    def monotonic_ns(self) -> int:
        """Monotonic time in ns, for durations; may be overridden likewise."""
        return monotonic_ns() if self._python_monotonic else self.c_monotonic_ns()

    async def sleep(self, double seconds):
        """Suspends the calling task."""
        await asyncio.sleep(seconds)


SYSTEM_CLOCK = Clock()
