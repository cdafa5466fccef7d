"""Names that master and workers agree on."""

from __future__ import annotations

from typing import Final

from locust.exception import RPCError, RPCSendError

#: What sending one raises. Locust's exceptions of it aren't of one kind.
UNSENT: Final = (RPCError, RPCSendError)
#: What the types of all messages below begin with.
OURS: Final = "sioload_"
#: Key of sioload's part in a worker's report.
SNAPSHOT: Final = "sioload"
#: Option by which the number of the running test reaches the workers, with Locust's other options.
TEST: Final = "sio_test"
#: The master ends the test: stop, drain, report. Repeated until it is answered.
STOP: Final = "sioload_stop"
#: A worker's answer to `STOP`: nothing more will come of that test.
STOPPED: Final = "sioload_stopped"
#: Someone is impatient: no more waiting for acks, nor for slow `on_stop` methods.
HURRY: Final = "sioload_hurry"
#: Forget everything counted.
RESET: Final = "sioload_reset"
#: The boundaries of the running test; repeated until a worker's reports show that it knows them.
MARKS: Final = "sioload_marks"
#: The master has these cuts of a worker.
CUTS: Final = "sioload_cuts"
#: The master has what a worker told of its audience, up to a batch.
HEARD: Final = "sioload_heard"
#: A worker asks for the master's time, and the answer.
CLOCK: Final = "sioload_clock"
#: What users that are followed said and heard in a worker.
TRACE: Final = "sioload_trace"
#: A worker asks for rows of feeds and returns some, and the answer.
FEED: Final = "sioload_feed"
#: A worker was silent for so long that others have its rows: it stops all of its users; and its answer.
EVICT: Final = "sioload_evict"
