"""The session's states: every pair of state and input, heartbeats, and random walks."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sioload.engineio.session import INFINITY, TRANSITIONS, Do, Input, Session, State
from sioload.errors import ProtocolError

#: State and what it is told, to the state that follows. Every other pair is a fault of the peer.
EXPECTED = {
    (State.IDLE, Input.START): State.OPENING,
    (State.OPENING, Input.OPENED): State.OPEN,
    (State.OPENING, Input.OPENED_UPGRADABLE): State.PROBING,
    (State.OPENING, Input.NOOP): State.OPENING,
    (State.PROBING, Input.PROBE_ANSWERED): State.PAUSING,
    (State.PROBING, Input.PROBE_FAILED): State.OPEN,
    (State.PAUSING, Input.POLLING_PAUSED): State.OPEN,
    (State.PAUSING, Input.PROBE_FAILED): State.OPEN,
    **{(state, given): state for state in (State.PROBING, State.PAUSING, State.OPEN, State.CLOSING)
       for given in (Input.MESSAGE, Input.PING, Input.PONG, Input.NOOP)},
    **{(state, Input.CLOSE_PACKET): State.CLOSED
       for state in (State.OPENING, State.PROBING, State.PAUSING, State.OPEN)},
    **{(state, Input.ENDED): State.CLOSED for state in State if state is not State.CLOSED},
    **{(state, Input.GOODBYE): State.CLOSING for state in State if state is not State.CLOSED},
    **{(State.CLOSING, given): State.CLOSING
       for given in (Input.OPENED, Input.OPENED_UPGRADABLE, Input.PROBE_ANSWERED, Input.PROBE_FAILED,
                     Input.POLLING_PAUSED, Input.CLOSE_PACKET)},
}  # fmt: skip


def at(state: State) -> Session:
    session = Session("server")
    session.state = state
    return session


@pytest.mark.parametrize(("state", "given"), list(itertools.product(State, Input)))
def test_every_pair_of_state_and_input(state: State, given: Input) -> None:
    session = at(state)
    if state is State.CLOSED:
        assert session.step(given) == () and session.state is State.CLOSED
        return
    follows = EXPECTED.get((state, given))
    if follows is None:
        with pytest.raises(ProtocolError, match=given.name.lower()):
            session.step(given)
        assert session.state is state
        return
    actions = session.step(given)
    assert session.state is follows
    assert (Do.BEAT in actions) == (given in (Input.PING, Input.PONG))
    assert (Do.ANNOUNCE_OPEN in actions) == (state is State.OPENING and given.name.startswith("OPENED"))
    assert (Do.SWITCH in actions) == (given is Input.POLLING_PAUSED and state is State.PAUSING)
    assert (Do.SAY_GOODBYE in actions) == (given is Input.GOODBYE and state not in
                                           (State.IDLE, State.OPENING, State.CLOSING))  # fmt: skip
    assert (Do.RESUME_POLLING in actions) == (state is State.PAUSING and given in
                                              (Input.PROBE_FAILED, Input.GOODBYE))  # fmt: skip
    assert follows is not State.CLOSED or actions == ()


def test_every_state_can_be_reached_and_left() -> None:
    reached = {State.IDLE}
    for _ in State:
        reached |= {state or old for old in reached for state, _ in TRANSITIONS[old].values()}
    assert reached == set(State)
    assert all(TRANSITIONS[state] for state in State if state is not State.CLOSED)


def test_a_server_that_pings() -> None:
    session = Session("server")
    assert session.next_check() == INFINITY and session.check(1e9) is None
    session.start_heartbeat(25.0, 20.0, 100.0)
    assert session.next_check() == 145.0
    assert session.on_ping(124.0) == 0.0
    assert session.on_ping(150.0) == pytest.approx(1.0)
    assert session.next_check() == 195.0
    assert session.check(194.9) is None
    assert session.check(195.0) == "missed"


def test_a_client_that_pings() -> None:
    session = Session("client")
    session.start_heartbeat(25.0, 5.0, 100.0)
    assert session.on_pong(101.0) is None
    assert session.check(124.9) is None
    assert session.check(125.0) == "ping"
    assert session.next_check() == 130.0
    assert session.on_pong(126.0) == 1.0
    assert session.next_check() == 151.0
    assert session.check(152.0) == "ping"
    assert session.check(157.0) == "missed"
    session.on_heard(156.5)  # as in JavaScript, whatever comes behind the ping gives the pong more time
    assert session.check(186.4) is None
    assert session.check(186.5) == "missed"
    assert session.on_pong(186.5) == 34.5
    assert session.next_check() == 211.5


def test_a_server_that_wants_its_ping_back() -> None:
    session = Session("echo")
    session.start_heartbeat(INFINITY, 20.0, 100.0)
    assert session.next_check() == INFINITY
    session.start_heartbeat(15.0, 20.0, 100.0)
    assert session.next_check() == 135.0


class Walk(RuleBasedStateMachine):
    """Inputs, ticks and heartbeats in any order."""

    @initialize(pinger=st.sampled_from(["server", "client", "echo"]))
    def begin(self, pinger: str) -> None:
        self.session = Session(pinger)
        self.now = 1000.0
        self.opened = self.closed = self.switched = False
        self.asked = 0

    @rule(given=st.sampled_from(list(Input)))
    def step(self, given: Input) -> None:
        before = self.session.state
        try:
            actions = self.session.step(given)
        except ProtocolError:
            assert self.session.state is before is not State.CLOSED
            return
        assert before is not State.CLOSED or actions == ()
        assert not (Do.ANNOUNCE_OPEN in actions and self.opened), "opened twice"
        assert not (Do.SWITCH in actions and self.switched), "switched twice"
        assert not (actions and self.closed), "it acted after its end"
        self.opened = self.opened or Do.ANNOUNCE_OPEN in actions
        self.switched = self.switched or Do.SWITCH in actions
        if Do.ANNOUNCE_OPEN in actions:
            self.session.start_heartbeat(25.0, 20.0, self.now)
        if Do.BEAT in actions:
            if given is Input.PING:
                assert self.session.on_ping(self.now) >= 0.0
            else:
                seconds = self.session.on_pong(self.now)
                assert seconds is None or 0.0 <= seconds <= 20.0
        self.closed = self.session.state is State.CLOSED
        assert before is not State.CLOSING or self.session.state in (before, State.CLOSED), "it came back"

    @rule(seconds=st.floats(0, 60))
    def tick(self, seconds: float) -> None:
        """The driver looks when it must, and no later."""
        until = self.now + seconds
        while self.session.next_check() <= until:
            self.now = max(self.now, self.session.next_check())
            asked = self.session.check(self.now)
            assert asked in ("ping", "missed")
            assert asked == "missed" or self.session.pinger == "client"
            if asked == "missed":
                if self.session.state is not State.CLOSED and self.opened:
                    self.session.step(Input.ENDED)
                    self.closed = True
                break
        self.now = max(self.now, until)

    @invariant()
    def a_beat_lies_ahead(self) -> None:
        if self.opened:
            assert self.session.next_check() < INFINITY
        else:
            assert self.session.next_check() == INFINITY


Walk.TestCase.settings = settings(max_examples=200, stateful_step_count=40, derandomize=True, deadline=None)
TestWalk = Walk.TestCase


def test_an_answered_poll_is_a_sign_of_life_without_heartbeats() -> None:
    for pinger, due in (("echo", 17.0), ("client", 10.0), ("server", 15.0)):
        session = Session(pinger)
        session.start_heartbeat(10.0, 5.0, now=0.0)
        session.on_heard(2.0)
        assert session.next_check() == due
