"""`harmonize app`: a page for the browser. It runs as a Hugging Face Space too, see docs/app.md."""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import threading
from pathlib import Path

from .arguments import add_common_arguments, count

HOST = "127.0.0.1"
ICON = Path(__file__).parents[1] / "web" / "icon.png"
LARGEST_UPLOAD = "1gb"  # 128 megapixels in 16 bits with alpha


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `harmonize app`."""
    parser.epilog = (
        "The page is for this machine alone unless --host says otherwise; then everyone who reaches the machine can "
        "use it. It asks nothing of other machines. What is uploaded is removed after two hours and at the end. The "
        "options of harmonizing are those that the page begins with. Needs the extra 'app'."
    )
    parser.add_argument("--host", default=HOST, help="address to listen at; 0.0.0.0 is all (default: %(default)s)")
    parser.add_argument("--port", metavar="N", type=count, help="default: the first from 7860 on that is free")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    add_common_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serves the page until it is interrupted.

    Raises:
        ValueError: It cannot listen at this address.
    """
    ended = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        with tempfile.TemporaryDirectory(prefix="harmonize-app-", ignore_cleanup_errors=True) as folder:
            _serve(Path(folder).resolve(), args, ended)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


def _serve(folder: Path, args: argparse.Namespace, ended: threading.Event) -> None:
    # Gradio reads these when it is imported and when a page is made
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    from .app_page import CSS, build, theme

    page = build(folder, args)
    try:
        page.launch(
            server_name=args.host,
            server_port=args.port,
            inbrowser=args.open,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            run_history=False,
            footer_links=[],
            ssr_mode=False,
            mcp_server=False,
            enable_monitoring=False,
            max_file_size=LARGEST_UPLOAD,
            favicon_path=ICON,
            theme=theme(),
            css=CSS,
        )
        print(f"{page.local_url} is ready; Ctrl-C ends it", flush=True)
        while not ended.wait(1):  # without a limit, Windows would not hear Ctrl-C
            pass
    except OSError as error:
        raise ValueError(f"{args.host}, port {args.port or 'from 7860 on'}: no page can be served there.") from error
    finally:
        page.close(verbose=False)
