"""A site with a WebSocket that says everything back; its port is the system's choice, and printed."""

from __future__ import annotations

import asyncio

from websockets.asyncio.server import ServerConnection, serve


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def main() -> None:
    # Large enough for every case of the suite; compression is negotiated as it comes.
    async with serve(echo, "127.0.0.1", 0, max_size=1 << 27, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
