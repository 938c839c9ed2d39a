"""Anthropic's memory tool; what it does is what Anthropic's own tool on a folder does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from anthropic.lib.tools import ToolError
from anthropic.tools import BetaLocalFilesystemMemoryTool

from mplus_client import AsyncClient, Client
from mplus_client.adapters.anthropic import MPlusAsyncMemoryTool, MPlusMemoryTool
from tests.api_world import ApiWorld

A, B, DEEP = "/memories/a.txt", "/memories/b.txt", "/memories/notes/2026/may.md"


def said(tool: Any, command: str, **fields: Any) -> str:
    """What a tool answers, or what it says that is wrong."""
    try:
        return str(tool.call({"command": command, **fields}))
    except ToolError as error:
        return f"ToolError: {error}"


@pytest.fixture
def ours(client: Client) -> MPlusMemoryTool:
    return MPlusMemoryTool(client)


@pytest.fixture
def both(ours: MPlusMemoryTool, tmp_path: Path) -> tuple[Any, Any]:
    return ours, BetaLocalFilesystemMemoryTool(str(tmp_path))


SAME: list[dict[str, Any]] = [
    {"command": "view", "path": A},
    {"command": "create", "path": A, "file_text": "one\ntwo\nthree\ntwo"},
    {"command": "create", "path": A, "file_text": "again"},
    {"command": "view", "path": A},
    {"command": "view", "path": A, "view_range": [2, 3]},
    {"command": "view", "path": A, "view_range": [3, -1]},
    {"command": "str_replace", "path": A, "old_str": "two", "new_str": "2"},
    {"command": "str_replace", "path": A, "old_str": "four", "new_str": "4"},
    {"command": "str_replace", "path": A, "old_str": "three", "new_str": "3\n3½"},
    {"command": "view", "path": A},
    {"command": "str_replace", "path": B, "old_str": "three", "new_str": "3"},
    {"command": "insert", "path": A, "insert_line": 0, "insert_text": "zero\n"},
    {"command": "insert", "path": A, "insert_line": 99, "insert_text": "no"},
    {"command": "insert", "path": A, "insert_line": 6, "insert_text": "end"},
    {"command": "view", "path": A},
    {"command": "insert", "path": B, "insert_line": 0, "insert_text": "no"},
    {"command": "create", "path": DEEP, "file_text": "  leading and trailing \n\n"},
    {"command": "view", "path": DEEP},
    {"command": "create", "path": "/memories/empty", "file_text": ""},
    {"command": "view", "path": "/memories/empty"},
    {"command": "rename", "old_path": A, "new_path": DEEP},
    {"command": "rename", "old_path": B, "new_path": "/memories/c"},
    {"command": "rename", "old_path": A, "new_path": B},
    {"command": "view", "path": B},
    {"command": "view", "path": A},
    {"command": "rename", "old_path": "/memories/notes", "new_path": "/memories/old"},
    {"command": "view", "path": "/memories/old/2026/may.md"},
    {"command": "delete", "path": "/memories"},
    {"command": "delete", "path": A},
    {"command": "delete", "path": "/memories/old"},
    {"command": "view", "path": "/memories/old/2026/may.md"},
    {"command": "delete", "path": B},
    {"command": "create", "path": B, "file_text": "anew"},
    {"command": "view", "path": B},
    {"command": "view", "path": "/etc/passwd"},
    {"command": "create", "path": "/memories/../etc/passwd", "file_text": "no"},
]


def test_it_answers_as_anthropics_own(both: tuple[Any, Any]) -> None:
    ours, local = both
    for command in SAME:
        assert said(ours, **command) == said(local, **command), command


def test_a_folder_shows_two_levels(ours: MPlusMemoryTool) -> None:
    for path in (A, DEEP, "/memories/.hidden", "/memories/notes/top.md"):
        said(ours, "create", path=path, file_text="x" * 100)
    assert said(ours, "view", path="/memories").splitlines()[1:] == [
        "400B\t/memories",
        "100B\t/memories/a.txt",
        "200B\t/memories/notes/",
        "100B\t/memories/notes/2026/",
        "100B\t/memories/notes/top.md",
    ]
    assert "may.md" in said(ours, "view", path="/memories/notes")


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ({"command": "create", "path": f"{A}/b", "file_text": "x"}, "is a file"),
        ({"command": "create", "path": "/memories", "file_text": "x"}, "directory"),
        ({"command": "create", "path": "/memoriesx/a", "file_text": "x"}, "must start"),
        ({"command": "create", "path": "/memories/a/./b", "file_text": "x"}, "escape"),
        ({"command": "create", "path": B, "file_text": "x y\n" * 20_000}, "split it"),
        ({"command": "create", "path": B, "file_text": "\x01\x02 x"}, "no writing"),
        ({"command": "rename", "old_path": "/memories/n", "new_path": "/memories/n/m"}, "inside"),
    ],
)
def test_what_cannot_be_is_told_to_the_model(
    ours: MPlusMemoryTool, command: dict[str, Any], wrong: str
) -> None:
    said(ours, "create", path=A, file_text="x")
    said(ours, "create", path="/memories/n/a", file_text="x")
    answer = said(ours, **command)
    assert answer.startswith("ToolError")
    assert wrong in answer


def test_files_are_memory(client: Client, ours: MPlusMemoryTool) -> None:
    said(ours, "create", path=A, file_text="Maren Tolva lives in Dorvas.")
    client.wait(next(iter(client.jobs())).id)
    found = client.search("Where does Maren live?", filter={"tags": ["memory-tool"]})
    assert {hit.document_id for hit in found.results} == {"memories/a.txt"}
    assert ours.to_dict() == {"type": "memory_20250818", "name": "memory"}
    client.memorize("Otto waits.", id="otto")
    ours.clear_all_memory()
    assert said(ours, "view", path=A).startswith("ToolError")
    kept = [document.id for document in client.documents() if document.state != "forgetting"]
    assert kept == ["otto"]


def test_a_tool_that_is_awaited(api: ApiWorld, key: str) -> None:
    async def run() -> None:
        async with AsyncClient(api.url, key) as client:
            tool = MPlusAsyncMemoryTool(client)
            for command in (
                {"command": "create", "path": A, "file_text": "one"},
                {"command": "str_replace", "path": A, "old_str": "one", "new_str": "1"},
                {"command": "insert", "path": A, "insert_line": 1, "insert_text": "2"},
                {"command": "rename", "old_path": A, "new_path": B},
            ):
                await tool.call(command)
            assert str(await tool.call({"command": "view", "path": B})).endswith(
                "     2\t2\n     3\t"
            )
            await tool.call({"command": "delete", "path": B})
            with pytest.raises(ToolError, match="does not exist"):
                await tool.call({"command": "view", "path": B})
            assert await tool.clear_all_memory() == "All memory cleared"

    asyncio.run(run())
