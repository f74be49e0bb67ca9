"""The providers' own SDKs accept the simulator for the real thing."""

import re
import subprocess
from pathlib import Path

import pytest

from proxy.demo.process import SimulatorProcess
from proxy.demo.scenario import CLIENTS
from tests.support.processes import clients_python, environment

CHECKS = Path(__file__).with_name("sdk_calls.py")
NAMES = (
    "openai_chat",
    "openai_parsed",
    "openai_responses",
    "openai_rest",
    "openai_async",
    "anthropic",
    "gemini",
    "litellm",
    "langchain",
)
# Some SDKs look for price lists and tokenizers on the internet.
OFFLINE = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}

pytestmark = pytest.mark.skipif(clients_python() is None, reason="needs the SDKs: make clients")


@pytest.mark.parametrize("name", NAMES)
def test_sdk_accepts_the_answers(simulator_process: SimulatorProcess, tmp_path: Path, name: str) -> None:
    environ = environment(tmp_path, SSL_CERT_FILE=str(simulator_process.ca), **OFFLINE)
    command = [str(clients_python()), str(CHECKS), f"https://{simulator_process.address}", name]
    done = subprocess.run(command, env=environ, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_demos_applications_import_nothing_of_ours() -> None:
    text = CLIENTS.read_text()
    imported = re.findall(r"^ *(?:import|from) ([\w.]+)", text, re.MULTILINE)
    assert not {"proxy", "addons", "config"} & {name.partition(".")[0] for name in imported}
    assert "base_url" not in text
