"""`feed`: rows of data that the users of all workers share, each row held by one user at a time.

Which user holds which row is decided where the run is judged: in the only process, or on the master. Here is
what a script holds of a feed; `swarm.lending` answers.
"""

from __future__ import annotations

import difflib
import dis
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import CodeType
from typing import Any, Final, Literal, Protocol, cast

import gevent
from gevent import GreenletExit
from gevent.event import AsyncResult
from locust import User

from sioload.errors import FeedError, UsageError
from sioload.load.leases import EMPTINESSES, ORDERS, Emptiness, Order
from sioload.load.tables import KINDS, Table, read_table, table_of
from sioload.net.fleet import fleet_of
from sioload.plain import Json

Verb = Literal["take", "next"]
Row = dict[str, Json]
#: What a feed gives: a row; None when none is free, with how many there are; or why it gives nothing.
Answer = Callable[[Row | int | FeedError], None]

_WHERE: Final = "at the top level of the locustfile, outside of functions and classes"
_numbers = itertools.count(1)


class Desk(Protocol):
    """Where this process gets rows from."""

    def ask(self, name: str, verb: Verb, number: int, answer: Answer) -> None:
        """Ask for a row; `answer` is called with it, at once or later.

        Args:
            name: the feed's.
            verb: "take" leases a row, "next" shares one.
            number: of the question, unique in this process; a lease is returned by it.
            answer: may be called in any greenlet, or in the hub.
        """

    def give(self, name: str, number: int) -> None:
        """Return what was leased by a question, or take the question back."""


class Feed:
    """Rows of data; `feed` makes it.

    Attributes:
        name: of its file as the script wrote it, below the script's folder without that; or which of the
            script's lists it is.
        order, when_empty: as given.
    """

    def __init__(
        self, name: str, order: Order, when_empty: Emptiness, source: str | Sequence[object]
    ) -> None:
        """
        Args:
            name, order, when_empty: see the class.
            source: an absolute path, or rows.
        """
        self.name = name
        self.order = order
        self.when_empty = when_empty
        self.source = source
        self._verb: Verb | None = None
        self._leases: dict[User, _Lease] = {}

    def load(self) -> Table:
        """Read all rows, in the process that hands them out.

        Raises:
            FeedError: they can't be used.
        """
        if isinstance(self.source, str):
            return read_table(self.source)
        return table_of(self.source, self.name)

    def use(self, verb: Verb) -> None:
        """Note that the script uses it in this way.

        Raises:
            FeedError: it uses it in the other too.
        """
        self._verb = self._verb or verb
        if self._verb != verb:
            raise FeedError(f"{self.name}: one feed uses one of take() and next(), and both are used")

    def take(self, user: User) -> Row:
        """A row that no other user of the swarm holds, until this user's greenlet has ended and its
        connections are closed. Called again by the same user, it returns the same row.

        Without a free row it waits where the feed says `when_empty="wait"`; else the user ends here, which is
        said once.

        Raises:
            FeedError: the feed can't be used so.
            GreenletExit: the user ends, or was told to stop while it waited.
        """
        lease = self._leases.get(user)
        if lease is None:
            lease = self._lease(user)
        answer: Any = lease.get()
        if isinstance(answer, dict):
            return answer
        self._leases.pop(user, None)
        if isinstance(answer, FeedError):
            raise answer
        self._none_left(user, answer)
        if user._greenlet is None and user.environment.runner is not None:
            text = f"{self.name}: no row is free, and who is being made can't end: take() in on_start"
            raise FeedError(text)
        raise GreenletExit

    def _lease(self, user: User) -> _Lease:
        if not isinstance(user, User):
            raise FeedError(
                f"{self.name}: take() needs the user that is to hold the row: take(self), in a task set "
                "take(self.user)"
            )
        desk = _desk()
        greenlet = user._greenlet
        if greenlet is not None and greenlet.dead:
            raise GreenletExit
        lease = self._leases[user] = _Lease(next(_numbers))
        if greenlet is not None:  # else it runs without a runner, alone and to the end
            greenlet.rawlink(partial(self._ended, user))
        desk.ask(self.name, "take", lease.number, lease.set)
        return lease

    def begun(self, user: User, greenlet: gevent.Greenlet[..., Any]) -> None:
        """A user's greenlet is there; it may hold a row since it was made, by its `__init__`."""
        if user in self._leases:
            greenlet.rawlink(partial(self._ended, user))

    def _ended(self, user: User, greenlet: object = None) -> None:
        """In the hub: the user's greenlet is gone, or one of its connections."""
        for client in getattr(user, "clients", ()):
            if client.when_closed(partial(self._ended, user)):
                return
        lease = self._leases.pop(user, None)
        if lease is not None:
            _desk().give(self.name, lease.number)

    def _none_left(self, user: User, rows: int) -> None:
        """Let a user end for want of a row."""
        one: Any = user
        if hasattr(one, "fate"):  # it is a `SocketIOUser`
            one.fate = "never began" if one.starting else "gave up"
        text = f"users of {type(user).__name__} end: no row of {self.name} is free, of {rows} in all"
        fleet_of(user.environment).complaints.say(text, 'feed(..., when_empty="wait") lets them wait')
        if user._greenlet is not None and user._greenlet is not gevent.getcurrent():
            user._greenlet.kill(block=False)

    def stopped(self, user: User) -> None:
        """A user is told to stop: it waits no longer."""
        lease = self._leases.get(user)
        if lease is not None and not lease.ready():
            lease.set_exception(GreenletExit())

    @property
    def held(self) -> int:
        """How many users of this process hold a row of it, or wait for one."""
        return len(self._leases)

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        """The next row in turn, which others may get too.

        Raises:
            FeedError: the feed can't be used so.
        """
        answered: AsyncResult[Row | int | FeedError] = AsyncResult()
        _desk().ask(self.name, "next", next(_numbers), answered.set)
        row = answered.get()
        if isinstance(row, FeedError):
            raise row
        assert isinstance(row, dict)
        return row


class _Lease(AsyncResult):  # type: ignore[type-arg]
    """A user's row, or its wait for one."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Feeds:
    """The feeds of this process's script, and where it gets rows from.

    Attributes:
        by_name: name to feed; several names may be one file's.
        desk: None until a run is attached.
    """

    def __init__(self) -> None:
        self.by_name: dict[str, Feed] = {}
        self.desk: Desk | None = None
        self._lists = 0
        self._faults: list[FeedError] = []

    def check(self) -> None:
        """Tell what was wrong with a call of `feed`, which would have been a traceback there.

        Raises:
            FeedError: the first fault.
        """
        if self._faults:
            raise self._faults[0]

    def make(self, source: object, folder: str, order: object, when_empty: object) -> Feed:
        """The feed of a source, which may be there."""
        try:
            return self._make(source, folder, order, when_empty)
        except FeedError as error:
            return self.misused(error)

    def misused(self, error: FeedError) -> Feed:
        """A feed that can't be; the run is refused for it."""
        self._faults.append(error)
        return Feed("", "file", "stop", ())

    def _make(self, source: object, folder: str, order: object, when_empty: object) -> Feed:
        if isinstance(source, os.PathLike):
            source = os.fspath(source)
        named = "a list" if isinstance(source, list | tuple) else repr(source)
        order = cast(Order, _one_of(order, ORDERS, f"feed({named}): order"))
        when_empty = cast(Emptiness, _one_of(when_empty, EMPTINESSES, f"feed({named}): when_empty"))
        if isinstance(source, str):
            return self._of_file(source, folder, order, when_empty)
        if not isinstance(source, list | tuple):
            raise FeedError(
                f"feed(): the rows come from a path or are a list of dicts, not {type(source).__name__}"
            )
        self._lists += 1
        name = f"list {self._lists}"
        made = self.by_name[name] = Feed(name, order, when_empty, source)
        return made

    def _of_file(self, path: str, folder: str, order: Order, when_empty: Emptiness) -> Feed:
        name, full = os.path.normpath(path), os.path.abspath(os.path.join(folder, path))
        if not full.endswith(KINDS):
            raise FeedError(
                f"feed({path!r}): the name must end in {' or '.join(KINDS)}, which say how to read it"
            )
        if os.path.isabs(name) and full.startswith(os.path.join(folder, "")):
            # The script's own folder, which needn't be the same on the machines of workers.
            short = os.path.relpath(full, folder)
            if short not in self.by_name or self.by_name[short].source == full:
                name = short
        same = self.by_name.get(name)
        if same is not None and same.source != full:
            raise FeedError(
                f"feed({path!r}) is {same.source} in one place and {full} in another: give absolute paths"
            )
        for known in self.by_name.values():
            if known.source == full:
                if (known.order, known.when_empty) != (order, when_empty):
                    raise FeedError(
                        f"feed({path!r}): one file is one feed, and it was made with order={known.order!r}, "
                        f"when_empty={known.when_empty!r} before"
                    )
                self.by_name[name] = known
                return known
        made = self.by_name[name] = Feed(name, order, when_empty, full)
        return made


feeds: Final = Feeds()


def _one_of(value: object, valid: Sequence[str], what: str) -> str:
    if isinstance(value, str) and value in valid:
        return value
    near = difflib.get_close_matches(str(value), valid, n=1, cutoff=0.4)
    hint = f" (nearest: {near[0]!r})" if near else ""
    raise FeedError(f"{what} must be {' or '.join(map(repr, valid))}, not {value!r}{hint}")


def _desk() -> Desk:
    if feeds.desk is None:
        raise FeedError("a feed hands out rows while a run goes on, to the users of that run")
    return feeds.desk


def feed(
    source: str | os.PathLike[str] | Sequence[Row],
    *,
    order: Order = "file",
    when_empty: Emptiness = "stop",
) -> Feed:
    """Rows of data for the users of a run, on however many workers: accounts, say, of which none may be used
    by two users at once.

    Called at the top level of a module. Nothing is read yet: the master, or the only process, reads the file
    when it starts; workers needn't have it.

    `accounts.take(self)` leases a row to a user until it has ended and its connections are closed.
    `next(accounts)` shares rows in turn instead. One feed uses one of the two.

    Args:
        source: a path, relative to the file that calls this: `.csv` with a header line, or `.jsonl` with an
            object a line; or a list of dicts of JSON-like values.
        order: "file" is as they come, "shuffle" by chance. Every row is used before any is used again.
        when_empty: what `take` does when no row is free: "stop" ends the user, "wait" waits for one.

    Raises:
        UsageError: it was called while the run goes on. What else is wrong is told in one line when the run
            starts.
    """
    frame = sys._getframe(1)
    if frame.f_code.co_name != "<module>":
        error = FeedError(f"feed() was called in {frame.f_code.co_name}: call it {_WHERE}")
        if feeds.desk is not None:
            raise error
        return feeds.misused(error)
    if feeds.desk is not None:
        raise UsageError("feed() was called while the run goes on: call it in the locustfile")
    return feeds.make(source, os.path.dirname(os.path.abspath(frame.f_globals.get("__file__", "x"))),
                      order, when_empty)  # fmt: skip


def check_places(cls: type) -> None:
    """Refuse a user class that would call `feed` while the run goes on, or use one feed in two ways.

    What can't be seen from the code of its methods is told when it happens.

    Raises:
        FeedError: one of its methods does.
    """
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] in ("sioload", "locust", "builtins"):
            continue
        for name, value in vars(base).items():
            code = getattr(value, "__code__", None)
            if code is not None:
                _check_method(f"{base.__name__}.{name}", code, getattr(value, "__globals__", {}))


def _check_method(name: str, code: CodeType, known: Mapping[object, Any]) -> None:
    """One method of them; `known` are the names of its module."""
    for before, then in _pairs(code):
        if known.get(then) is feed or (then == "feed" and known.get(before) is sys.modules["sioload"]):
            raise FeedError(f"feed() is called in {name}: call it {_WHERE}")
        if then == "take" and isinstance(known.get(before), Feed):
            known[before].use("take")
        if before == "next" and isinstance(known.get(then), Feed):
            known[then].use("next")


def _pairs(code: CodeType) -> Iterator[tuple[object, object]]:
    """The names that a function, and those in it, look up one right after the other."""
    before = None
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_ATTR", "LOAD_METHOD"):
            yield before, step.argval
            before = step.argval
        elif step.opname not in ("PUSH_NULL", "PRECALL", "CACHE"):
            before = None
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _pairs(inner)


def stop_waiting(user: User) -> None:
    """A user is told to stop: it waits for no row any more."""
    for one in feeds.by_name.values():
        one.stopped(user)
