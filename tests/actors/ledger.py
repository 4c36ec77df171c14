"""An instrument that keeps the books: what it was called with, and which of it has not ended."""

from spindle import Instrument


class Ledger(Instrument):
    """`calls` are (method, record, outcome or what else came with it), in order; `open` what began and has not ended."""

    def __init__(self):
        self.calls, self.open = [], []

    @property
    def names(self):
        return [name for name, *_ in self.calls]

    def of(self, name):
        """What came with each call of this name: the record and the rest."""
        return [(record, *rest) for called, record, *rest in self.calls if called == name]

    def _begin(self, name, record):
        self.calls.append((name, record))
        self.open.append(record)

    def _end(self, name, record, *outcome):
        self.calls.append((name, record, *outcome))
        self.open.remove(record)

    def thread_loaded(self, thread):
        self._begin("thread_loaded", thread)

    def thread_closed(self, thread):
        self._end("thread_closed", thread)

    def turn_started(self, turn):
        assert turn.thread in self.open
        self._begin("turn_started", turn)

    def turn_ended(self, turn, outcome):
        self._end("turn_ended", turn, outcome)

    def request_started(self, request):
        self._begin("request_started", request)

    def request_ended(self, request, outcome):
        self._end("request_ended", request, outcome)

    def request_retried(self, request, error, delay):
        self.calls.append(("request_retried", request, error, delay))

    def tool_started(self, tool):
        self._begin("tool_started", tool)

    def tool_ended(self, tool, outcome):
        self._end("tool_ended", tool, outcome)

    def question_asked(self, question):
        self._begin("question_asked", question)

    def question_answered(self, question, outcome):
        self._end("question_answered", question, outcome)
