"""What the doctor found, as text for people and JSON for programs. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is. WRONG: it keeps the service from working. WARNING: it may, or it weakens what is around it."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `found` is one line; `remedy` says what to do, with commands on lines of their own."""

    level: Level
    check: str
    found: str
    remedy: str = ""


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, check, found)


def warning(check: str, found: str, remedy: str) -> Finding:
    """The service works all the same."""
    return Finding(Level.WARNING, check, found, remedy)


def wrong(check: str, found: str, remedy: str) -> Finding:
    """The service would not work."""
    return Finding(Level.WRONG, check, found, remedy)


@dataclass(frozen=True, slots=True)
class Report:
    """All findings. `subject` tells which etcd was examined."""

    subject: str
    findings: Sequence[Finding]

    @property
    def healthy(self) -> bool:
        """Whether the service would work, warnings or not."""
        return all(finding.level is not Level.WRONG for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """0: nothing to do. 1: the service would not work. 3: it would, but there are warnings."""
        if not self.healthy:
            return 1
        return 3 if any(finding.level is Level.WARNING for finding in self.findings) else 0

    def text(self) -> str:
        """A line for each check, then what to do, the worst first."""
        lines = [self.subject, ""]
        lines += [f"{each.level.value:<8} {each.check:<12} {each.found}" for each in self.findings]
        lines += ["", *self._advice()]
        return "\n".join(lines) + "\n"

    def json(self) -> str:
        """The same for programs: one object."""
        findings = [
            {"level": each.level.value, "check": each.check, "found": each.found, "remedy": each.remedy}
            for each in self.findings
        ]
        document = {"subject": self.subject, "healthy": self.healthy, "findings": findings}
        return json.dumps(document, ensure_ascii=False, indent=2) + "\n"

    def _advice(self) -> list[str]:
        # Several findings may have one remedy.
        remedies = dict.fromkeys(each.remedy for each in self._by_gravity() if each.remedy)
        if not remedies:
            return ["Nothing to do."]
        indented = [remedy.replace("\n", "\n      ") for remedy in remedies]
        return ["What to do:", *(f"  {number}. {remedy}" for number, remedy in enumerate(indented, 1))]

    def _by_gravity(self) -> list[Finding]:
        gravest_first = [Level.WRONG, Level.WARNING, Level.OK]
        return sorted(self.findings, key=lambda finding: gravest_first.index(finding.level))
