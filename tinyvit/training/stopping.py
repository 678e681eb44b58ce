"""Ctrl-C, and other requests to stop, are heard between two steps of training, when there is something to keep."""

import signal
import threading
from contextlib import contextmanager


@contextmanager
def stop_requests(*signals):
    """While this holds, these signals are noted, for the loop to ask after. A second one has its usual effect.

    Yields
    ------
    callable
        Returns the number of the signal that came, or 0.
    """
    noted = []

    def note(number, frame):
        noted.append(number)
        for name, handler in before.items():
            signal.signal(name, handler)

    before = {number: signal.signal(number, note) for number in signals}
    try:
        yield lambda: noted[0] if noted else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupts_of_python():
    """Ctrl-C, as `stop_requests` takes it, where Python would raise KeyboardInterrupt; else none.

    Other threads than the main one hear no signals, and whoever has a handler of their own keeps it.
    """
    is_main = threading.current_thread() is threading.main_thread()
    return [signal.SIGINT] if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler else []
