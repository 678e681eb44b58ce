"""A page in a headless Chromium: what a driver script finds on it, what it asks for, and what goes wrong."""

import json
import re
import shutil
import subprocess

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr")
SCRIPT = """
<script>
const errors = [];
window.addEventListener("error", event => errors.push(event.message));
document.addEventListener("securitypolicyviolation", event => errors.push("asked for " + event.blockedURI));
</script>
"""


def driven(html, driver, folder, width=1000, *, virtual_time=True, timeout=120, options=()):
    """What a driver script left in the page's element #found, as JSON, and what the browser said on its console.

    In virtual time timers wait for nothing, and clocks stand still while a script runs: what measures time, within its
    load event, goes without. `options` are further ones of the browser.
    """
    file = folder / "page.html"
    doctype = re.match("(<!doctype html>)?", html, re.IGNORECASE)[0]
    file.write_text(doctype + SCRIPT + html.removeprefix(doctype) + driver, encoding="utf-8")
    window = (f"--window-size={width},900", f"--user-data-dir={folder / 'profile'}")
    clock = ("--virtual-time-budget=5000",) if virtual_time else ()
    command = [BROWSER, *OPTIONS, *options, *window, *clock, "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")), console
