"""A language server as an editor drives it: JSON-RPC over the server's stdin and stdout."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, Queue
from typing import Any

PATIENCE = 30
"""Seconds until an answer is taken to be missing."""


class Server:
    """One server process; documents are opened from text, whether or not they exist."""

    def __init__(self, command: Sequence[str], root: Path) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
        )
        self.incoming: Queue[dict[str, Any] | None] = Queue()
        self.published: dict[str, list[dict[str, Any]]] = {}
        self.ids = 0
        threading.Thread(target=self._read, daemon=True).start()
        capabilities = {
            "textDocument": {
                "completion": {"completionItem": {"snippetSupport": True}},
                "hover": {"contentFormat": ["markdown"]},
                "publishDiagnostics": {},
            },
            "workspace": {"configuration": True},
        }
        self.request(
            "initialize",
            processId=None,
            rootUri=root.as_uri(),
            capabilities=capabilities,
            workspaceFolders=[{"uri": root.as_uri(), "name": root.name}],
        )
        self.notify("initialized")

    def open(self, path: Path, text: str) -> None:
        """Open a document; a path serves once, since answers may come late."""
        document = {
            "uri": path.as_uri(),
            "languageId": "yaml",
            "version": 1,
            "text": text,
        }
        self.notify("textDocument/didOpen", textDocument=document)

    def diagnostics(self, path: Path) -> list[dict[str, Any]]:
        """What the server says of an open document, as soon as it does."""
        while path.as_uri() not in self.published:
            self._take()
        return self.published[path.as_uri()]

    def at(self, method: str, path: Path, line: int, column: int) -> Any:
        """Ask `textDocument/METHOD` of a place; lines and columns count from 0."""
        return self.request(
            f"textDocument/{method}",
            textDocument={"uri": path.as_uri()},
            position={"line": line, "character": column},
        )

    def request(self, method: str, **params: Any) -> Any:
        self.ids += 1
        number = self.ids
        self._send({"id": number, "method": method, "params": params})
        while True:
            message = self._take()
            if message.get("id") == number and "method" not in message:
                assert "error" not in message, message
                return message["result"]

    def notify(self, method: str, **params: Any) -> None:
        self._send({"method": method, "params": params})

    def stop(self) -> None:
        self.request("shutdown")
        self.notify("exit")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()

    # --- messages -------------------------------------------------------------------

    def _take(self) -> dict[str, Any]:
        """The next message; what the server asks of the editor is answered on the way."""
        try:
            message = self.incoming.get(timeout=PATIENCE)
        except Empty:
            raise TimeoutError("the language server says nothing") from None
        assert message is not None, f"the server ended with {self.process.wait()}"
        if message.get("method") == "textDocument/publishDiagnostics":
            params = message["params"]
            self.published[params["uri"]] = params["diagnostics"]
        elif "method" in message and "id" in message:
            self._send({"id": message["id"], "result": _answer(message)})
        return message

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0"} | message).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def _read(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        length = 0
        for header in stream:
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            elif not header.strip():
                self.incoming.put(json.loads(stream.read(length)))
        self.incoming.put(None)


def _answer(message: dict[str, Any]) -> Any:
    """Settings: what they are in an editor that nobody configured, and no network."""
    if message["method"] != "workspace/configuration":
        return None
    settings: dict[str, Any] = {
        "yaml": {"schemaStore": {"enable": False}, "hover": True, "completion": True}
    }
    return [settings.get(item.get("section")) for item in message["params"]["items"]]
