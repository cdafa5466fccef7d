"""What the users of a process have in common."""

from __future__ import annotations

import pytest

from sioload.errors import OptionError
from sioload.net.fleet import Fleet
from sioload.options import Options


def test_users_that_change_the_same_options_share_what_comes_of_it() -> None:
    fleet, options = Fleet(), Options()
    changes = {"transports": ["polling"], "connect_timeout": 1.0}
    found = fleet.variant(options, changes)
    assert found == options.but(transports=("polling",), connect_timeout=1.0)
    assert fleet.variant(options, {**changes}) is found
    assert fleet.variant(Options(), changes) is not found
    with pytest.raises(OptionError, match="connect_timeout must be a number"):
        fleet.variant(options, {**changes, "connect_timeout": True})
