"""fs/*: files of the machine. The client is trusted, so no sandbox and no approval applies."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from spindle.actors.clients.files import operations
from spindle.actors.clients.files.base64_text import InvalidBase64, decode
from spindle.actors.clients.files.operations import answered, normal
from spindle.actors.clients.files.watches import ClientWatches
from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.files import (
    FsCopyParams,
    FsCopyResponse,
    FsCreateDirectoryParams,
    FsCreateDirectoryResponse,
    FsGetMetadataParams,
    FsGetMetadataResponse,
    FsReadDirectoryParams,
    FsReadDirectoryResponse,
    FsReadFileParams,
    FsReadFileResponse,
    FsRemoveParams,
    FsRemoveResponse,
    FsUnwatchParams,
    FsWatchParams,
    FsWriteFileParams,
    FsWriteFileResponse,
)

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller

P = TypeVar("P")


def _answer(caller: Caller, reply: Reply[Any], work: Callable[[P], object], params: P) -> None:
    """Answer with `work(params)`, from a worker thread. A file system that hangs does not hold up the client's end."""

    def run() -> object:
        with answered():
            return work(params)

    caller.later(reply, partial(trio.to_thread.run_sync, run, abandon_on_cancel=True))


def read_file(caller: Caller, params: FsReadFileParams, reply: Reply[Any]) -> None:
    """fs/readFile"""
    _answer(caller, reply, _read, params)


def write_file(caller: Caller, params: FsWriteFileParams, reply: Reply[Any]) -> None:
    """fs/writeFile"""
    _answer(caller, reply, _write, params)


def create_directory(caller: Caller, params: FsCreateDirectoryParams, reply: Reply[Any]) -> None:
    """fs/createDirectory"""
    _answer(caller, reply, _create_directory, params)


def get_metadata(caller: Caller, params: FsGetMetadataParams, reply: Reply[Any]) -> None:
    """fs/getMetadata"""
    _answer(caller, reply, _metadata, params)


def read_directory(caller: Caller, params: FsReadDirectoryParams, reply: Reply[Any]) -> None:
    """fs/readDirectory"""
    _answer(caller, reply, _read_directory, params)


def remove(caller: Caller, params: FsRemoveParams, reply: Reply[Any]) -> None:
    """fs/remove"""
    _answer(caller, reply, _remove, params)


def copy(caller: Caller, params: FsCopyParams, reply: Reply[Any]) -> None:
    """fs/copy"""
    _answer(caller, reply, _copy, params)


def watch(caller: Caller, params: FsWatchParams, reply: Reply[Any]) -> None:
    """fs/watch"""
    watches = caller.own(ClientWatches)
    watched = watches.begin(params.watch_id, normal(params.path))
    caller.later(reply, lambda: watches.watch(params.watch_id, watched))


def unwatch(caller: Caller, params: FsUnwatchParams, reply: Reply[Any]) -> None:
    """fs/unwatch"""
    reply.resolve(caller.own(ClientWatches).end(params.watch_id))


def _read(params: FsReadFileParams) -> FsReadFileResponse:
    return FsReadFileResponse(operations.read(normal(params.path)))


def _write(params: FsWriteFileParams) -> FsWriteFileResponse:
    try:
        data = decode(params.data_base64)
    except InvalidBase64 as error:
        raise invalid_request(f"fs/writeFile requires valid base64 dataBase64: {error}") from error
    operations.write(normal(params.path), data)
    return FsWriteFileResponse()


def _create_directory(params: FsCreateDirectoryParams) -> FsCreateDirectoryResponse:
    operations.create_folder(normal(params.path), params.recursive is not False)
    return FsCreateDirectoryResponse()


def _metadata(params: FsGetMetadataParams) -> FsGetMetadataResponse:
    return operations.metadata(normal(params.path))


def _read_directory(params: FsReadDirectoryParams) -> FsReadDirectoryResponse:
    return FsReadDirectoryResponse(operations.entries(normal(params.path)))


def _remove(params: FsRemoveParams) -> FsRemoveResponse:
    operations.remove(normal(params.path), params.recursive is not False, params.force is not False)
    return FsRemoveResponse()


def _copy(params: FsCopyParams) -> FsCopyResponse:
    operations.copy(normal(params.source_path), normal(params.destination_path), params.recursive)
    return FsCopyResponse()
