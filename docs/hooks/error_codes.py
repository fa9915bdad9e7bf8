"""All errors of the service as a table, from their classes."""

from collections.abc import Iterator

from service.domain.errors import ThrombolensError


def error_codes() -> str:
    """Return code, meaning and who can fix it, in the order of the source."""
    lines = ["| code | meaning | can be fixed by |", "|---|---|---|"]
    for kind in _below(ThrombolensError):
        meaning = (kind.__doc__ or "").partition("\n")[0]
        lines.append(f"| `{kind.code}` | {meaning} | {kind.fixed_by} |")
    return "\n".join(lines)


def _below(kind: type[ThrombolensError]) -> Iterator[type[ThrombolensError]]:
    for child in kind.__subclasses__():
        # Doors may have errors of their own; those of the domain are what everybody meets.
        if child.__module__ == kind.__module__:
            yield child
            yield from _below(child)
