"""Scripts of Artillery in `artillery/`, each form of theirs at least once, and what a server hears from them.

Written against `tests/servers/recorder.js`. What is made by chance stands as `#` in what is heard.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

SCRIPTS = Path(__file__).parent / "artillery"


class Peer(NamedTuple):
    """One script.

    Attributes:
        heard: what the server hears, in order: namespace, event, arguments.
        left_out: parts of lines that say what isn't translated.
        code: parts of the generated script.
        files: payload files.
        environment: which of its environments.
        alone: Artillery itself refuses it (lists of texts only), or doesn't do what its author meant.
    """

    heard: list[tuple[str, str, list[object]]]
    left_out: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    files: dict[str, str] = {}
    environment: str = ""
    alone: bool = False


_DAYS = ["2024-02-03T00:00:00.000Z", "2024-02-03T04:05:06.000Z", "2024-02-03T03:05:06.500Z"]
_OVERFLOWS = ["2024-2-3", "2025-02-09T00:00:00.000Z", "2024-03-01T00:00:00.000Z"]
_ZONES = ["2001-12-15T03:29:43.100Z", "2001-12-15T02:59:43.123Z", "1999-01-02T03:04:05.000Z"]

PEERS: dict[str, Peer] = {
    "emit": Peer(
        [("/", "hello", [{"text": "hi", "n": [1, 2.5, True, None]}])],
        code=("@task", "raise StopUser", "self.done = True"),
    ),
    "numbers": Peer(
        [
            ("/", "texts", [["08540", "0612345678", "0o17", "1_000_", "-.5", "yes", "1.2.3", "1e", "0x"]]),
            ("/", "numbers", [[15, 1000, 31, 5, 1000, 2, 0.5, 10.5, 5, -16, 0, 1]]),
        ],
        code=("[15, 1000, 31, 5, 1000, 2, 0.5, 10.5, 5, -16, 0, 1]",),
    ),
    "times": Peer(
        [
            ("/", "times", [[750, 90, "01:30", "12:61", 45045, 630.5, -90, "12:30", 223384]]),
            ("/", "dates", [[_DAYS, _OVERFLOWS, _ZONES]]),
        ],
        code=("750,", "45045,", '"12:61",', '"2025-02-09T00:00:00.000Z"'),
    ),
    "emit-a-list": Peer(
        [("/", "hello", [1, "two", {"three": 3}]), ("/", "bare", [])],
        alone=True,
    ),
    "acknowledge": Peer(
        [("/", "join", ["r-1"]), ("/", "use", ["id-join", "second of b"])],
        code=('ok=lambda answer: answer[0]["ok"] is True', "room = answer[0]["),
    ),
    "response": Peer(
        [("/", "ask", [5]), ("/", "use", ["answer-1"])],
        code=('reply="answer"', "where=lambda *args: args[-1] == {"),
    ),
    "one-of-several": Peer(
        [("/", "ask", [{"rooms": [{"id": 5}]}]), ("/", "use", [5])],
        code=('random.choice([each["id"] for each in first_of(answer)["got"]["rooms"]])',),
    ),
    "response-by-text": Peer(
        [("/", "text", ["1"]), ("/", "after", [])],
        code=('"well" in str(args[-1])',),
    ),
    "response-with-all-arguments": Peer(
        [("/", "text", []), ("/", "after", [])],
        code=("list(args) == [",),
    ),
    "namespaces": Peer(
        [("/chat", "a", ["1"]), ("/", "b", ["2"]), ("/chat", "c", [])],
        code=('namespaces=["/", "/chat"]',),
    ),
    "loops": Peer(
        [
            ("/", "turn", [0]),
            ("/", "turn", [1]),
            ("/", "turn", [2]),
            ("/", "span", [2]),
            ("/", "span", [3]),
            ("/", "each", ["x", 0]),
            ("/", "each", ["y", 1]),
            ("/", "named", ["red"]),
            ("/", "named", ["blue"]),
        ],
        code=("for turn_2 in range(2, 4):", 'enumerate(["x", "y"])'),
    ),
    "loop-while": Peer(
        [("/", "once", [])],
        left_out=("whileTrue more",),
        alone=True,
    ),
    "templates": Peer(
        [("/", "made", ["#", "#", "a w w", 2]), ("/", "keys", [{"w": 1}]), ("/", "where", ["#", "peer"])],
        code=('f"{random.randint(3, 3)}"', 'os.environ.get("PEER_NAME", "")'),
    ),
    "names-in-templates": Peer(
        [
            ("/", "say r7", [[3, 2, "of 3", 9]]),
            ("/", "ask", [5]),
            *[("/", f"turn-{turn}", ["id-ask"]) for turn in (0, 1)],
            *[("/", "tag", [tag]) for tag in (0, 1)],
        ],
        code=('f"say {self.room}"', 'name="say {{ room }}"', "for turn in range(int(self.often)):"),
    ),
    "variables": Peer(
        [("/", "one", [5, True])],
    ),
    "payload": Peer(
        [("/", "me", ["ann", 5])],
        code=('users = feed("users.jsonl")', "self.users_row = next(users)"),
        files={"data/users.csv": "n,a\nann,5\nbob,6\n"},
    ),
    "payload-as-text": Peer(
        [("/", "me", ["ann", "5"])],
        code=('users = feed("users.csv", order="shuffle")',),
        files={"users.csv": "ann;5\n"},
    ),
    "payload-as-a-whole": Peer(
        [("/", "me", ["ann"]), ("/", "me", ["bob"])],
        code=("json.loads(Path(__file__)",),
        files={"users.csv": "ann\nbob\n"},
    ),
    "http": Peer(
        [
            ("http", "GET /rooms?x=1", []),
            ("http", "POST /login", ['{"user":"ann"}']),
            ("/", "got", ["r-1", "header-token"]),
            ("http", "PUT /x", ["a=b"]),
            ("http", "DELETE /x", []),
        ],
        code=('response.headers["x-token"]',),
    ),
    "options-of-the-connection": Peer(
        [("/", "(connected)", [{"user": "ann", "who": "scenario", "x-peer": "header"}]), ("/", "a", [])],
        code=('"ack_timeout": 4', '"tls_verify": False', '"transports": ["websocket"]'),
    ),
    "socketio-v3": Peer(
        [("/", "(connected)", [{"user": "bob"}]), ("/", "ask", [1]), ("/", "b", [])],
        alone=True,
    ),
    "connect-step": Peer(
        [
            ("http", "POST /login", ['{"user":"ann"}']),
            (
                "/",
                "(connected)",
                [{"token": "token-1", "password": "geheim-1", "x-peer": "all", "x-own": "a token-1"}],
            ),
            ("/", "ask", [1]),
        ],
        left_out=(
            "step connect: query {'a': 1}: write it into",
            "step connect (auth): connections are made at the start",
        ),
        code=('auth={"token": token, "password": self.account["password"]}',),
        alone=True,
    ),
    "functions-and-logs": Peer(
        [("/", "a", [])],
        left_out=(
            "config.processor ./functions.js",
            "function setName",
            "beforeScenario ['login']",
            "{{ name }}",
        ),
        code=("def set_name(self) -> None:", "self.set_name()", "weight = 4", "logging.info("),
        alone=True,
    ),
    "environments": Peer(
        [("/", "at", ["test", "here"])],
        environment="test",
    ),
    "environments-by-place": Peer(
        3 * [("/", "at", [])],
        code=('phases = "1/s for 1s; 2/s for 1s"',),
        environment="test",
    ),
    "load-and-limits": Peer(
        [("/", "a", [])],
        left_out=("maxVusers 9", "'a or b'", "before:"),
        code=('phases = "warm-up: 1/s for 1s; 0/s for 1s; ramp: 0..0/s over 1s"',),
    ),
}
