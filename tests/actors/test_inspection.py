"""A runtime says what it does on a socket in its home, if it is asked to, and only to processes of its user."""

import os
import sys
from pathlib import Path

import orjson
import trio

from spindle.actors.inspection import serve_inspection
from spindle.actors.registry.inspection import BATCH, inspection
from spindle.rpc.inspection import InspectedThread
from spindle.rpc.protocol.converter import structure
from spindle.rpc.transports.peers import Peer, of_same_user
from spindle.storage.running_folder import open_folder


async def answer(folder: Path) -> bytes:
    """What the only socket in the folder says."""
    with open_folder(folder) as inside:
        (name,) = [name for name in os.listdir(inside) if not name.startswith(".")]
        data = b""
        async with await trio.open_unix_socket(str(inside / name)) as stream:
            async for chunk in stream:
                data += chunk
        return data


async def test_a_runtime_of_a_program_has_a_socket_only_if_asked(opened, tmp_path):
    folder = tmp_path / "home/spindle/running"
    async with opened():
        assert not folder.exists()
    async with opened(inspect=True) as runtime:
        shown = orjson.loads(await answer(folder))
        assert (shown["kind"], shown["threads"], shown["pid"]) == ("embedded", [], os.getpid())
        async with runtime.start_thread() as thread:
            (seen,) = orjson.loads(await answer(folder))["threads"]
            assert (seen["id"], seen["status"], seen["subscribers"]) == (thread.id, "idle", 1)
    assert os.listdir(folder) == []


async def test_a_refused_process_gets_nothing(opened, tmp_path, nursery):
    asked = []

    async def refuse(peer):
        asked.append(peer)
        return "a command of the runtime"

    async with opened() as runtime:
        await nursery.start(serve_inspection, runtime._backend, "embedded", refuse)
        assert await answer(tmp_path / "home/spindle/running") == b""
        nursery.cancel_scope.cancel()
    assert [peer.pid for peer in asked] == [os.getpid() if sys.platform == "linux" else None]


def test_another_user_is_refused():
    assert of_same_user(Peer(uid=os.geteuid()))
    assert of_same_user(Peer())  # the system does not say
    assert not of_same_user(Peer(uid=os.geteuid() + 1))


async def test_a_folder_that_is_open_to_others_has_no_socket(opened, tmp_path, nursery, monkeypatch):
    """The runtime goes on, without an answer for `spindle top`."""
    (tmp_path / "home/spindle").mkdir(parents=True)
    (tmp_path / "home/spindle/running").symlink_to(tmp_path)
    async with opened(inspect=True) as runtime, runtime.start_thread() as thread:
        assert (await thread.run("hello")) is not None
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


async def test_the_document_comes_in_pieces(opened, nursery):
    """Other tasks run between two of them. A thread that has ended meanwhile is left out, and a loading one is shown."""
    async with opened() as runtime:
        ends: dict[str, trio.Event] = {}

        async def hold(task_status):
            async with runtime.start_thread() as thread:
                ends[thread.id] = trio.Event()
                task_status.started()
                await ends[thread.id].wait()

        async with trio.open_nursery() as held:
            for _ in range(2 * BATCH + 1):
                await held.start(hold)
            pieces = inspection(runtime._backend, "embedded", "1.0")
            data = next(pieces) + next(pieces)
            *_, last = ends
            ends[last].set()
            while runtime._backend.registry.directory.is_known(last):
                await trio.lowlevel.checkpoint()
            rest = [*pieces]
            for end in ends.values():
                end.set()
        assert len(rest) == 2
        threads = orjson.loads(data + b"".join(rest))["threads"]
    assert [structure(thread, InspectedThread).id for thread in threads] == [id for id in ends if id != last]
