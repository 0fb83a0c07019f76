"""The one source of time: wall and monotonic nanoseconds, and sleeping. A simulation passes its own subclass."""

import asyncio


cdef class Clock:
    """The system's clocks. Everything in the package that needs time is given one of these."""

    cdef int64_t c_now_ns(self) noexcept nogil:
        return wall_ns()

    cdef int64_t c_monotonic_ns(self) noexcept nogil:
        return monotonic_ns()

    def now_ns(self) -> int:
        """Wall time in ns since the Unix epoch."""
        return self.c_now_ns()

    def monotonic_ns(self) -> int:
        """Monotonic time in ns, for durations."""
        return self.c_monotonic_ns()

    async def sleep(self, double seconds):
        """Suspends the calling task."""
        await asyncio.sleep(seconds)


SYSTEM_CLOCK = Clock()
