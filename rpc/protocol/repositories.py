"""gitDiffToRemote: what a work tree has that its remote has not."""

from spindle.rpc.lazy_class import frozen


@frozen
class GitDiffToRemoteParams:
    """Parameters of gitDiffToRemote: an absolute path in the work tree."""

    cwd: str


@frozen
class GitDiffToRemoteResponse:
    """The commit that the remote has, and the difference of the work tree to it."""

    sha: str
    diff: str
