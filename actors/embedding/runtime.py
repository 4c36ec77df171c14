"""The runtime of a program: a home and its threads, for the length of a block."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from spindle.actors.registry.ahead import MODEL, THREAD, WATCHED, import_ahead
from spindle.actors.runtime import open_backend

if TYPE_CHECKING:
    from spindle.actors.embedding.asking import OnQuestion
    from spindle.actors.embedding.listing import Sort, ThreadList
    from spindle.actors.embedding.options import ForkOptions, ResumeOptions, StartOptions
    from spindle.actors.embedding.threads import ThreadHandle
    from spindle.actors.registry.backend import Backend
    from spindle.actors.services.instruments import Instrument
    from spindle.rpc.model.interface import Model
    from spindle.rpc.protocol.threads import Thread

MOST_FUNCTION_THREADS = 10_000


class Runtime:
    """A home and its threads, for the length of an `open_runtime` block. Any number may live in one process."""

    __slots__ = ("_backend", "_on_question")

    def __init__(self, backend: Backend, on_question: OnQuestion | None = None) -> None:
        self._backend, self._on_question = backend, on_question

    def __repr__(self) -> str:
        return f"<Runtime home={str(self.home)!r} loaded={self._backend.loaded()}>"

    @property
    def home(self) -> Path:
        """The Codex home, an absolute path."""
        return self._backend.home.path

    def start_thread(
        self,
        *,
        tools: Sequence[object] = (),
        deps: object = None,
        on_question: OnQuestion | None = None,
        **options: Unpack[StartOptions],
    ) -> AbstractAsyncContextManager[ThreadHandle]:
        """Start a thread. The block is the subscription.

        `tools` are what the model may call: functions, `spindle.tool`s, and objects, classes and modules with public
        functions (`tools_of`). A function replaces a tool of Spindle's own that has its name. `deps` is what the ToolContext
        of functions has. They see the context variables of the code that has started the turn. `on_question` answers the
        questions of the thread and of its agents (`OnQuestion`), by default that of the runtime; an exception in it declines
        the question and ends the block with that exception. Without either, questions are among the events. The other options
        are in `StartOptions`. Leaving the block unsubscribes; the thread is closed when its last subscriber has left. Raises
        ConfigError, RpcError, InvalidOption; TypeError for an unknown option, and for a function whose signature has no JSON
        schema.
        """
        from spindle.actors.embedding.threads import Toolset, start_thread

        return start_thread(self._backend, Toolset(tools, deps), self._answering(on_question), options)

    def resume_thread(
        self,
        thread_id: str,
        *,
        tools: Sequence[object] = (),
        deps: object = None,
        on_question: OnQuestion | None = None,
        **options: Unpack[ResumeOptions],
    ) -> AbstractAsyncContextManager[ThreadHandle]:
        """Subscribe to a thread for the length of the block; it is loaded if necessary. See `ResumeOptions`.

        `tools`, `deps` and `on_question` as for `start_thread`; a thread that is already loaded keeps its tools.
        Raises ThreadNotFound, ConfigError, RpcError, InvalidOption, TypeError.
        """
        from spindle.actors.embedding.threads import Toolset, resume_thread

        return resume_thread(self._backend, thread_id, Toolset(tools, deps), self._answering(on_question), options)

    def fork_thread(
        self,
        thread_id: str,
        *,
        tools: Sequence[object] = (),
        deps: object = None,
        on_question: OnQuestion | None = None,
        **options: Unpack[ForkOptions],
    ) -> AbstractAsyncContextManager[ThreadHandle]:
        """Start a thread with the history of another one. The block is the subscription. See `ForkOptions`.

        The copied turns are in `info.thread.turns`. `tools`, `deps` and `on_question` as for `start_thread`. Raises
        ThreadNotFound, ConfigError, RpcError, InvalidOption, TypeError.
        """
        from spindle.actors.embedding.threads import Toolset, fork_thread

        return fork_thread(self._backend, thread_id, Toolset(tools, deps), self._answering(on_question), options)

    def threads(
        self,
        *,
        search: str | None = None,
        archived: bool = False,
        cwd: str | os.PathLike[str] | None = None,
        model_provider: str | None = None,
        sort: Sort = "updated",
        descending: bool = True,
        page_size: int = 50,
    ) -> ThreadList:
        """The stored threads, except those of agents: all in one loop, or page by page. See `ThreadList`.

        search: only those with this text in a message of the user or the agent, in upper or lower case.
        archived: those in the archive, and not the others.
        cwd: only those that work in this folder.
        model_provider: only those of this provider of config.toml.
        sort: by the latest change ("updated") or by creation ("created"); `descending`: the latest first.
        page_size: the most threads of a page, 1 to 100.
        A thread is stored when its first turn begins; an ephemeral one never is. Raises InvalidOption.
        """
        from spindle.actors.embedding.listing import list_threads

        return list_threads(
            self._backend,
            search=search,
            archived=archived,
            cwd=cwd,
            model_provider=model_provider,
            sort=sort,
            descending=descending,
            page_size=page_size,
        )

    def _answering(self, on_question: OnQuestion | None) -> OnQuestion | None:
        from spindle.actors.embedding.checking import check_callback

        return check_callback(on_question) or self._on_question

    async def rename_thread(self, thread_id: str, name: str) -> None:
        """Name a thread. The name is stripped. Raises ThreadNotFound, also for an archived thread, and RpcError."""
        from spindle.actors.embedding.stored import rename_thread

        await rename_thread(self._backend, thread_id, name)

    async def archive_thread(self, thread_id: str) -> None:
        """Close the thread if it is loaded, and move its rollout to the archive. Raises ThreadNotFound, RpcError.

        A running turn is interrupted. If this is cancelled it stops waiting, and the thread is archived all the same.
        """
        from spindle.actors.embedding.stored import archive_thread

        await archive_thread(self._backend, thread_id)

    async def unarchive_thread(self, thread_id: str) -> Thread:
        """Move an archived thread back and return it; it is not loaded. Raises ThreadNotFound, RpcError.

        If this is cancelled it stops waiting, and the thread is moved all the same.
        """
        from spindle.actors.embedding.stored import unarchive_thread

        return await unarchive_thread(self._backend, thread_id)

    async def delete_thread(self, thread_id: str) -> None:
        """Close the thread and its agents' threads if they are loaded, and delete their files. Archived ones too.

        A running turn is interrupted. If this is cancelled it stops waiting, and the thread is deleted all the same.
        Raises ThreadNotFound, and RpcError if a fork refers to the thread or another program writes to it.
        """
        from spindle.actors.embedding.stored import delete_thread

        await delete_thread(self._backend, thread_id)


start_thread = Runtime.start_thread
resume_thread = Runtime.resume_thread
fork_thread = Runtime.fork_thread


@asynccontextmanager
async def open_runtime(
    *,
    home: str | os.PathLike[str] | None = None,
    model: Model | None = None,
    cwd: str | os.PathLike[str] | None = None,
    config: Mapping[str, Any] | Sequence[tuple[str, Any]] = (),
    on_question: OnQuestion | None = None,
    source: str = "vscode",
    function_threads: int | None = None,
    import_first: bool = True,
    instruments: Sequence[Instrument] = (),
    inspect: bool = False,
) -> AsyncGenerator[Runtime]:
    """Open a runtime for the length of the block.

    home: the Codex home, else `$CODEX_HOME`, else `~/.codex`; created if missing when given here.
    model: answers all threads of all providers; by default each provider of config.toml is asked.
    cwd: what relative directories are taken from, else the process's.
    config: overrides of config.toml, by dotted key: a mapping, or pairs.
    on_question: answers the questions of all threads that are opened without one of their own.
    source: the `source` of threads that are started here, as `thread/list` shows it.
    function_threads: how many synchronous functions of the application run at once, each in a worker thread; 40 by
    default, at most 10,000.
    import_first: import what threads need, off the event loop, before the block is entered; else the first thread and the
    first turn do it, and hold up the loop.
    instruments: are called while threads work; see `Instrument`.
    inspect: answer `spindle top` on a socket in the home, which only the same user can open.
    Relative paths, `offline_script` among them, are taken once: a later `os.chdir` changes nothing.
    Leaving the block, or cancelling it, interrupts running turns, records them, and ends everything that was started. In a
    cancelled block that takes `actors.runtime.CLOSING` seconds at most, and then only what is being written, or killed, is
    waited for. An exception leaves the block as it was raised, several come as a group. Raises HomeError, InvalidOption.
    """
    from spindle.actors.embedding import checking

    checking.check_model(model)
    checking.check_callback(on_question)
    checking.check_path("home", home)
    checking.check_path("cwd", cwd)
    checking.check_text("source", source)
    checking.check_count("function_threads", function_threads, MOST_FUNCTION_THREADS)
    for instrument in (instruments := checking.listed("instruments", instruments)):
        checking.check_instrument(instrument)
    await checking.check_folder(cwd, ".")
    async with open_backend(
        home=home,
        model=model,
        cwd=cwd,
        config=checking.pairs(config),
        source=source,
        function_threads=function_threads,
        instruments=instruments,
        inspect=inspect,
    ) as backend:
        if import_first:
            needed = THREAD if model is not None else (*THREAD, *MODEL)
            watched = WATCHED if instruments else ()
            await import_ahead((*needed, *watched, "spindle.actors.embedding.threads"))
        yield Runtime(backend, on_question)
