"""What a report says of a run besides its figures."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from locust import TaskSet

from sioload.engineio.urls import bare
from sioload.load.arrivals import Arrivals
from sioload.options import named
from sioload.plain import Json
from sioload.report.figures import Figures

if TYPE_CHECKING:
    from locust.env import Environment


def host(environment: Environment) -> str:
    """The server's URL without what may be secret in it."""
    hosts = [environment.host, *(cls.host for cls in environment.user_classes)]
    return bare(next((host for host in hosts if host and isinstance(host, str)), ""))


def paced(environment: Environment, figures: Figures) -> bool:
    """Whether some user waits between its tasks or emits on a schedule, or sessions begin at a rate.

    Else the generator is the limit.
    """
    scheduled = any(row.service is not None or row.skipped for row in figures.rows)
    arriving = isinstance(environment.shape_class, Arrivals)
    return scheduled or arriving or any(_waits(cls, set()) for cls in environment.user_classes)


def _waits(holder: Any, seen: set[Any]) -> bool:
    """Whether there is a wait between the tasks of a user class, or of a set of tasks in it."""
    if holder in seen:
        return False
    seen.add(holder)
    sets = (each for each in holder.tasks if isinstance(each, type) and issubclass(each, TaskSet))
    own = holder.wait_time
    return (own is not TaskSet.wait_time and not _never(own)) or any(_waits(each, seen) for each in sets)


def _never(wait_time: Any) -> bool:
    name = getattr(wait_time, "__qualname__", "")
    module = getattr(wait_time, "__module__", "")
    return module == "locust.user.wait_time" and name.startswith("constant.") and wait_time(None) == 0


def settings(environment: Environment, figures: Figures) -> dict[str, Json]:
    """Options that weaken what the figures mean, also those of further connections (`another_client`)."""
    verified = all(_option(cls, "tls_verify", True) for cls in environment.user_classes)
    return {} if verified and not figures.unverified else {"tls_verify": False}


def _option(user_class: Any, name: str, default: Any) -> Any:
    options = getattr(user_class, "options", None)
    if isinstance(options, Mapping):
        return named(options).get(name, default)
    return getattr(options, name, default)


@cache
def versions() -> dict[str, str]:
    """Of sioload, Locust, gevent and Python."""
    found = {"python": platform.python_version()}
    for package in ("sioload", "locust", "gevent"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
