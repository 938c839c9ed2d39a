"""For Anthropic's memory tool: its files as documents, so that memory can be asked about them.

Needs `pip install 'mplus-client[anthropic]'`.
"""

from __future__ import annotations

from anthropic.lib.tools import (
    BetaAbstractMemoryTool,
    BetaAsyncAbstractMemoryTool,
    BetaFunctionToolResultType,
)
from anthropic.types.beta import (
    BetaCacheControlEphemeralParam,
    BetaMemoryTool20250818CreateCommand,
    BetaMemoryTool20250818DeleteCommand,
    BetaMemoryTool20250818InsertCommand,
    BetaMemoryTool20250818RenameCommand,
    BetaMemoryTool20250818StrReplaceCommand,
    BetaMemoryTool20250818ViewCommand,
)

from ..client import AsyncClient, Client
from . import file_commands
from .runner import Runner


class MPlusMemoryTool(BetaAbstractMemoryTool):
    """Files under /memories, for `client.beta.messages.tool_runner(tools=[…])`.

    Args:
        client: of the tenant whose memory it is.
        cache_control: as Anthropic's tools have it.
    """

    def __init__(
        self, client: Client, *, cache_control: BetaCacheControlEphemeralParam | None = None
    ) -> None:
        super().__init__(cache_control=cache_control)
        self._client, self._runner = client, Runner(client)

    def view(self, command: BetaMemoryTool20250818ViewCommand) -> BetaFunctionToolResultType:
        """A file with its lines numbered, or what is in a folder."""
        return self._runner.run(file_commands.view(self._client, command.path, command.view_range))

    def create(self, command: BetaMemoryTool20250818CreateCommand) -> BetaFunctionToolResultType:
        """A new file."""
        return self._runner.run(file_commands.create(self._client, command.path, command.file_text))

    def str_replace(
        self, command: BetaMemoryTool20250818StrReplaceCommand
    ) -> BetaFunctionToolResultType:
        """Another text in the place of one that a file has once."""
        flow = file_commands.replace(self._client, command.path, command.old_str, command.new_str)
        return self._runner.run(flow)

    def insert(self, command: BetaMemoryTool20250818InsertCommand) -> BetaFunctionToolResultType:
        """More lines in a file."""
        text, line = command.insert_text, command.insert_line
        return self._runner.run(file_commands.insert(self._client, command.path, line, text))

    def delete(self, command: BetaMemoryTool20250818DeleteCommand) -> BetaFunctionToolResultType:
        """A file, or a folder with all that is in it, is forgotten."""
        return self._runner.run(file_commands.delete(self._client, command.path))

    def rename(self, command: BetaMemoryTool20250818RenameCommand) -> BetaFunctionToolResultType:
        """A file or a folder under another name."""
        return self._runner.run(
            file_commands.rename(self._client, command.old_path, command.new_path)
        )

    def clear_all_memory(self) -> BetaFunctionToolResultType:
        """All files are forgotten."""
        return self._runner.run(file_commands.clear(self._client))


class MPlusAsyncMemoryTool(BetaAsyncAbstractMemoryTool):
    """Files under /memories, for the tool runner of `AsyncAnthropic`.

    Args:
        client: of the tenant whose memory it is.
        cache_control: as Anthropic's tools have it.
    """

    def __init__(
        self,
        client: Client | AsyncClient,
        *,
        cache_control: BetaCacheControlEphemeralParam | None = None,
    ) -> None:
        super().__init__(cache_control=cache_control)
        self._client, self._runner = client, Runner(client)

    async def view(self, command: BetaMemoryTool20250818ViewCommand) -> BetaFunctionToolResultType:
        """A file with its lines numbered, or what is in a folder."""
        flow = file_commands.view(self._client, command.path, command.view_range)
        return await self._runner.arun(flow)

    async def create(
        self, command: BetaMemoryTool20250818CreateCommand
    ) -> BetaFunctionToolResultType:
        """A new file."""
        flow = file_commands.create(self._client, command.path, command.file_text)
        return await self._runner.arun(flow)

    async def str_replace(
        self, command: BetaMemoryTool20250818StrReplaceCommand
    ) -> BetaFunctionToolResultType:
        """Another text in the place of one that a file has once."""
        flow = file_commands.replace(self._client, command.path, command.old_str, command.new_str)
        return await self._runner.arun(flow)

    async def insert(
        self, command: BetaMemoryTool20250818InsertCommand
    ) -> BetaFunctionToolResultType:
        """More lines in a file."""
        text, line = command.insert_text, command.insert_line
        return await self._runner.arun(file_commands.insert(self._client, command.path, line, text))

    async def delete(
        self, command: BetaMemoryTool20250818DeleteCommand
    ) -> BetaFunctionToolResultType:
        """A file, or a folder with all that is in it, is forgotten."""
        return await self._runner.arun(file_commands.delete(self._client, command.path))

    async def rename(
        self, command: BetaMemoryTool20250818RenameCommand
    ) -> BetaFunctionToolResultType:
        """A file or a folder under another name."""
        flow = file_commands.rename(self._client, command.old_path, command.new_path)
        return await self._runner.arun(flow)

    async def clear_all_memory(self) -> BetaFunctionToolResultType:
        """All files are forgotten."""
        return await self._runner.arun(file_commands.clear(self._client))
