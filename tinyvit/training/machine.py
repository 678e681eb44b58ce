"""This machine, for whoever reads a figure that was measured on it."""

import datetime
import os
import platform
import re
from pathlib import Path

import numpy as np


def machine():
    """Processor, cores, system, versions, and today, in one line."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    processor = names[0] if names else platform.processor() or platform.machine()
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}; {versions}; {datetime.date.today()}"
