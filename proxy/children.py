"""The end of a process that we started."""

import subprocess


def end_process(process: subprocess.Popen[bytes], within_s: float) -> None:
    """Ask it to end, then make it. It holds the end of a pipe, if it has one, until then. May be called again."""
    process.terminate()
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()
