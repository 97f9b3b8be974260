"""The fenced blocks of a README, and running them as a reader would.

`console` blocks hold commands after `$ ` and what they print; `sh` blocks only commands; `python`
blocks a session at the board's prompt, after `>>> `. In what is printed `...` stands for anything.

    python tests/host/readme_blocks.py README.md

runs a README in a copy of what `make demo` left and prints it with the output of today.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import serial

from microtrain.link import VirtualBoard
from microtrain.link.board_process import BoardProcess

REPO = Path(__file__).resolve().parents[2]
PROMPTS = {"console": "$ ", "sh": "", "python": ">>> "}
PASSIVE = {"text", "json"}  # neither commands nor sessions
END = "end-of-command-1f9a"
TIMEOUT_S = 120
NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?%?")


@dataclass(frozen=True)
class Step:
    """A command or statement, and what it prints: None where the README does not say."""

    language: str
    line: int
    code: str
    output: str | None


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is its first line in the file."""

    language: str
    line: int
    text: str

    def steps(self) -> list[Step]:
        prompt = PROMPTS[self.language]
        steps: list[Step] = []
        for at, line in enumerate(self.text.splitlines(), self.line):
            if self.language == "sh":
                if line and not line.startswith("#"):
                    steps.append(Step(self.language, at, line, None))
            elif line.startswith(prompt):
                steps.append(Step(self.language, at, line.removeprefix(prompt), ""))
            elif steps:
                last = steps.pop()
                steps.append(Step(last.language, last.line, last.code, f"{last.output}{line}\n"))
            else:
                raise ValueError(f"line {at}: a {self.language} block begins with {prompt!r}")
        return steps


def blocks(path: Path) -> list[Block]:
    """Every fenced block of a README. Raises ValueError for a language that nobody runs."""
    found = []
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", path.read_text(), re.M | re.S):
        language = match[1]
        line = path.read_text()[: match.start()].count("\n") + 2
        if language not in PROMPTS.keys() | PASSIVE:
            raise ValueError(f"{path}, line {line}: a block in {language or 'no language'!r}")
        found.append(Block(language, line, match[2]))
    return found


def same(expected: str, printed: str) -> bool:
    """Whether `printed` is what the README shows.

    Blanks count as one, those around a line as none. Whole numbers must be equal. Calibration is
    float arithmetic, which another processor may round differently: percentages may differ by 5
    points, other decimals by a quarter.
    """
    expected, printed = (_narrow(text) for text in (expected, printed))
    pattern, wanted = "", []
    for part in re.split(rf"(\.\.\.|{NUMBER.pattern})", expected):
        if part == "...":
            pattern += ".*?"
        elif NUMBER.fullmatch(part):
            pattern += rf"({NUMBER.pattern})"
            wanted.append(part)
        else:
            pattern += re.escape(part)
    match = re.fullmatch(pattern, printed, re.S)
    return match is not None and all(map(_close, wanted, match.groups()))


def _narrow(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())


def _close(wanted: str, found: str) -> bool:
    a, b = (float(x.replace(",", "").rstrip("%")) for x in (wanted, found))
    if wanted.endswith("%"):
        return found.endswith("%") and abs(a - b) <= 5
    return wanted == found if "." not in wanted else abs(a - b) <= abs(a) / 4


class Shell:
    """One bash in which commands run one after the other, as a reader types them.

    It starts in `folder`, with the repository's programs first in PATH and the virtual board's
    files in `board`.
    """

    def __init__(self, folder: Path, board: Path) -> None:
        path = f"{REPO / '.venv/bin'}:{os.environ['PATH']}"
        self._process = subprocess.Popen(
            ["bash", "--norc"], cwd=folder, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=os.environ | {"PATH": path, "MICROTRAIN_BOARD_FOLDER": str(board), "TERM": "dumb"},
        )  # fmt: skip

    def run(self, command: str) -> str:
        """What `command` prints. Raises ValueError if it fails."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{{ {command}\n}} </dev/null\necho {END} $?\n")
        self._process.stdin.flush()
        printed = ""
        for line in self._process.stdout:
            if line.startswith(END):
                if line.split()[1] != "0":
                    raise ValueError(f"{command}: exit code {line.split()[1]}\n{printed}")
                return printed
            printed += line
        raise ValueError(f"{command}: the shell ended\n{printed}")

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(TIMEOUT_S)
        self._process.stdout.close()


class Prompt:
    """The friendly prompt of a board in software, typed at over its serial port.

    timeout: seconds that a statement may take.
    """

    def __init__(self, board: BoardProcess, timeout: float = TIMEOUT_S) -> None:
        self._board = board
        self._port = serial.Serial(board.port, timeout=timeout)
        # The banner and its prompt may come once or twice: go on after something of our own.
        self._port.write(b"\x02print('re' + 'ady')\r")
        self._until(b"\r\nready\r\n>>> ")

    def _until(self, end: bytes) -> str:
        text = self._port.read_until(end)
        if not text.endswith(end):
            raise ValueError(f"no prompt came back:\n{text.decode()}")
        return text.decode().removesuffix(">>> ").replace("\r\n", "\n")

    def run(self, statement: str) -> str:
        self._port.write(statement.encode() + b"\r")
        return self._until(b"\r\n>>> ").split("\n", 1)[1]  # without the echo

    def close(self) -> None:
        self._port.close()
        self._board.close()


def workplace(folder: Path) -> Path:
    """A folder like the repository's root, in which commands may write."""
    shutil.copytree(REPO / "build" / "demo", folder / "build" / "demo")
    for name in ("tests", "host", "build/virtual"):
        (folder / name).symlink_to(REPO / name)
    return folder


def play(path: Path, folder: Path, skip: tuple[str, ...] = ()) -> list[tuple[Step, str]]:
    """Run all blocks of a README in `folder`; returns each step with what it printed.

    Commands that begin with one of `skip` are left out. Raises ValueError where one fails.
    """
    played = []
    board = folder / "board"
    shell = Shell(folder, board)
    try:
        for block in blocks(path):
            if block.language in PASSIVE:
                continue
            is_session = block.language == "python"
            place: Shell | Prompt = Prompt(VirtualBoard(board)) if is_session else shell
            try:
                for step in block.steps():
                    if not step.code.startswith(skip or ("\0",)):
                        played.append((step, place.run(step.code)))
            finally:
                if isinstance(place, Prompt):
                    place.close()
    finally:
        shell.close()
    return played


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        source = Path(sys.argv[1])
        for step, printed in play(
            source, workplace(Path(temporary)), ("make ", "git ", "cd micro")
        ):
            agrees = step.output is None or same(step.output, printed)
            print(f"{PROMPTS[step.language]}{step.code}" + ("" if agrees else "     <-- differs"))
            print(printed, end="")
