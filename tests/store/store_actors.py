"""A program for the tests: publishes as several processes at once, or is killed at a chosen step. Not a test itself."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from glacier_core.store import Output, Store

STEPS = frozenset({"open", "os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir"})


def publish_and_deliver(url: str) -> Output:
    """What is interrupted: two objects, one by a writer of its own, published and delivered."""
    store = Store(url)
    output = store.find("stage", "digest")
    if output is None:
        with store.attempt("stage", "digest") as attempt:
            attempt.write_bytes("a.bin", b"a" * 1000)
            (attempt.local_folder() / "b.bin").write_bytes(b"b" * 1000)
            output = attempt.publish(part={"k": 1}, inputs=["x"], version=1)
    store.deliver(output, "products/p")
    return output


def in_child(action: Callable[[], object], *, killed_at: int = 0) -> int:
    """Run in a forked process; the negative signal number if it was killed, else its exit status."""
    child = os.fork()
    if child == 0:
        os.environ["AWS_SDK_UA_APP_ID"] = f"kill-{os.getpid()}-at-{killed_at}"  # read by the tests' endpoint
        action()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at(step: int, root: str) -> None:
    """Die at this process's n-th change below a folder, as by `kill -9`, just before the change is made."""
    left = [step]

    def watch(event: str, given: tuple[object, ...]) -> None:
        if event not in STEPS or not str(given[0]).startswith(root):
            return
        if event == "open" and given[1] in ("r", "rb", None) and not (isinstance(given[2], int) and given[2] & 3):
            return
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def crash_at_each_step(folder: str) -> None:
    """Kill at step 1, 2, ... until nothing is left to kill; after each look, do it again, and look again."""
    for step in range(1, 200):
        root = f"{folder}/{step}"

        def dying(step: int = step, root: str = root) -> None:
            kill_at(step, root)
            publish_and_deliver(root)

        status = in_child(dying)
        store = Store(root)
        found = store.find("stage", "digest")
        if found is not None:
            found.verify()
        delivered = Path(root, "products/p/_published.json").exists()
        again = in_child(lambda root=root: publish_and_deliver(root))  # type: ignore[misc]
        output = store.read("stage", "digest")
        output.verify()
        store.collect(older_than_s=-60)
        report = {
            "status": status,
            "published": found is not None,
            "delivered": delivered,
            "again": again,
            "kept": found is None or found.record == output.record,
            "left": sorted(path.relative_to(root).as_posix() for path in Path(root).rglob("*") if path.is_file()),
            "attempt": output.record["attempt"],
        }
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()  # what is buffered would be written again by the next child
        if status == 0:
            return


def publish_at_once(url: str, processes: int) -> None:
    """Several processes publish one digest at the same moment; each tells whose attempt it got."""
    start_reading, start_writing = os.pipe()
    children = []
    for number in range(processes):
        child = os.fork()
        if child == 0:
            os.close(start_writing)
            store = Store(url)
            with store.attempt("stage", "digest") as attempt:
                attempt.write_bytes("who.txt", str(number).encode())
                os.read(start_reading, 1)  # until the parent closes its end
                output = attempt.publish(part={"number": number})
            who = output.read_bytes("who.txt").decode()
            report = {"own": attempt.name, "got": output.record["attempt"], "who": who}
            os.write(1, (json.dumps(report) + "\n").encode())
            os._exit(0)
        children.append(child)
    os.close(start_writing)
    for child in children:
        os.waitpid(child, 0)


def main() -> None:
    """`store_actors.py MODE URL [NUMBER]`."""
    mode, url = sys.argv[1], sys.argv[2]
    if url.startswith("s3:"):
        import s3fs  # noqa: F401  (before the processes part, so that each starts quickly)
    if mode == "crash":
        crash_at_each_step(url)
    elif mode == "publish":
        publish_at_once(url, int(sys.argv[3]))
    else:
        for step in range(1, int(sys.argv[3]) + 1):
            status = in_child(lambda step=step: publish_and_deliver(f"{url}/{step}"), killed_at=step)  # type: ignore[misc]
            sys.stdout.write(json.dumps({"status": status}) + "\n")
            sys.stdout.flush()  # what is buffered would be written again by the next child


if __name__ == "__main__":
    main()
