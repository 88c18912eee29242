"""An interruption that comes in a callback is not lost."""

import os
import signal
import weakref

import pytest
from structalign.core.processes import interrupts_between_steps


class Thing:
    """Something to refer to weakly."""


def interrupt_in_a_callback(number: int) -> None:
    """What a signal's handler raises here, Python prints and forgets."""
    thing = Thing()
    kept = weakref.ref(thing, lambda _: os.kill(os.getpid(), number))
    del thing
    assert kept() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_takes_effect_at_the_next_step(number: int) -> None:
    usual = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), interrupts_between_steps() as raise_interrupt:
            raise_interrupt()
            interrupt_in_a_callback(number)
            raise_interrupt()
            pytest.fail("it went on")
        with pytest.raises(KeyboardInterrupt), interrupts_between_steps():
            interrupt_in_a_callback(number)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, usual)
