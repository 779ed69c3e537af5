"""As much of the Hugging Face Hub, on this machine, as its client asks to download a file."""

import hashlib
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RESOLVE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>[^?]+)")


class Hub(ThreadingHTTPServer):
    """Serves `files` of the one repository `repo`; large files lie elsewhere, as with LFS.

    Attributes:
        repo: ``owner/name``.
        files: Contents by name, the same for every one of `revisions`.
        revisions: Branches, tags and commits.
        promised: Digests to give for a file in place of its own.
        cuts: How many times yet the connection breaks in the middle of a large file.
        status: In place of an answer to all requests.
        asked: Requests seen, as ``"GET /owner/name/resolve/main/file"``.
        trusted: Those of them that brought a token.
    """

    daemon_threads = True

    def __init__(self, repo, files):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repo, self.files, self.revisions = repo, files, ("main", "v1", COMMIT)
        self.promised, self.cuts, self.status = {}, 0, None
        self.asked, self.trusted = [], []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def hub(repo, files):
    """Runs a :class:`Hub` for as long as the block lasts."""
    server = Hub(repo, files)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        hub = self.server
        hub.asked.append(f"{self.command} {self.path}")
        if "Authorization" in self.headers:
            hub.trusted.append(hub.asked[-1])
        if hub.status:
            return self.reply(hub.status)
        if self.path.startswith("/large/"):
            return self.send_large(hub.files[self.path.removeprefix("/large/")])
        match = RESOLVE.fullmatch(self.path)
        if not match or match["repo"] != hub.repo:
            # the Hub says so to strangers, lest they learn which private repositories there are
            return self.reply(401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        if match["revision"] not in hub.revisions:
            return self.reply(404, {"X-Error-Code": "RevisionNotFound"})
        name = match["file"]
        if name not in hub.files:
            return self.reply(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        digest = hub.promised.get(name) or hashlib.sha256(hub.files[name]).hexdigest()
        facts = {
            "X-Repo-Commit": COMMIT,
            "X-Linked-Size": str(len(hub.files[name])),
            "X-Linked-Etag": f'"{digest}"',
            "Location": f"http://localhost:{hub.server_port}/large/{name}",  # by name: to the client another host
        }
        self.reply(302, facts)

    def send_large(self, data):
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        rest = data[int(start[1]) :] if start else data
        facts = {"Content-Range": f"bytes {len(data) - len(rest)}-{len(data) - 1}/{len(data)}"} if start else {}
        self.reply(206 if start else 200, facts, len(rest))
        if self.command == "GET":
            cut = self.server.cuts > 0
            self.server.cuts -= cut
            self.wfile.write(rest[: len(rest) // 2] if cut else rest)

    def reply(self, status, headers=(), size=0):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def log_message(self, *_):
        pass
