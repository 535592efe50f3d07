"""The official client of the Model Context Protocol, as a process: a JSON object a line in,
one out. It may have several sessions at once, by name. Nothing of it is changed or replaced."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, Awaitable, Callable, Optional

import httpx2
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Request, Result

Action = Callable[[Client], Awaitable[Any]]


class Session:
    """A client, in a task of its own, as its scopes must be left where they were entered."""

    def __init__(self, server: Callable[[], Any], mode: str) -> None:
        self.actions: asyncio.Queue[Optional[tuple[Action, asyncio.Future[Any]]]] = asyncio.Queue()
        self.begun: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self.run(server, mode))
        self.calls: set[asyncio.Task[None]] = set()

    async def run(self, server: Callable[[], Any], mode: str) -> None:
        try:
            async with Client(server(), mode=mode) as client:
                self.begun.set_result(about(client))
                while (next_action := await self.actions.get()) is not None:
                    call = asyncio.create_task(act(client, *next_action))
                    self.calls.add(call)
                    call.add_done_callback(self.calls.discard)
        except BaseException as error:
            if self.begun.done():
                raise
            self.begun.set_result(told(error))

    async def do(self, action: Action) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        await self.actions.put((action, answer))
        return await answer

    async def close(self) -> dict[str, Any]:
        await self.actions.put(None)
        await self.task
        return {}


async def act(client: Client, action: Action, answer: asyncio.Future[Any]) -> None:
    try:
        answer.set_result(await action(client))
    except Exception as error:
        answer.set_result(told(error))


def about(client: Client) -> dict[str, Any]:
    session = client.session
    return {
        "version": session.protocol_version,
        "server": session.server_info.name if session.server_info else None,
        "capabilities": client.server_capabilities.model_dump(exclude_none=True, by_alias=True),
    }


def told(error: BaseException) -> dict[str, Any]:
    """The innermost of what a group of tasks raised."""
    while inner := getattr(error, "exceptions", None):
        error = inner[0]
    if isinstance(error, MCPError):
        return {"error": "MCPError", "code": error.error.code, "message": error.error.message}
    return {"error": type(error).__name__, "message": str(error)}


SESSIONS: dict[str, Session] = {}


async def open_http(session: str, url: str, mode: str, headers: dict[str, str]) -> Any:
    """A session over streamable HTTP."""
    http = httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False)
    return await begin(session, lambda: streamable_http_client(url, http_client=http), mode)


async def open_stdio(session: str, command: str, args: list[str], env: dict[str, str], mode: str) -> Any:
    """A session with a program that is started for it."""
    return await begin(session, lambda: StdioServerParameters(command=command, args=args, env=env), mode)


async def begin(session: str, server: Callable[[], Any], mode: str) -> Any:
    SESSIONS[session] = Session(server, mode)
    return await SESSIONS[session].begun


async def tools(session: str) -> Any:
    async def action(client: Client) -> Any:
        listed = await client.list_tools()
        return {"tools": [tool.model_dump(by_alias=True, exclude_none=True) for tool in listed.tools]}

    return await SESSIONS[session].do(action)


async def call(session: str, name: str, arguments: dict[str, Any]) -> Any:
    async def action(client: Client) -> Any:
        return shown(await client.call_tool(name, arguments))

    return await SESSIONS[session].do(action)


def shown(result: Any) -> dict[str, Any]:
    (block,) = result.content
    return {"is_error": result.is_error, "type": block.type, "text": block.text}


async def call_together(calls: list[dict[str, Any]]) -> Any:
    """Calls that are all begun before one is answered."""
    return {"answers": await asyncio.gather(*(call(**one) for one in calls))}


async def call_and_cancel(session: str, name: str, arguments: dict[str, Any], after: float) -> Any:
    """A call that nobody waits for any more after so many seconds."""

    async def action(client: Client) -> Any:
        running = asyncio.create_task(client.call_tool(name, arguments))
        done, _ = await asyncio.wait({running}, timeout=after)
        running.cancel()
        await asyncio.wait({running})
        return {"answered": bool(done)}

    return await SESSIONS[session].do(action)


async def ping(session: str) -> Any:
    async def action(client: Client) -> Any:
        await client.session.send_ping()
        return {}

    return await SESSIONS[session].do(action)


async def request(session: str, method: str, params: dict[str, Any]) -> Any:
    """A request of a method that the client may not know."""

    async def action(client: Client) -> Any:
        answer = await client.session.send_request(Request[dict, str](method=method, params=params), Result)
        return {"answer": answer.model_dump(by_alias=True)}

    return await SESSIONS[session].do(action)


async def close(session: str) -> Any:
    return await SESSIONS.pop(session).close()


OPERATIONS = {
    operation.__name__: operation
    for operation in (open_http, open_stdio, tools, call, call_together, call_and_cancel, ping, request, close)
}


async def main() -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        asked = json.loads(line)
        answer = await OPERATIONS[asked.pop("op")](**asked)
        print(json.dumps(answer), flush=True)
    for name in list(SESSIONS):
        await close(name)


if __name__ == "__main__":
    asyncio.run(main())
