"""Calls what `llmc serve` serves with the MCP project's own Python client, and prints what it saw as JSON.

mcp_client.py stdio PROGRAM ARGUMENT...
mcp_client.py http URL TOKEN
"""

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager

import mcp
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client


@asynccontextmanager
async def transport():
    if sys.argv[1] == "stdio":
        yield stdio_client(StdioServerParameters(command=sys.argv[2], args=sys.argv[3:], env=dict(os.environ)))
        return
    try:
        import httpx2 as httpx
    except ImportError:
        import httpx
    headers = {"Authorization": f"Bearer {sys.argv[3]}"}
    async with httpx.AsyncClient(headers=headers, timeout=60) as client:
        yield streamable_http_client(sys.argv[2], http_client=client)


@asynccontextmanager
async def new_client():
    """Of version 2: it asks which versions there are first."""
    async with transport() as streams, mcp.Client(streams) as client:
        yield client, client.protocol_version


@asynccontextmanager
async def old_client():
    """Of version 1: it knows `initialize` only."""
    async with transport() as streams, streams as (read, write, *_):
        async with mcp.ClientSession(read, write) as session:
            yield session, (await session.initialize()).protocolVersion


def plain(result):
    told = result.model_dump(by_alias=True, mode="json")
    return {
        "text": [content["text"] for content in told["content"]],
        "structured": told.get("structuredContent"),
        "is_error": told.get("isError", False),
        "meta": told.get("_meta") or {},
    }


async def main():
    async with (new_client() if hasattr(mcp, "Client") else old_client()) as (client, version):
        tools = (await client.list_tools()).tools
        seen = {"version": version, "tools": [tool.model_dump(by_alias=True, mode="json") for tool in tools]}
        calls = {
            "classify": {"subject": "the server is on fire"},
            "shout": {"input": "it is here"},
            "words": {"input": "one two"},
            "broken": {"input": "x"},
            "pay": {"amount": 1},
        }
        together = await asyncio.gather(*(client.call_tool(name, given) for name, given in calls.items()))
        seen["calls"] = {name: plain(result) for name, result in zip(calls, together)}
        seen["wrong input"] = plain(await client.call_tool("classify", {"subject": 7}))
        try:
            await client.call_tool("nothing", {})
            seen["unknown"] = None
        except Exception as error:
            seen["unknown"] = str(error)
        # One call is given up, and others go on.
        slow = asyncio.create_task(client.call_tool("sleep", {"input": 3}))
        await asyncio.sleep(0.2)
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        many = await asyncio.gather(*(client.call_tool("shout", {"input": f"n{n}"}) for n in range(100)))
        seen["many"] = [plain(result)["text"][0] for result in many]
    print(json.dumps(seen))


asyncio.run(asyncio.wait_for(main(), 300))
