"""Plain values: what has the shape of JSON, which no type says."""

from __future__ import annotations

from typing import Any, TypeAlias

#: What JSON can say, with bytes beside it: arguments of events, payloads, parts of reports and of snapshots.
Json: TypeAlias = Any
