"""Make `members.json`: the members of all methods' parameters, in versions of the reference server.

codex app-server generate-json-schema --experimental --out 0.124 codex app-server generate-json-schema --experimental
--out 0.171 python tests/rpc/protocol/read_schemas.py 0.124 0.171

each with the binary of that version. Only names are kept. A path names members from the outside in; a segment in angle
brackets is a variant of an enum, a word or an object: `input.<text>.text_elements`. Lists and maps add nothing.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BUNDLE = "codex_app_server_protocol.schemas.json"
DATA = Path(__file__).with_name("members.json")


class Schemas:
    """One version's schema."""

    def __init__(self, folder: Path) -> None:
        bundle = json.loads((folder / BUNDLE).read_text())["definitions"]
        self._definitions = {**bundle, **bundle["v2"]}
        requests = json.loads((folder / "ClientRequest.json").read_text())
        self._definitions |= requests["definitions"]
        self.params = {each["properties"]["method"]["enum"][0]: each["properties"]["params"] for each in requests["oneOf"]}

    def paths(self, schema: Any, seen: tuple[str, ...] = ()) -> Iterator[str]:
        """The paths below a schema; a recursive one is walked once."""
        if not isinstance(schema, dict):
            return
        if (ref := schema.get("$ref")) is not None:
            name = ref.rpartition("/")[2]
            if name not in seen:
                yield from self.paths(self._definitions[name], (*seen, name))
            return
        for part in schema.get("allOf", ()):
            yield from self.paths(part, seen)
        for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            yield from self._variant(part, seen)
        members = schema.get("properties", {})
        for member, inner in members.items():
            yield member
            yield from (f"{member}.{path}" for path in self.paths(inner, seen))
        yield from self.paths(schema.get("items"), seen)
        yield from self.paths(schema.get("additionalProperties"), seen)
        if schema.get("type") == "string":
            yield from (f"<{word}>" for word in schema.get("enum", ()))

    def _variant(self, schema: Any, seen: tuple[str, ...]) -> Iterator[str]:
        members = schema.get("properties", {})
        for tag in ("type", "mode"):
            if words := members.get(tag, {}).get("enum"):
                yield f"<{words[0]}>"
                rest = {**schema, "properties": {name: inner for name, inner in members.items() if name != tag}}
                yield from (f"<{words[0]}>.{path}" for path in self.paths(rest, seen))
                return
        yield from self.paths(schema, seen)


def main(folders: list[str]) -> None:
    """Write the data file."""
    versions = [Schemas(Path(folder)) for folder in folders]
    methods = dict.fromkeys(method for schemas in versions for method in schemas.params)
    facts = {
        method: sorted({path for schemas in versions for path in schemas.paths(schemas.params.get(method))})
        for method in methods
    }
    rows = ",\n".join(f"{json.dumps(method)}: {json.dumps(paths)}" for method, paths in facts.items())
    DATA.write_text("{\n" + rows + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
