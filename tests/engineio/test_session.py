"""The session's table and its heartbeat, in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioload.engineio.session import TRANSITIONS, Do, Input, Session, State
from sioload.errors import ProtocolError

#: How to get into each state.
WAYS: dict[State, list[Input]] = {
    State.IDLE: [],
    State.OPENING: [Input.START],
    State.PROBING: [Input.START, Input.OPENED_UPGRADABLE],
    State.PAUSING: [Input.START, Input.OPENED_UPGRADABLE, Input.PROBE_ANSWERED],
    State.OPEN: [Input.START, Input.OPENED],
    State.CLOSED: [Input.START, Input.OPENED, Input.CLOSE],
}


def session_in(state: State, pinger: str = "server") -> Session:
    session = Session(pinger)
    for step in WAYS[state]:
        session.step(step)
    assert session.state is state
    return session


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("given_input", Input)
def test_every_input_in_every_state(state: State, given_input: Input) -> None:
    session = session_in(state)
    if state is State.CLOSED:
        assert session.step(given_input) == ()
        assert session.state is State.CLOSED
    elif given_input in TRANSITIONS[state]:
        following, actions = TRANSITIONS[state][given_input]
        assert session.step(given_input) == actions
        assert session.state is (following or state)
    else:
        with pytest.raises(ProtocolError, match=state.name.lower()):
            session.step(given_input)
        assert session.state is state


@pytest.mark.parametrize("state", [s for s in State if s is not State.CLOSED])
def test_every_state_can_be_left_for_good(state: State) -> None:
    for end in (Input.LOST, Input.CLOSE):
        session = session_in(state)
        session.step(end)
        assert session.state is State.CLOSED


def test_an_upgrade_ends_on_the_websocket() -> None:
    session = Session("server")
    assert session.step(Input.START) == (Do.REQUEST_SESSION,)
    assert session.step(Input.OPENED_UPGRADABLE) == (Do.ANNOUNCE_OPEN, Do.PROBE)
    assert session.step(Input.PROBE_ANSWERED) == (Do.PAUSE_POLLING,)
    assert session.step(Input.POLLING_PAUSED) == (Do.SWITCH,)
    assert session.state is State.OPEN


def test_a_failed_probe_leaves_the_session_on_polling() -> None:
    session = session_in(State.PROBING)
    assert session.step(Input.PROBE_FAILED) == (Do.DROP_PROBE,)
    assert session.state is State.OPEN
    session = session_in(State.PAUSING)
    assert Do.RESUME_POLLING in session.step(Input.PROBE_FAILED)
    assert session.state is State.OPEN


def test_the_servers_ping_keeps_the_session_for_interval_and_timeout() -> None:
    session = session_in(State.OPEN)
    session.start_heartbeat(25.0, 20.0, now=100.0)
    assert session.next_check() == 145.0
    assert session.check(144.9) is None
    assert session.on_ping(125.25) == pytest.approx(0.25)
    assert session.check(145.0) is None
    assert session.next_check() == pytest.approx(170.25)
    assert session.check(170.25) == "missed"


def test_an_early_ping_is_not_late() -> None:
    session = session_in(State.OPEN)
    session.start_heartbeat(25.0, 20.0, now=0.0)
    assert session.on_ping(24.0) == 0.0


def test_the_clients_ping_must_be_answered_in_time() -> None:
    session = session_in(State.OPEN, "client")
    session.start_heartbeat(25.0, 5.0, now=0.0)
    assert session.check(24.9) is None
    assert session.check(25.0) == "ping"
    assert session.next_check() == 30.0
    assert session.on_pong(25.5) == 0.5
    assert session.next_check() == 50.5
    assert session.check(50.5) == "ping"
    assert session.check(55.4) is None
    assert session.check(55.5) == "missed"


def test_a_pong_that_nobody_asked_for_is_no_heartbeat() -> None:
    session = session_in(State.OPEN, "client")
    session.start_heartbeat(25.0, 5.0, now=0.0)
    assert session.on_pong(1.0) is None
    assert session.check(25.0) == "ping"


def test_nothing_is_missed_where_the_server_wants_no_heartbeat() -> None:
    session = session_in(State.OPEN, "echo")
    session.start_heartbeat(float("inf"), 60.0, now=0.0)
    assert session.next_check() == float("inf")
    assert session.check(1e9) is None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(list(Input)), max_size=30), st.sampled_from(["server", "client", "echo"]))
def test_no_order_of_inputs_breaks_it(inputs: list[Input], pinger: str) -> None:
    session, now, announced = Session(pinger), 0.0, 0
    for step in inputs:
        now += 1.0
        try:
            actions = session.step(step)
        except ProtocolError:
            continue
        announced += actions.count(Do.ANNOUNCE_OPEN)
        if Do.ANNOUNCE_OPEN in actions:
            session.start_heartbeat(5.0, 3.0, now)
        if Do.BEAT in actions:
            assert session.on_ping(now) >= 0.0
        assert session.check(now) in (None, "ping", "missed")
    assert announced <= 1
