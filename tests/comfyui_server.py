"""A real ComfyUI server with the pack in it, and what tests ask it.

``COMFYUI_PATH`` names a checkout of ComfyUI, ``COMFYUI_PYTHON`` the Python that has its requirements.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACK = ("__init__.py", "files", "hdnet", "nodes", "weights", "web", "locales", "subgraphs", "example_workflows")


class Refused(Exception):
    """The server did not take a prompt; holds its answer."""

    def __init__(self, answer):
        super().__init__(json.dumps(answer)[:2000])
        self.answer = answer


class Server:
    """ComfyUI on a free port of this machine, on the CPU, with folders of its own."""

    def __init__(self, folder, *options, **environment):
        self.base = Path(folder)
        for name in ("custom_nodes", "input", "output", "temp", "user", "models"):
            (self.base / name).mkdir(parents=True, exist_ok=True)
        pack = self.base / "custom_nodes" / "harmonize-composite"
        pack.mkdir(exist_ok=True)
        for name in PACK:
            if (ROOT / name).exists() and not (pack / name).exists():
                (pack / name).symlink_to(ROOT / name)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = self.base / "log.txt"
        arguments = [
            *(os.environ.get("COMFYUI_PYTHON", sys.executable), "main.py", "--cpu", "--disable-auto-launch"),
            *("--listen", "127.0.0.1", "--port", str(self.port), "--base-directory", str(self.base)),
            *("--database-url", "sqlite:///:memory:", *map(str, options)),
        ]
        self.process = subprocess.Popen(
            arguments,
            cwd=os.environ["COMFYUI_PATH"],
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        )
        try:
            self._wait_until_up()
        except BaseException:
            self.stop()
            raise

    def _wait_until_up(self):
        for _ in range(600):
            with contextlib.suppress(OSError):
                self.get("/system_stats")
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.5)
        raise RuntimeError(f"ComfyUI did not start:\n{self.log.read_text()[-4000:]}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            body = answer.read()
            return json.loads(body) if "json" in answer.headers.get("content-type", "") else body

    def post(self, path, body=None):
        data = json.dumps(body or {}).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
                return json.loads(text) if text else {}
        except urllib.error.HTTPError as error:
            with contextlib.suppress(ValueError):
                raise Refused(json.loads(error.read())) from None
            raise

    def queue(self, prompt):
        """Sends a prompt in API form; returns its id. Raises Refused."""
        return self.post("/prompt", {"prompt": prompt, "client_id": uuid.uuid4().hex})["prompt_id"]

    def wait(self, prompt_id, seconds=300):
        """The history of a prompt once it has ended: outputs, messages by kind, and the text of an error."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            entry = self.get(f"/history/{prompt_id}").get(prompt_id)
            if entry and entry["status"].get("status_str"):
                messages = dict(entry["status"]["messages"])
                error = messages.get("execution_error", {}).get("exception_message")
                return {"outputs": entry["outputs"], "messages": messages, "error": error}
            if self.process.poll() is not None:
                raise RuntimeError(f"ComfyUI died:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)
        raise TimeoutError(f"no result of {prompt_id}")

    def run(self, prompt):
        return self.wait(self.queue(prompt))

    def memory(self):
        """Resident memory of the server in MB (Linux)."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024


def api_form(workflow, definitions):
    """A saved workflow as the frontend would send it to ``/prompt``.

    Args:
        workflow: Of an ``example_workflows`` file; without subgraphs and reroutes.
        definitions: The server's ``/object_info``.
    """
    links = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        if node["type"] in ("Note", "MarkdownNote"):
            continue
        known = definitions[node["type"]]["input"]
        values = iter(node.get("widgets_values") or [])
        inputs = {}
        for name, kind, options in _flat(known):
            _take(inputs, name, kind, options, values)
        for socket_ in node.get("inputs") or []:
            if socket_.get("link") is not None:
                inputs[socket_["name"]] = links[socket_["link"]]
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def _flat(inputs):
    for group in ("required", "optional"):
        for name, (kind, *options) in (inputs.get(group) or {}).items():
            yield name, kind, (options or [{}])[0]


def _take(inputs, name, kind, options, values):
    if options.get("socketless") is False or options.get("forceInput"):
        return
    if isinstance(kind, list) or kind in ("COMBO", "INT", "FLOAT", "STRING", "BOOLEAN"):
        with contextlib.suppress(StopIteration):
            inputs[name] = next(values)
    elif kind == "COMFY_DYNAMICCOMBO_V3":
        inputs[name] = next(values)
        chosen = next(each for each in options["options"] if each["key"] == inputs[name])
        for inner, inner_kind, inner_options in _flat(chosen["inputs"]):
            _take(inputs, f"{name}.{inner}", inner_kind, inner_options, values)
