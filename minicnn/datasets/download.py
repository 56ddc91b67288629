"""A download that ends, whatever the server does.

`requests` limits the wait for each piece of an answer, but neither the number of pieces nor the
bytes that they add up to: a server that sends a byte now and then, in the head of its answer or in
the body, would be waited for without end. It also unpacks what a server calls packed, and reads the
body of a redirect to its end. Here a clock runs against the whole answer, from the first connection
to the last byte, and no byte is read beyond those that are asked for.
"""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

import requests
import urllib3
from requests.adapters import HTTPAdapter

PATIENCE = 30.0  # seconds for an answer in which nothing comes
SLOWEST = 20_000  # bytes of its body that buy it one second more
REDIRECTS = 5
CHUNK = 1 << 14


def download(
    url: str, size: int, timeout: tuple[float, float], progress: Callable[[int], Any]
) -> bytes:
    """The body of what `url` answers; of one that is too long, the first `size` + 1 bytes.

    Parameters
    ----------
    url
        An http or https address.
    size
        How many bytes are expected. One more is asked for, so that a longer answer shows.
    timeout
        Seconds to connect, and between two pieces of the answer.
    progress
        Is called with the number of bytes of each piece.

    Returns
    -------
    The bytes as they were sent, not unpacked, whatever Content-Encoding says.

    Raises
    ------
    OSError
        The server cannot be reached, refuses, breaks off, or is too slow: the whole answer, with
        the redirects that lead to it, has PATIENCE seconds and one for each SLOWEST bytes received.
    """
    clock = Clock()
    with TimedSession(clock) as session:
        try:
            for _ in range(1 + REDIRECTS):
                with session.get(
                    url,
                    timeout=(min(timeout[0], clock.left()), timeout[1]),
                    headers={"Accept-Encoding": "identity"},
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    response.raise_for_status()
                    if not response.is_redirect:
                        return _body(response.raw, size, clock, progress)
                    url = urljoin(url, response.headers["location"])
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            # requests makes an OSError of most, but not of those in a redirect or the raw body
            raise OSError(f"{type(error).__name__}: {error}") from error
    raise OSError(f"redirected more than {REDIRECTS} times, the last time to {url}")


def _body(raw: Any, size: int, clock: Clock, progress: Callable[[int], Any]) -> bytes:
    body = bytearray()
    while len(body) <= size:
        piece = raw.read(min(CHUNK, size + 1 - len(body)), decode_content=False)
        if not piece:
            break
        body += piece
        clock.reward(len(piece))
        progress(len(piece))
    return bytes(body)


class Clock:
    """The time that an answer has left. What it sends buys it more, up to PATIENCE seconds."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.end = self.start + PATIENCE
        self.received = 0

    def reward(self, received: int) -> None:
        self.received += received
        self.end = min(self.end + received / SLOWEST, time.monotonic() + PATIENCE)

    def left(self) -> float:
        """Seconds, more than 0. Raises TimeoutError where there are none."""
        now = time.monotonic()
        if now >= self.end:
            raise TimeoutError(
                f"the server is too slow: {self.received} bytes in {now - self.start:.1f} s"
            )
        return self.end - now


class TimedReader(io.RawIOBase):
    """What a socket sends, until its own timeout for a piece or the clock for all runs out."""

    def __init__(self, raw: Any, sock: Any, clock: Clock) -> None:
        self._raw = raw
        self._sock = sock
        self._clock = clock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        pause, left = self._sock.gettimeout(), self._clock.left()
        self._sock.settimeout(min(pause, left))
        try:
            return self._raw.readinto(buffer)
        except TimeoutError:
            if pause <= left:
                raise
        finally:
            self._sock.settimeout(pause)
        return self._clock.left()  # raises, as it has run out

    def close(self) -> None:
        self._raw.close()
        super().close()


class TimedConnection:
    """Mixed into a connection of urllib3: the clock runs whenever an answer is read from it."""

    clock: Clock

    def response_class(self, sock: Any, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(sock, *args, **kwargs)
        raw = response.fp.detach()
        response.fp = io.BufferedReader(TimedReader(raw, sock, self.clock))
        return response

    def getresponse(self, **_: Any) -> Any:
        # urllib3 1 asks for Python 2's buffering first, and an error would look like that refusal
        return super().getresponse()  # type: ignore[misc]


class TimedAdapter(HTTPAdapter):  # type: ignore[misc]
    """Has every connection, one to a proxy too, made as a TimedConnection."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._set_up(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        self._set_up(manager)
        return manager

    def _set_up(self, manager: Any) -> None:
        pools = manager.pool_classes_by_scheme.items()
        manager.pool_classes_by_scheme = {scheme: self._timed(pool) for scheme, pool in pools}

    def _timed(self, pool: Any) -> Any:
        connection = pool.ConnectionCls
        if issubclass(connection, TimedConnection):
            return pool
        timed = type("Timed", (TimedConnection, connection), {"clock": self._clock})
        return type("TimedPool", (pool,), {"ConnectionCls": timed})


class TimedSession(requests.Session):  # type: ignore[misc]
    """A session whose answers are all read against one clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        for scheme in "http://", "https://":
            self.mount(scheme, TimedAdapter(clock))

    def get_redirect_target(self, resp: Any) -> None:
        """None: requests would read the whole body before it tells the target."""
