"""The user's rules that allow, prompt for, or forbid commands, and which of them match a command."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import TypeAlias

from attrs import evolve, field

from spindle.actors.tools.commands.locating import Program
from spindle.rpc.lazy_class import frozen

Words: TypeAlias = Sequence[str]


class Decision(IntEnum):
    """The decision of a rule; the greatest of several holds."""

    ALLOW = 0
    PROMPT = 1
    FORBIDDEN = 2


@frozen
class CommandRule:
    """A rule for commands that begin with `pattern`, a list of alternatives for each word."""

    pattern: Sequence[Sequence[str]]
    decision: Decision = Decision.ALLOW
    justification: str | None = None

    def match(self, words: Sequence[str | None]) -> list[str] | None:
        """The words that the pattern matches; None if it does not."""
        begin = [
            word for word, options in zip(words, self.pattern, strict=False) if word is not None and word in options
        ]
        return begin if len(begin) == len(self.pattern) else None


@frozen
class RuleMatch:
    """A rule that matches a command, and the matched words (the name of a program instead of its path)."""

    prefix: Sequence[str]
    rule: CommandRule


@frozen
class Rules:
    """All rules in force."""

    rules: Sequence[CommandRule] = ()
    executables: Mapping[str, Sequence[str]] = field(factory=dict[str, Sequence[str]])
    """The paths of a program by its name. A name that is not here stands for every path with that base name."""

    def matches(self, words: Sequence[str | None]) -> list[RuleMatch]:
        """The rules for one plain command, by its name or the base name of its path.

        Use this for rules that restrict, and `allowing` for rules that allow.
        """
        found = self._exact(words)
        if found or not words or words[0] is None or "/" not in words[0]:
            return found
        name = os.path.basename(words[0])
        paths = self.executables.get(name)
        if paths is not None and words[0] not in paths:
            return []
        return self._exact([name, *words[1:]])

    def restricting(self, words: Words, program: Program | None) -> list[RuleMatch]:
        """The rules that prompt for or forbid a command: by its words, and by the name of the file that runs."""
        found = self.matches(words)
        name = os.path.basename(program.real) if program is not None else ""
        if name and name != os.path.basename(words[0]):
            found += [match for match in self.matches([name, *words[1:]]) if match not in found]
        return [match for match in found if match.rule.decision is not Decision.ALLOW]

    def allowing(self, words: Sequence[str | None], programs: Mapping[str, Program]) -> list[RuleMatch]:
        """The rules that allow a command with these exact words.

        A rule with a name matches the program that `programs` has for it, by name or path, unless the model could have written
        that file. A rule with a path matches that path as written.
        """
        name = words[0] if words else None
        if name is None:
            return []
        if "/" in name and (found := self._allow(words)):
            return found
        bare = os.path.basename(name)
        program, named = programs.get(name), programs.get(bare)
        if program is None or not program.fixed:
            return []
        paths = self.executables.get(bare)
        if paths is not None:
            holds = program.path in paths
        else:
            holds = named is not None and program.real == named.real
        return self._allow([bare, *words[1:]]) if holds else []

    def _allow(self, words: Sequence[str | None]) -> list[RuleMatch]:
        return [match for match in self._exact(words) if match.rule.decision is Decision.ALLOW]

    def _exact(self, words: Sequence[str | None]) -> list[RuleMatch]:
        return [RuleMatch(prefix, rule) for rule in self.rules if (prefix := rule.match(words)) is not None]

    def with_prefix(self, words: Words) -> Rules:
        """Copy with a rule that allows commands beginning with `words`."""
        return evolve(self, rules=[*self.rules, CommandRule([[word] for word in words])])
