"""What handlers do when an exception ends a run."""

from __future__ import annotations

from collections.abc import Callable

from ignite.engine import Engine, Events


def at_exception(engine: Engine, act: Callable[[BaseException], object]) -> None:
    """Let a function be called when an exception ends a run; the exception goes on after that.

    Ignite's event alone is no use to several handlers: the first that raises the exception again is the last that is
    called, and without any that does the exception is lost.

    Args:
        engine: whose run it is.
        act: called with the exception, in the order of registration. What it raises goes on in its place. Ignite calls
            it twice where the exception comes from within an epoch.
    """
    acts: list[Callable[[BaseException], object]] = vars(engine.state).setdefault("at_exception", [])
    if not acts:
        engine.add_event_handler(Events.EXCEPTION_RAISED, _act_and_raise)
    acts.append(act)


def _act_and_raise(engine: Engine, error: BaseException) -> None:
    for act in vars(engine.state)["at_exception"]:
        try:
            act(error)
        except Exception as err:
            error = err
    raise error
