"""A server on a directory, killed and started again at a port that stays the same."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from isthmus.limits import SEGMENT_BYTES_MIN
from support.serve_process import PROGRAM, addresses, free_ports, start_serving

END_S: Final = 60.0
SMALL: Final = {"ISTHMUS_SEGMENT_BYTES": str(SEGMENT_BYTES_MIN)}


class Life:
    """It serves one protocol; `program` is what Python runs, for a server with a fault in it."""

    def __init__(self, directory: Path, protocol: str, program: Sequence[str] = PROGRAM) -> None:
        self._directory = directory
        self._protocol = protocol
        self._program = program
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def begin(self, *, ready: bool) -> None:
        """Start it, and wait until it serves if that is wanted."""
        ports = {self._protocol: self.port}
        process = start_serving(self._directory, ports, ["--quiet"], SMALL, program=self._program)
        self._process = process
        if ready and not dict(addresses(process.stdout, 1)):
            process.communicate()
            raise AssertionError(f"it ended with {process.returncode}")

    def kill(self) -> None:
        """End it by SIGKILL, which it must not have forestalled."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()
        assert self._process.returncode == -9, f"it ended by itself with {self._process.returncode}"
        self._process = None

    def end(self) -> int:
        """Stop it in order; returns its exit code, 0 when there is none."""
        if self._process is None:
            return 0
        self._process.terminate()
        self._process.communicate(timeout=END_S)
        return self._process.returncode
