"""A server of files on this machine, for tests of folders that are elsewhere."""

import contextlib
import threading

import pytest


@contextlib.contextmanager
def serving(folder):
    """Serves a folder for as long as the context lasts; gives its address."""
    pytest.importorskip("pyftpdlib")
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import ThreadedFTPServer

    authorizer = DummyAuthorizer()
    authorizer.add_user("user", "word", str(folder), perm="elradfmwMT")
    handler = type("Handler", (FTPHandler,), {"authorizer": authorizer, "log": lambda *_, **__: None})
    server = ThreadedFTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"ftp://user:word@127.0.0.1:{server.address[1]}"
    finally:
        server.close_all()
        thread.join()
