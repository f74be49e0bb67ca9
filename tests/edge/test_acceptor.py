"""Connections that wait to be accepted when their listener closes are served all the same."""

import asyncio
import socket

from proxy.edge.acceptor import Acceptor

WAITING = 100  # more than are taken in one go


class Alone:
    """Nobody to share the work with."""

    def hand_on(self, connection: socket.socket, listener: int) -> bool:
        return False

    def holds(self, count: int) -> None:
        """Nobody wants to know."""

    def keep(self) -> None:
        """There is nobody."""


async def test_closing_takes_those_that_wait() -> None:
    served = 0
    arriving = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        served += 1
        writer.write(await reader.readexactly(2))
        writer.close()
        await writer.wait_closed()

    def arrive(change: int) -> None:
        nonlocal arriving
        arriving += change

    listening = socket.create_server(("127.0.0.1", 0), backlog=WAITING)
    listening.setblocking(False)
    address = listening.getsockname()
    acceptor = Acceptor([listening], 0, serve, Alone(), arrive)
    clients = [socket.create_connection(address) for _ in range(WAITING)]
    acceptor.close()
    assert arriving > 0
    for number, client in enumerate(clients):
        client.sendall(b"%02d" % number)
        client.setblocking(False)
    async with asyncio.timeout(20):
        answers = [await asyncio.get_running_loop().sock_recv(client, 10) for client in clients]
    for client in clients:
        client.close()
    assert answers == [b"%02d" % number for number in range(WAITING)]
    assert (served, arriving) == (WAITING, 0)
