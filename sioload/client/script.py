"""What is asked of the script while a connection is made: its hooks, and functions in place of values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from gevent import GreenletExit, Timeout
from mypy_extensions import mypyc_attr

from sioload.engineio.cookies import Jar
from sioload.errors import in_words
from sioload.plain import Json

if TYPE_CHECKING:
    from sioload.measure.rooms import Member
    from sioload.net.fleet import Fleet

T = TypeVar("T")


@mypyc_attr(allow_interpreted_subclasses=True)
class Script(Protocol):
    """The user whose connection it is. Called in the hub."""

    __slots__ = ()

    def run(self, function: Callable[..., None], *args: Json) -> None:
        """Call user code in a greenlet."""

    def jar(self, make: bool = False) -> Jar | None:
        """The user's cookies; None while there are none, unless the jar is to be made."""

    def owner(self) -> object:
        """The user, None without one."""

    def member(self) -> Member | None:
        """The user as a member of rooms; None when nobody asks."""

    def hook(self, name: str) -> Callable[..., Any] | None:
        """A hook that the user defined, None without."""

    def tell(self, event: str, *args: Json, namespace: str | None = None) -> None:
        """Call the handlers of one of python-socketio's own events, in one namespace or in all."""


def ask(
    script: Script,
    fleet: Fleet,
    what: str,
    function: Callable[[], T],
    then: Callable[[T], None],
    failed: Callable[[str], None],
) -> None:
    """Have a function of the script called in a greenlet, and go on with its value in the hub.

    Args:
        script: whose it is.
        fleet: whose hub goes on.
        what: names it in the failure.
        function: may block.
        then: gets what it returned.
        failed: gets what it raised, in a line.
    """
    script.run(answer, script, fleet, what, function, then, failed, False)


def answer(
    script: Script,
    fleet: Fleet,
    what: str,
    function: Callable[[], T],
    then: Callable[[T], None],
    failed: Callable[[str], None],
    again: bool,
) -> None:
    """In a greenlet. A Timeout goes on, too: it may be that of who waits for `connect()`."""
    try:
        value = function()
    except GreenletExit as error:
        if again:  # that is the function's own, as of an emit once the user is gone
            fleet.later(failed, f"{what} raised {type(error).__name__}")
        else:  # the user is gone, and its attempt is not
            script.run(answer, script, fleet, what, function, then, failed, True)
        raise
    except (Exception, Timeout) as error:
        fleet.later(failed, f"{what} raised {in_words(error)}")
        if isinstance(error, Timeout):
            raise
    else:
        fleet.later(then, value)
