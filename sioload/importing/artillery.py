"""Artillery's scripts for Socket.IO as conversations: their scenarios, data and load."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Final

from sioload.errors import UsageError
from sioload.importing import settings
from sioload.importing.amounts import weight_of
from sioload.importing.confiding import Secrets, confide_variables
from sioload.importing.conversation import (
    At,
    Connect,
    Conversation,
    Emit,
    Kind,
    Note,
    Step,
    Stop,
    Task,
    Think,
    Value,
    Variable,
    records_in,
    steps_of,
)
from sioload.importing.fields import listed, mapping, text_of
from sioload.importing.flow import Flow
from sioload.importing.layout import said
from sioload.importing.loads import take_load
from sioload.importing.origins import accounts
from sioload.importing.settings import Files
from sioload.importing.statements import used_early, values_in, variables_in
from sioload.importing.summary import steps_told
from sioload.importing.templates import Templates, nothing_at
from sioload.importing.yamltext import read_yaml
from sioload.plain import Json

_ENGINES: Final = ("socketio", "socketio-v3", "http")


def read_script(
    data: bytes, name: str, files: Files, environment: str = "", pace: float = 1.0
) -> Conversation:
    """The conversation of a script.

    Args:
        data: its YAML.
        name: of its file.
        files: gives the content of a payload file, or says why not.
        environment: which of `config.environments`.
        pace: think times are multiplied by it.

    Raises:
        UsageError: it is no script, or not one for Socket.IO; one line.
    """
    whole = read_yaml(data, name)
    if not isinstance(whole, dict) or not isinstance(whole.get("scenarios"), list):
        raise UsageError(
            f"{name}: neither a recording (HAR) nor an Artillery script: it has no list of scenarios; "
            "export a recording that was cut off again, as HAR with content"
        )
    return _Script(whole, name, files, environment, pace).conversation()


class _Script:
    def __init__(
        self, whole: Mapping[str, Json], name: str, files: Files, environment: str, pace: float
    ) -> None:
        self._whole = whole
        self._pace = pace
        self._left: dict[str, None] = {}
        self._templates = Templates(environment, self._leave)
        self._config = settings.config_of(whole, environment, name)
        self._made = Conversation(f"{name}, a script of Artillery", settings.host_of(self._config, name))
        settings.take_data(self._config, self._made, self._templates, files, self._leave)
        self._loops = itertools.count(1)
        self._columns = Secrets()
        while any(feed.name == self._columns.feed for feed in self._made.feeds):
            self._columns.feed += "_of_script"

    def _leave(self, what: str) -> None:
        """Something isn't translated."""
        self._left.setdefault(said(what, 200))

    def conversation(self) -> Conversation:
        """All of it."""
        made = self._made
        for key in self._whole:
            if key not in ("config", "scenarios"):
                once = "steps that run once for a test: a listener of Locust's test_start is the place"
                self._leave(f"{said(key, 40)}: {once if key in ('before', 'after') else 'not translated'}")
        for number, raw in enumerate(self._whole["scenarios"], 1):
            where = f"scenario {number}"
            settings.name_misshapen({where: raw}, {where: dict}, "", self._leave)
            kind = self._scenario(raw, number) if isinstance(raw, dict) else None
            if kind is not None:
                made.kinds.append(kind)
        if not made.kinds:
            why = "; ".join(each for each in self._left if each[:9] == "scenario ") or "its list is empty"
            raise UsageError(f"{made.source}: no scenario that can be translated: {said(why, 150)}")
        take_load(self._config, made, self._leave)
        if self._columns:
            made.feeds.append(accounts(self._columns, self._columns.feed))
        self._unset()
        made.left_out += list(self._left)
        self._tell()
        return made

    def _unset(self) -> None:
        """Names that nothing of a scenario sets before it asks for them: some function of JavaScript may."""
        for kind in self._made.kinds:
            steps = [step for body in _bodies(kind) for step in body]
            names = variables_in(kind.options) | used_early(steps)
            for name in sorted(names - self._made.variables.keys()):
                records = records_in([kind.options, values_in(steps)])
                paths = [at.path for at in records if isinstance(at, At) and at.value == Variable(name)]
                self._made.variables[name] = [nothing_at(paths)]
                self._leave(
                    f"{{{{ {name} }}}}: nothing sets it before it is used (a function?); it is an empty text"
                )

    def _tell(self) -> None:
        made, tell = self._made, self._made.understood.append
        for kind in made.kinds:
            weight = f", weight {kind.weight}" if kind.weight != 1 else ""
            tell(f"scenario {said(kind.name, 60)}{weight}: {steps_told([*kind.start, *kind.tasks[0].steps])}")
        if made.phases:
            tell(f"phases: {said(made.phases, 120)}")
        tell(f"rows of data: {', '.join(said(feed.file, 60) for feed in made.feeds) or 'none'}")
        if made.checks:
            tell(f"checks: {len(made.checks)}, in checks.toml")
        if self._columns:
            tell(f"secrets: {', '.join(self._columns)}; {made.feeds[-1].file} has them, so keep it safe")

    # Scenarios.

    def _scenario(self, raw: Mapping[str, Json], number: int) -> Kind | None:
        name = text_of(raw.get("name")) or (f"user {number}" if number > 1 else "user")
        where = f"scenario {said(name, 40)}"
        engine = text_of(raw.get("engine")) or text_of(self._config.get("engine")) or "http"
        if engine not in _ENGINES:
            self._leave(f"{where}: the engine {said(engine, 30)} isn't one of {', '.join(_ENGINES)}")
            return None
        weight = weight_of(raw.get("weight", 1), f"{where}: weight", self._leave)
        if weight < 1:
            return None
        kind = Kind(name[:60], weight=weight)
        settings.name_misshapen(raw, {"flow": list, "socketio": dict}, f"{where}: ", self._leave)
        for key in raw:
            if key in ("beforeScenario", "afterScenario", "beforeRequest", "afterResponse"):
                self._leave(f"{where}: {key} {said(str(raw[key]), 60)} (JavaScript)")
            elif key not in ("name", "engine", "weight", "flow", "socketio"):
                self._leave(f"{where}: {said(key, 40)}")
        names = dict(self._templates.names)
        flow = Flow(
            self._config, self._made, self._templates, self._columns, self._leave, self._loops, self._pace
        )
        written = listed(raw.get("flow"))
        first, before = settings.connect_step(written), []
        if first is not None:
            before = flow.steps(written[:first])
            if any(isinstance(step, Emit) for step in steps_of(before)):
                first, before = None, []  # it comes too late
        opened = Connect([])
        if first is not None:
            opened = settings.opened_by(written[first], self._templates, self._columns, self._leave)
        steps = flow.steps(written if first is None else written[first + 1 :])
        given = settings.connection_options(
            self._config, mapping(raw.get("socketio")), self._templates, self._columns, self._leave
        )
        kind.options, auth = given
        self._templates.names = names  # what one scenario captures is nothing to the next
        emits = any(isinstance(step, Emit) for step in steps_of(steps))
        if engine == "http" and not emits:
            self._leave(f"{where}: its users open a session too, which Artillery's don't")
        if engine != "http" or emits or auth is not None or first is not None:
            opened.namespaces = list(flow.namespaces(steps))
            opened.auth = auth if opened.auth is None else opened.auth
            kind.start = [*before, opened]
        phased = bool(self._config.get("phases"))
        if phased:
            steps = [Stop(again=True), *steps, Stop()]
        kind.tasks = [Task(name[:60], steps or [Note("The scenario has no steps."), Think(1.0)])]
        kind.wait = (0.0, 0.0) if phased else (1.0, 1.0)
        kind.stubs = flow.stubs
        values: list[Value] = [*map(values_in, _bodies(kind)), kind.options]
        values.append(confide_variables(variables_in(values), self._made, self._columns))
        asked = {getattr(record, "feed", "") for record in records_in(values)}
        kind.feeds = [feed.name for feed in self._made.feeds if feed.name in asked and not feed.whole]
        kind.feeds += [self._columns.feed] if self._columns.feed in asked else []
        return kind


def _bodies(kind: Kind) -> list[list[Step]]:
    return [kind.start, *(task.steps for task in kind.tasks)]
