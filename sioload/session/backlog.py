"""What waits to be posted on the polling transport: whole messages, and the rest of one that was begun."""

from __future__ import annotations

from collections import deque

from sioload.engineio.packet import Packet
from sioload.session.transport import Receipt


class Backlog:
    """Messages in their order, each of one packet or more.

    Attributes:
        size: about how many bytes they are.
        begun: the first is the rest of a message whose beginning was taken.
    """

    __slots__ = ("_queue", "begun", "size")

    def __init__(self) -> None:
        self._queue: deque[tuple[list[Packet], list[int], Receipt | None]] = deque()
        self.begun = False
        self.size = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def owing(self) -> bool:
        """Whether somebody waits to hear what became of one."""
        return any(receipt is not None for _, _, receipt in self._queue)

    def put(self, packets: list[Packet], sizes: list[int], receipt: Receipt | None) -> None:
        """Add a message; `sizes` are about the bytes of a body that its packets take."""
        self._queue.append((packets, sizes, receipt))
        self.size += sum(sizes)

    def take(self, room: float, most: int) -> tuple[list[Packet], list[Receipt]]:
        """What goes into one body: whole messages, or the beginning of one that alone is too much for it.

        Args:
            room: bytes of the body.
            most: packets in it.
        """
        batch: list[Packet] = []
        receipts: list[Receipt] = []
        self.begun = False
        while self._queue and not self.begun:
            packets, sizes, receipt = self._queue[0]
            count, size = len(packets), sum(sizes)
            if size > room or len(batch) + count > most:
                if batch:
                    break
                count = _fitting(sizes, room, most)
            self._queue.popleft()
            if count < len(packets):
                self._queue.appendleft((packets[count:], sizes[count:], receipt))
                packets, size, receipt = packets[:count], sum(sizes[:count]), None
                self.begun = True
            room -= size
            self.size -= size
            batch += packets
            if receipt is not None:
                receipts.append(receipt)
        return batch, receipts

    def forget_rest(self) -> Receipt | None:
        """The server refused the beginning of a message, and would take the rest for something else."""
        if not self.begun:
            return None
        self.begun = False
        _, sizes, receipt = self._queue.popleft()
        self.size -= sum(sizes)
        return receipt

    def empty(self) -> list[tuple[list[Packet], Receipt | None]]:
        """Take all."""
        taken = [(packets, receipt) for packets, _, receipt in self._queue]
        self._queue.clear()
        self.begun = False
        self.size = 0
        return taken


def _fitting(sizes: list[int], room: float, most: int) -> int:
    """How many packets of one message go into a body, at least one."""
    count, left = 1, room - sizes[0]
    while count < min(len(sizes), most) and sizes[count] <= left:
        left -= sizes[count]
        count += 1
    return count
