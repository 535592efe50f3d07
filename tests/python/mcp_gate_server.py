"""An MCP server of the official package, over streamable HTTP: `mcp_gate_server.py PORT CALLS`.

Each call of a tool that arrives is a line of the file CALLS.
"""

from __future__ import annotations

import sys

import uvicorn
from mcp.server.mcpserver import MCPServer

port, calls = int(sys.argv[1]), sys.argv[2]
server = MCPServer("flights")


def note(line: str) -> None:
    with open(calls, "a", encoding="utf-8") as file:
        print(line, file=file)


@server.tool()
def search_flights(to: str) -> str:
    """Flights to a city."""
    note(f"search_flights {to}")
    return f"TP123 to {to}"


@server.tool()
def book_flight(flight: str) -> str:
    """Books a flight."""
    note(f"book_flight {flight}")
    return f"booked {flight}"


@server.tool()
def cancel_flight(flight: str) -> str:
    """Cancels a flight."""
    note(f"cancel_flight {flight}")
    return f"cancelled {flight}"


@server.tool()
def drop_tables() -> str:
    """What no agent is to call."""
    note("drop_tables")
    return "dropped"


uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=port, log_level="warning")
