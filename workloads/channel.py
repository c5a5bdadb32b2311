"""Messages between a worker and the process that started it: one socket pair, one datagram a message.

A socket and not pipes, because its end of file tells each side that the other is gone.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from enum import StrEnum

MESSAGE_LIMIT_BYTES = 65536
_TEXT_LIMIT_CHARACTERS = 8000


class Verb(StrEnum):
    """What is said. The worker says AT_GATE, FINISHED, BROKE and REFUSED, its starter RELEASE and END; to its servant
    (workloads.servant) it says ASK, and hears ANSWER.
    """

    AT_GATE = "at-gate"
    FINISHED = "finished"
    BROKE = "broke"
    REFUSED = "refused"
    RELEASE = "release"
    END = "end"
    ASK = "ask"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Message:
    """What one side says."""

    verb: Verb
    text: str = ""
    """The name of a gate, a traceback, or what a servant is asked and answers."""
    errno: int | None = None
    """Of BROKE, if an error of the system was the end of the worker."""


class Channel:
    """One end of the socket pair."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two connected ends."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one), cls(other)

    def fileno(self) -> int:
        return self._end.fileno()

    def send(self, message: Message) -> None:
        """Send; of a long text only the end arrives. Raises OSError (EPIPE) when the other side is gone."""
        text = message.text[-_TEXT_LIMIT_CHARACTERS:]
        self._end.send(json.dumps([message.verb, text, message.errno]).encode())

    def receive(self, timeout_s: float | None) -> Message | None:
        """The next message, or None when the other side is gone. Raises TimeoutError."""
        self._end.settimeout(timeout_s)
        try:
            packet = self._end.recv(MESSAGE_LIMIT_BYTES)
        except ConnectionResetError:
            return None
        if not packet:
            return None
        verb, text, number = json.loads(packet)
        return Message(Verb(verb), text, number)

    def close(self) -> None:
        self._end.close()
