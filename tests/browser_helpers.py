"""A TensorBoard server and a headless Chromium for tests, both on the loopback, both gone when the test is over."""

import base64
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

# Without these Chromium looks up its maker's hosts at every start; and the projector needs WebGL, here without a GPU.
FLAGS = [
    *("--headless", "--no-sandbox", "--no-first-run", "--disable-dev-shm-usage", "--disable-extensions"),
    *("--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-gpu", "--enable-unsafe-swiftshader", "--hide-scrollbars", "--force-color-profile=srgb"),
]
# Every text on the page. TensorBoard hides most of its parts in shadow roots and a plugin in a frame, where no selector
# finds them.
DEEP = """
function deep(selector, root = document) {
  const found = [...root.querySelectorAll(selector)];
  for (const each of root.querySelectorAll('*')) {
    if (each.shadowRoot) found.push(...deep(selector, each.shadowRoot));
    if (each.tagName === 'IFRAME' && each.contentDocument) found.push(...deep(selector, each.contentDocument));
  }
  return found;
}
function shown(element) {
  const box = element.getBoundingClientRect();
  return box.width > 0 && box.height > 0;
}
function texts(selector = '*') {
  const hidden = ['STYLE', 'SCRIPT', 'TEMPLATE', 'TITLE'];
  const own = each => [...each.childNodes].filter(node => node.nodeType === 3).map(node => node.textContent).join('');
  return deep(selector).filter(each => !hidden.includes(each.tagName) && shown(each)).map(
    each => own(each).trim()).filter(text => text);
}
"""


def why_no_browser() -> str | None:
    """None where there is a Chromium and a driver for it, else what is missing."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    packages = "Debian's packages chromium and chromium-driver"
    return f"needs {' and '.join(missing)} ({packages})" if missing else None


class _Server:
    """A program that says in its output where it listens; ended with the block."""

    def __init__(self, command: list[str], pattern: str, **environment: str) -> None:
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.output: list[str] = []
        # Read on to the end, or the program stands still once the pipe is full.
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.found = self._wait_for(pattern, seconds=60)
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        with self._process.stdout as lines:
            for line in lines:
                self.output.append(line)
                self._lines.put(line)
        self._lines.put(None)

    def _wait_for(self, pattern: str, seconds: float) -> str:
        end = time.monotonic() + seconds
        while (line := self._lines.get(timeout=max(end - time.monotonic(), 0.01))) is not None:
            if match := re.search(pattern, line):
                return match[1]
        raise RuntimeError(f"{self._process.args} ended before it listened:\n{''.join(self.output)}")

    def close(self) -> None:
        """Asks the program to end, and makes it end where it does not."""
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class TensorBoard(_Server):
    """The server that people start by `tensorboard --logdir`, at `url`.

    Args:
        log_dir: The folder it shows.
    """

    def __init__(self, log_dir: Path) -> None:
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(log_dir), "--host", "127.0.0.1"]
        super().__init__([*command, "--port", "0"], r"TensorBoard .* at (http://127\.0\.0\.1:\d+/)")
        self.url = self.found


def fetch(url: str, body: object = None, method: str | None = None, seconds: float = 60) -> object:
    """What a server on the loopback answers, which is JSON.

    Args:
        url: Its address.
        body: What is sent, as JSON.
        method: GET, or POST where something is sent, unless told otherwise.
        seconds: How long the answer may take.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    # No proxy: it would not know this machine's loopback.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=seconds) as answer:
        return json.load(answer)


class Browser(_Server):
    """A headless Chromium, told what to do by the words of the WebDriver standard.

    Args:
        width: Of the window in pixels.
        height: Of the window in pixels.

    Reference:
        [WebDriver](https://www.w3.org/TR/webdriver2/)
    """

    def __init__(self, width: int = 1400, height: int = 900) -> None:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        # Chromium keeps crash reports and settings in HOME.
        command = [shutil.which("chromedriver"), "--port=0"]
        super().__init__(command, r"started successfully on port (\d+)", HOME=self._profile.name)
        try:
            flags = [*FLAGS, f"--window-size={width},{height}", f"--user-data-dir={self._profile.name}/profile"]
            options = {"binary": shutil.which("chromium"), "args": flags}
            wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            session = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
            self._session = f"/session/{session['sessionId']}"
        except BaseException:
            super().close()
            raise

    def _ask(self, method: str, path: str, body: object = None):
        try:
            return fetch(f"http://127.0.0.1:{self.found}{path}", body, method)["value"]
        except urllib.error.HTTPError as error:
            told = json.load(error)["value"]
            raise RuntimeError(f"{told['error']}: {told['message']}") from None

    def open(self, url: str) -> None:
        """Goes to an address, also where only what stands behind the # differs.

        Args:
            url: The address.
        """
        self._ask("POST", f"{self._session}/url", {"url": "about:blank"})
        self._ask("POST", f"{self._session}/url", {"url": url})

    def tell(self, command: str, **parameters: object):
        """What the browser answers to a command of its own protocol, as for a key that is pressed.

        Args:
            command: Such as "Emulation.setDeviceMetricsOverride".
            parameters: What the command takes.
        """
        return self._ask("POST", f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def as_phone(self, width: int = 390, height: int = 844) -> None:
        """Shows pages as a phone does, narrower than Chromium lets a window be.

        Args:
            width: Of the screen in pixels.
            height: Of the screen in pixels.
        """
        command = "Emulation.setDeviceMetricsOverride"
        self.tell(command, width=width, height=height, deviceScaleFactor=2, mobile=True)

    def run(self, script: str, *arguments: object):
        """What a script gives back that may use `deep`, `shown` and `texts`.

        Args:
            script: The body of a function in JavaScript.
            arguments: Its arguments.
        """
        return self._ask("POST", f"{self._session}/execute/sync", {"script": DEEP + script, "args": list(arguments)})

    def wait_for(self, script: str, *arguments: object, seconds: float = 120):
        """What the script gives back as soon as that is neither false nor empty.

        Args:
            script: The body of a function in JavaScript.
            arguments: Its arguments.
            seconds: How long to try.
        """
        end = time.monotonic() + seconds
        while True:
            if found := self.run(script, *arguments):
                return found
            if time.monotonic() > end:
                there = " | ".join(dict.fromkeys(self.run("return texts()")))
                raise AssertionError(f"After {seconds} s there is no {script} {arguments}. The page says: {there}")
            time.sleep(0.2)

    def screenshot(self) -> bytes:
        """What the window shows, as PNG."""
        return base64.b64decode(self._ask("GET", f"{self._session}/screenshot"))

    def complaints(self) -> list[str]:
        """The errors that the page has written into the browser's console since the last time."""
        entries = self._ask("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def close(self) -> None:
        """Closes the window, the driver and the profile."""
        try:
            self._ask("DELETE", self._session)
        finally:
            super().close()
            self._profile.cleanup()
