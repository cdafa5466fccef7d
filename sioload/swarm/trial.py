"""One user, once: what `sioload try` runs, in this process and without Locust's command line."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any

import gevent
import locust
from locust import argument_parser
from locust.env import Environment
from locust.util.load_locustfile import load_locustfile

from sioload.client.excerpt import place_of_error
from sioload.client.registry import find
from sioload.doctor import Examination, Fault
from sioload.engineio.urls import bare
from sioload.errors import UsageError, in_words
from sioload.measure.row_types import ROW_TYPES
from sioload.measure.trace import HOLD, Entry, Trace
from sioload.net.tls import check_files
from sioload.options import unknown
from sioload.swarm.single import Single
from sioload.users.handlers import check_functions
from sioload.users.once import once
from sioload.users.user import SocketIOUser

#: Seconds between two looks at what came.
LOOK = 0.1
#: Seconds that the first session may take at least, as on a busy machine.
PATIENCE = 5.0


def user_class(path: str, name: str | None) -> type[SocketIOUser]:
    """The user class of a locustfile, the one of this name if there are several.

    Raises:
        UsageError: there is none, or the file can't be imported.
    """
    if not os.path.isfile(path):
        raise UsageError(f"there is no locustfile {path}")
    try:
        found, _ = load_locustfile(os.path.abspath(path))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    except Exception as error:
        raise UsageError(f"{path} can't be imported: {in_words(error)}") from error
    kinds = {n: kind for n, kind in found.items() if issubclass(kind, SocketIOUser)}
    if not kinds:
        raise UsageError(f"{path} has no class that is a SocketIOUser")
    if name is None:
        return next(iter(kinds.values()))
    if name not in kinds:
        raise UsageError(f"--user {unknown(name, kinds)}")
    return kinds[name]


class Trial:
    """One user's start, tasks and end.

    Attributes:
        tell: called with what came since it was last called, in a greenlet.
        failures: what of the script raised, and why.
        tasks: those that began.
        seconds: how long it listens when its tasks are done, counted from its begin.
        begun: when it began, in seconds of `perf_counter`.
        name: of the class.
        host: of the server; "" where each user is asked for it.
    """

    def __init__(
        self,
        kind: type[SocketIOUser],
        path: str,
        host: str | None,
        seconds: float,
        veiled: bool,
        tell: Callable[[list[Entry]], None],
    ) -> None:
        self.tell = tell
        self.failures: list[tuple[str, str]] = []
        self.tasks: list[str] = []
        self.name = kind.__name__
        self.seconds = seconds
        self.begun = self._since = perf_counter()  # and since when it has been without what it needs
        self._trace = Trace(1, perf_counter, veiled)
        self._user: Any = None
        # All tasks run, whatever tags a project's locust.conf chooses.
        args = ["--tags", "--exclude-tags", "--headless", "-u", "1", *(["--host", host] if host else [])]
        options = argument_parser.get_parser().parse_args(args)
        self._options = kind.parsed_options()
        host_of_all: object = options.host or kind.host
        self.host = host_of_all if isinstance(host_of_all, str) else ""
        check_functions(kind)
        check_files(self._options)
        options.locustfile = path
        # Those of runs, in a project's locust.conf.
        options.sio_phases = options.sio_session_length = options.sio_session_drain = None
        made = once(kind, self)
        self.environment = Environment(
            locustfile=os.path.basename(path),
            user_classes=[made],
            events=locust.events,
            host=options.host,
            parsed_options=options,
        )
        self._runner = self.environment.create_local_runner()
        environment: Any = self.environment
        self._part = environment.sioload_part = Single(environment)
        self.fleet = self._part.producer.fleet
        self.fleet.follow = self._follow
        events: Any = locust.events
        events.init.fire(environment=environment, runner=self._runner, web_ui=None)
        events.request.add_listener(self._on_request)
        events.user_error.add_listener(self._on_user_error)

    def _follow(self, user: SocketIOUser) -> None:
        """The user is made (`Fleet.follow`)."""
        self.fleet.follow = None
        self._user = user
        made: Any = user
        made.sio_trace = self._trace
        made.label = self.fleet.recorder.follow(user.label, self._trace.counted)

    def run(self) -> None:
        """Let it live, and tell what it does meanwhile."""
        for name in ("sioload.net.complaints", "sioload.bench"):
            logging.getLogger(name).disabled = True  # it is told here
        teller = gevent.spawn(self._tell)
        self.begun = self._since = perf_counter()
        self._trace.step("on_start")
        self._runner.start(1, 1)
        making: Any = self._runner.spawning_greenlet
        try:
            while not (making if self._greenlet is None else self._greenlet).ready():
                gevent.sleep(LOOK / 2)
                self._look()
            if self._greenlet is None:
                self._user = None
                if (error := making.exception) is not None:
                    why = f"{in_words(error)} ({place_of_error(error)})"
                    self.failures.append(("__init__", why))
        finally:
            self._part.producer.stop(0.0)
            teller.kill()
            self.tell(self._trace.take(float("inf")))

    def _look(self) -> None:
        """A user that can't connect, or come back where it was sent away, is let go when that has taken its
        time; a task is not cut."""
        user, now = self._user, perf_counter()
        if self.sessions and not any(sio.returning for sio in user.clients):
            self._since = now
        patience = self.seconds if self.sessions else max(self.seconds, PATIENCE)
        if self._greenlet is not None and now - self._since > patience:
            late = ("connect", f"no session for {patience:g} s (--seconds gives it longer)")
            if late not in self.failures:
                self.failures.append(late)
            self._greenlet.kill(block=False)

    @property
    def _greenlet(self) -> Any:
        """The user's; None before it has one."""
        return None if self._user is None else self._user.greenlet

    @property
    def sessions(self) -> int:
        """How many sessions were opened."""
        return self.fleet.recorder.connections.opened

    @property
    def joined(self) -> bool:
        """Whether a namespace was joined."""
        return any(t.type == "CONNECT" and t.count > t.failures for t in self.fleet.recorder.totals())

    @property
    def shown_host(self) -> str:
        """The server, without credentials and query."""
        return bare(self.host) or "a host of its own"

    def examine(self) -> list[Fault]:
        """What the doctor finds wrong with the server, with this user's options."""
        namespace = next(iter(self._options.namespaces), "/")
        host = self.host or (self._user.sio.url if self._user is not None else None)
        if not host:
            return []
        found = Examination(host, self._options.path, self._options, namespace).run().faults
        return [replace(fault, remedy=_in_options(fault.remedy)) for fault in found]

    def handles(self, namespace: str, event: str) -> bool:
        """Whether the script has a handler for an event, of any of the user's connections."""
        ways = [client._incoming for client in self._user.clients] if self._user is not None else []
        return any(find(way.own, namespace, event, way.handlers)[0] is not None for way in ways)

    @property
    def handlers(self) -> set[tuple[str, str]]:
        """Namespace and event of each handler of the class."""
        return set(type(self._user)._handlers) if self._user is not None else set()

    def _tell(self) -> None:
        while True:
            gevent.sleep(LOOK)
            self.tell(self._trace.take(perf_counter() - HOLD))

    def _on_request(
        self,
        request_type: str,
        name: str,
        response_time: float | None = None,
        exception: object = None,
        **_: Any,
    ) -> None:
        if request_type not in ROW_TYPES:
            seconds = None if response_time is None else response_time / 1000
            self._trace.asked(request_type, name, seconds, str(exception) if exception else None)

    def _on_user_error(self, exception: BaseException, **_: Any) -> None:
        self.failures.append(("on_start", in_words(exception)))

    # What `users.once` tells.

    def begins(self, what: str) -> None:
        if what.startswith("task "):
            self.tasks.append(what)
        self._trace.step(what)

    def failed(self, what: str, why: str) -> None:
        self.failures.append((what, why))

    def rest(self, user: SocketIOUser) -> None:
        while perf_counter() - self.begun < self.seconds and user.sio.lost == "":
            gevent.sleep(LOOK)
        self._trace.step("on_stop")


#: Options of the doctor's command line, and of a user.
_OPTIONS = {"header": "headers", "no-verify": "tls_verify=False", "ca-file": "ca_file", "path": "path",
            "namespace": "namespaces", "auth": "auth", "transports": "transports"}  # fmt: skip


def _in_options(remedy: str) -> str:
    """A remedy of the doctor's in the words of a locustfile."""
    return re.sub(r"--([a-z-]+)", lambda flag: f"option {_OPTIONS.get(flag[1], flag[1])}", remedy)
