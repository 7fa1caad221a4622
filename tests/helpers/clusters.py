"""Clusters on this machine: a head and workers that are processes of their own, each with its own loopback address.

A node is what one command starts, in a session of its own; `kill` ends all of it with SIGKILL, as if a machine is lost.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from helpers.paths import ENVIRONMENT

HEAD = "127.0.0.2"
_OPENINGS = """
import os, sys
def hook(event, arguments):
    if event == "open" and str(arguments[0]) == os.environ["TRIAL_CARD"]:
        with open(os.environ["TRIAL_LOG"], "a") as log:
            log.write(f"{os.environ['TRIAL_NODE']} {os.getpid()}\\n")
sys.addaudithook(hook)
"""


class Cluster:
    """A head and its workers, each with one core.

    Attributes:
        folder: of logs and temporary files, with a short path, since those of sockets are limited.
        artifact: the model; who opens it is written down.
        environment: of a driver.
        options: of `synthmed generate`, which name the cluster.
    """

    environment: dict[str, str]
    options: tuple[str, ...]

    def __init__(self, folder: Path, artifact: Path):
        self.folder = folder
        self._log = folder / "openings"
        (folder / "sitecustomize.py").write_text(_OPENINGS)
        self.environment = ENVIRONMENT | {"TF_NUM_INTRAOP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        self.environment |= {"PYTHONPATH": f"{folder}{os.pathsep}{ENVIRONMENT['PYTHONPATH']}", "TRIAL_NODE": "driver"}
        self.environment |= {"TRIAL_CARD": str(artifact / "card.json"), "TRIAL_LOG": str(self._log)}
        self._port = free_port(HEAD)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str, **more: str) -> subprocess.Popen[bytes]:
        """Starts a node, or a driver."""
        with open(self.folder / f"{name}.log", "ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                env=self.environment | {"TRIAL_NODE": name} | more,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self._processes[name]

    def generate(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts a driver."""
        return self.start(name, sys.executable, "-m", "synthmed_tf", "generate", *self.options, *arguments)

    def add_worker(self, number: int) -> None:
        raise NotImplementedError

    def kill(self, name: str) -> None:
        """Ends every process of a node with SIGKILL."""
        node = self._processes.pop(name)
        while processes := list(_of_session(node.pid)):
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            node.poll()
            time.sleep(0.1)

    def openings(self) -> dict[str, list[int]]:
        """How often each process of each node opened the artifact."""
        counts = Counter(self._log.read_text().splitlines())
        found: dict[str, list[int]] = {}
        for line, count in counts.items():
            found.setdefault(line.split()[0], []).append(count)
        return found

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def close(self) -> None:
        for name in list(self._processes):
            self.kill(name)


class RayCluster(Cluster):
    """Of `ray start`."""

    def __init__(self, folder: Path, artifact: Path):
        super().__init__(folder, artifact)
        address = f"{HEAD}:{self._port}"
        self.options = ("--engine", "ray", "--engine-option", f"address={address}")
        self.environment |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
        self._ray = (str(Path(sys.executable).with_name("ray")), "start", "--block")
        self._start("head", "--head", *self._node(HEAD), f"--port={self._port}", *self._head())

    def add_worker(self, number: int) -> None:
        where = self._node(f"127.0.0.{number + 2}")
        self._start(f"worker{number}", f"--address={HEAD}:{self._port}", *where, "--num-cpus=1")

    def _start(self, name: str, *options: str) -> None:
        """Ray gives up if a node is not there in 30 seconds, which a busy machine does not promise: then once more."""
        self.start(name, "sh", "-c", 'until "$@"; do sleep 1; done', "sh", *self._ray, *options)
        wait_for(lambda: "Ray runtime started" in self.said(name))

    def _node(self, address: str) -> tuple[str, ...]:
        # With a port of its own choice an agent must start within 15 seconds, which a busy machine does not promise.
        names = (
            "dashboard-agent-grpc-port",
            "dashboard-agent-listen-port",
            "metrics-export-port",
            "runtime-env-agent-port",
        )
        ports = (f"--{name}={free_port(address)}" for name in names)
        return (f"--node-ip-address={address}", f"--temp-dir={self.folder}", "--object-store-memory=100000000", *ports)

    def _head(self) -> tuple[str, ...]:
        return ("--num-cpus=0", "--include-dashboard=false", "--disable-usage-stats")


class SparkCluster(Cluster):
    """Of Spark's standalone master and workers."""

    def __init__(self, folder: Path, artifact: Path):
        super().__init__(folder, artifact)
        master = f"spark://{HEAD}:{self._port}"
        settings = (f"spark.master={master}", "spark.executor.memory=1g", "spark.ui.enabled=false")
        self.options = ("--engine", "spark", *(f"--engine-option={setting}" for setting in settings))
        home = Path(importlib.util.find_spec("pyspark").origin).parent
        self.environment |= {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": HEAD, "SPARK_LOCAL_DIRS": str(folder / "local")}
        self._class = str(home / "bin" / "spark-class")
        self._master = master
        where = ("--host", HEAD, "--port", str(self._port), "--webui-port", "0")
        self.start("head", self._class, "org.apache.spark.deploy.master.Master", *where)
        wait_for(lambda: _answers(HEAD, self._port))

    def add_worker(self, number: int) -> None:
        name, address = f"worker{number}", f"127.0.0.{number + 2}"
        size = ("--cores", "1", "--memory", "2g", "--webui-port", "0", "--work-dir", str(self.folder / name))
        worker = (self._class, "org.apache.spark.deploy.worker.Worker", "--host", address, *size, self._master)
        self.start(name, *worker, SPARK_LOCAL_IP=address)


CLUSTERS = {"ray": RayCluster, "spark": SparkCluster}


@contextlib.contextmanager
def cluster(engine: str, artifact: Path) -> Iterator[Cluster]:
    """A cluster of a head and two workers, which ends with the context."""
    folder = Path(tempfile.mkdtemp(prefix="synthmed-"))
    made = CLUSTERS[engine].__new__(CLUSTERS[engine])
    try:
        made.__init__(folder, artifact)
        made.add_worker(1)
        made.add_worker(2)
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(condition, seconds: float = 2400) -> None:
    """Raises TimeoutError if the condition does not come true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


def free_port(address: str) -> int:
    with socket.socket() as listening:
        listening.bind((address, 0))
        return listening.getsockname()[1]


def _answers(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


def _of_session(session: int) -> Iterator[int]:
    """The processes of a session that have not ended."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its_session = status.read_text().rpartition(") ")[2].split()[:4]
            if int(its_session) == session and state not in "ZX":
                yield int(status.parent.name)
