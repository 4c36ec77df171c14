"""The processes of a client beside threads, which share the warden with them."""

import trio
from tests.actors.clients.conftest import Client
from tests.actors.wires import Wire

from spindle.actors.clients.connection import Connection
from spindle.actors.clients.processes import running

UNCONFINED = {"type": "dangerFullAccess"}


async def test_the_last_thread_leaves_the_warden_to_the_processes_of_clients(client):
    warden = client.services.warden
    warden.hold()  # as a thread with tools does
    client.ask("command/exec", command=["cat"], processId="p", streamStdin=True, sandboxPolicy=UNCONFINED)
    assert await client.call("command/exec/write", processId="p", deltaBase64="YQ==") == {}
    process = warden.trees().warden
    assert process is not None
    await warden.let_go()
    assert warden.trees().warden == process


async def test_the_last_client_ends_the_warden(opened):
    async with opened() as runtime:
        warden = runtime._backend.services.warden
        async with trio.open_nursery() as nursery:
            wire = Wire()
            nursery.start_soon(Connection(runtime._backend, wire).run, lambda exited: None)
            client = Client(wire, runtime._backend)
            await client.call("initialize", clientInfo={"name": "n", "version": "1"})
            ended = await client.call("command/exec", command=["true"], sandboxPolicy=UNCONFINED)
            assert ended["exitCode"] == 0
            assert warden.trees().warden is not None
            wire.requests.close()
        assert warden.trees().warden is None


async def test_output_that_cannot_be_kept_is_an_error_that_names_the_way_out(client, monkeypatch):
    monkeypatch.setattr(running, "MOST", 1000)
    zeros = ["sh", "-c", "head -c 2000 /dev/zero; exit 3"]
    whole = await client.call("command/exec", command=zeros, disableOutputCap=True, sandboxPolicy=UNCONFINED)
    assert whole["code"] == -32600
    assert "exit code 3" in whole["message"]
    assert "streamStdoutStderr" in whole["message"]
    capped = await client.call("command/exec", command=zeros, outputBytesCap=9, sandboxPolicy=UNCONFINED)
    assert (capped["exitCode"], capped["stdout"]) == (3, "\0" * 9)
