"""The official MCP client, with the credential as docs/mcp-gate.md presents it, as a process.

`mcp_gate_client.py URL MODE` in the folder of agent.py, agent.json and passport.json. Reads a JSON array of
calls, makes them in one session, and prints what came of each: `{"text": …}`, or `{"code", "message", "data"}`
of the error that the agent's code gets.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

sys.path.insert(0, os.getcwd())

import agent  # noqa: E402
from mcp import MCPError  # noqa: E402


class Told(agent.Passport):
    """The agent's own, with headers that the next request is to have beside or instead."""

    headers: dict[str, str] = {}
    seen: list[tuple[str, int]] = []

    def sign(self, request: Any) -> Any:
        request.headers.update(self.headers)
        return super().sign(request)

    def auth_flow(self, request: Any) -> Any:
        flow = super().auth_flow(request)
        request = next(flow)
        while True:
            answer = yield request
            self.seen.append((request.method, answer.status_code))
            try:
                request = flow.send(answer)
            except StopIteration:
                return


async def call(client: Any, auth: Told, wanted: dict[str, Any]) -> dict[str, Any]:
    auth.headers = wanted.get("headers", {})
    try:
        if wanted.get("list"):
            return {"text": ",".join(sorted(tool.name for tool in (await client.list_tools()).tools))}
        result = await client.call_tool(wanted["tool"], wanted.get("arguments", {}))
        return {"text": result.content[0].text}
    except MCPError as error:
        return {"code": error.code, "message": error.message, "data": error.data}
    finally:
        auth.headers = {}


async def main(url: str, mode: str) -> dict[str, Any]:
    auth = Told(json.load(open("agent.json")), open("passport.json", "rb").read())
    calls = json.load(sys.stdin)
    try:
        async with agent.connect(url, auth, mode=mode) as client:
            version = client.protocol_version
            answers = [await call(client, auth, wanted) for wanted in calls]
            # The stream of the session is opened beside the calls.
            await asyncio.sleep(0.5)
    except Exception as error:
        # What fails while it connects comes in the groups of the tasks that it failed in.
        while hasattr(error, "exceptions"):
            (error,) = error.exceptions
        if not isinstance(error, MCPError):
            raise
        return {"refused": {"code": error.code, "message": error.message, "data": error.data}}
    return {"version": version, "answers": answers, "seen": auth.seen}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
