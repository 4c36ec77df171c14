"""gitDiffToRemote, as a client calls it."""

import subprocess

import pytest

LINES = (
    "git init -q --bare ../remote; git init -q -b main; echo one >file; git add file; "
    "git -c user.name=n -c user.email=e@x commit -qm one; git remote add origin ../remote; git push -q origin main; "
    "echo two >file; git rev-parse HEAD"
)


@pytest.fixture
def repository(tmp_path):
    """(its path, the commit that its remote has)"""
    folder = tmp_path / "repository"
    folder.mkdir()
    made = subprocess.run(LINES, shell=True, cwd=folder, check=True, capture_output=True, text=True)
    return str(folder), made.stdout.strip()


async def test_it_answers_and_refuses_with_the_path(client, repository):
    cwd, head = repository
    found = await client.call("gitDiffToRemote", cwd=cwd)
    assert found["sha"] == head
    assert found["diff"].endswith("@@ -1 +1 @@\n-one\n+two\n")
    refused = await client.call("gitDiffToRemote", cwd='re"l')
    assert refused == {"code": -32600, "message": 'failed to compute git diff to remote for cwd: "re\\"l"'}
