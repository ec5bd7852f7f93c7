"""A package index on the loopback address. It serves a folder of wheels, writes down what was asked of it, and makes
wheels up: tiny, valid, of any version and with any wants. Knows nothing of the installer.
"""

import hashlib
import html
import re
import shutil
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from typing_extensions import override

# Above all that will be released: an installer that takes the newest takes this.
NEWER = "9999.0"
# From this pip on a pin counts for a package with an extra as well.
MENDED_PIP = (23, 3)


@dataclass
class Index:
    """Wheels in `folder`, and what was asked for since the last look."""

    folder: Path
    asked: list[str] = field(default_factory=list)
    # A file with this in its name is not sent before `go`; `waits` is set when one was asked for.
    held: str = ""
    waits: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def offer(self, name: str, version: str, *wants: str) -> str:
        """Make a wheel up, and return the line that a lock has for it. An extra's want is given as `extra: want`."""
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        for want in wants:
            extra, _, rest = want.rpartition(": ")
            if extra:
                lines += [f"Provides-Extra: {extra}", f'Requires-Dist: {rest} ; extra == "{extra}"']
            else:
                lines.append(f"Requires-Dist: {rest}")
        plain = name.replace("-", "_")
        info = f"{plain}-{version}.dist-info"
        files = {
            f"{plain}.py": f"VERSION = {version!r}\n",
            f"{info}/METADATA": "\n".join([*lines, ""]),
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: made-up\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = [f"{path},,{len(text)}" for path, text in files.items()] + [f"{info}/RECORD,,"]
        files[f"{info}/RECORD"] = "\n".join([*record, ""])
        wheel = self.folder / f"{plain}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, text in files.items():
                archive.writestr(path, text)
        return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"

    def pages(self) -> set[str]:
        """The packages whose versions were asked for."""
        return {path.split("/")[2] for path in self.asked if path.startswith("/simple/")}

    def files(self) -> set[str]:
        """The wheels that were fetched."""
        return {path.rpartition("/")[2] for path in self.asked if path.startswith("/files/")}

    def environment(self) -> dict[str, str]:
        """What makes pip ask here, and nowhere else."""
        return {"PIP_INDEX_URL": f"{self.url}/simple", "PIP_CONFIG_FILE": "/dev/null", "PIP_NO_CACHE_DIR": "1"}


@contextmanager
def served(index: Index) -> Iterator[Index]:
    """Serve it, in a thread of its own."""

    class Asked(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index.asked.append(self.path)
            kind, name = self.path.split("/")[1:3]
            if kind == "simple":
                self._page(name)
            else:
                self._file(index.folder / name)

        def _page(self, name: str) -> None:
            found = sorted(wheel.name for wheel in index.folder.glob("*.whl") if _package(wheel) == name)
            links = "".join(f'<a href="/files/{html.escape(one)}">{html.escape(one)}</a><br>' for one in found)
            text = f"<!DOCTYPE html><html><body>{links}</body></html>".encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def _file(self, wheel: Path) -> None:
            if index.held and index.held in wheel.name:
                index.waits.set()
                index.go.wait()
            self.send_response(200)
            self.send_header("Content-Length", str(wheel.stat().st_size))
            self.end_headers()
            with wheel.open("rb") as file:
                shutil.copyfileobj(file, self.wfile)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """`asked` is the record."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
    index.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield index
    finally:
        index.go.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _package(wheel: Path) -> str:
    return re.sub(r"[-_.]+", "-", wheel.name.partition("-")[0]).lower()
