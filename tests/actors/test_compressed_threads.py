"""Threads whose rollouts another program has compressed."""

from pathlib import Path

import trio
import zstandard

from spindle import open_runtime
from spindle.actors.clients.methods.listing import asked
from spindle.actors.clients.methods.threads import _read_stored
from spindle.actors.registry.lists import list_stored
from spindle.rpc.model.offline import OfflineModel
from spindle.rpc.protocol.threads import ThreadListParams, ThreadReadResponse


def compress(path: Path) -> Path:
    """As another program would; returns the new path."""
    compressed = path.with_name(path.name + ".zst")
    compressed.write_bytes(zstandard.ZstdCompressor().compress(path.read_bytes()))
    path.unlink()
    return compressed


async def test_a_compressed_thread_is_listed_read_and_resumed(tmp_path: Path) -> None:
    async with (
        open_runtime(home=tmp_path, model=OfflineModel()) as runtime,
        runtime.start_thread(cwd=str(tmp_path)) as thread,
    ):
        await thread.run("hello")
        id, path = thread.id, trio.Path(thread.info.thread.path or "")
    compressed = trio.Path(compress(Path(path)))
    async with open_runtime(home=tmp_path, model=OfflineModel()) as runtime:
        params = ThreadListParams(model_providers=[])
        [listed] = (await list_stored(runtime._backend, asked(params))).data
        assert (listed.id, listed.preview, listed.path) == (id, "hello", str(path))
        read = await _read_stored(runtime._backend, id, include_turns=False)
        assert isinstance(read, ThreadReadResponse)
        assert read.thread.path == str(path)
        assert await compressed.exists()
        async with runtime.resume_thread(id) as thread:
            assert len(thread.info.thread.turns) == 1
            await thread.run("again")
        assert (await path.exists(), await compressed.exists()) == (True, False)
        async with runtime.resume_thread(id) as thread:
            assert len(thread.info.thread.turns) == 2
