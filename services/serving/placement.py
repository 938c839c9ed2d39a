"""What runs where: room for readers and writers, and what a cluster has to be able to reach."""

from __future__ import annotations

import errno
import math
import random
import resource
import socket
from dataclasses import dataclass, replace

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.installation import Installation
from mplus_ray.pipeline.workers.ray_worker import Needs

_INGRESS_CPUS = 1  # more than it asks for
# Ports above those of Ray's workers, and below those that Linux gives to connections by default.
_UNASKED = range(20_000, 32_768)
_PORT_TRIES = 8
_OPEN_FILES = 1024  # with fewer, processes fail one after the other, or few clients get in


@dataclass(frozen=True)
class ResourceRequest:
    """What somebody asked for on the command line; None is a share of what there is.

    Attributes:
        readers, writers: how many there may be at most.
        reader_cpus, reader_gpus: of one reader.
        writer_cpus, writer_gpus: of one writer.
    """

    readers: int
    writers: int
    reader_cpus: float | None = None
    reader_gpus: float | None = None
    writer_cpus: float | None = None
    writer_gpus: float | None = None

    def settled(self, cpus: int, gpus: int) -> ResourceRequest:
        """With a share of these CPUs and GPUs for each, where nothing was asked for.

        CPUs are counted, not bound: they also say how many computing threads an actor has,
        unless OMP_NUM_THREADS does.
        """
        each = self.readers + self.writers
        cpu, gpu = float(max(1, cpus // each)), gpus / each if gpus < each else 1.0
        return replace(
            self,
            reader_cpus=cpu if self.reader_cpus is None else self.reader_cpus,
            writer_cpus=cpu if self.writer_cpus is None else self.writer_cpus,
            reader_gpus=gpu if self.reader_gpus is None else self.reader_gpus,
            writer_gpus=gpu if self.writer_gpus is None else self.writer_gpus,
        )

    @property
    def reader(self) -> Needs:
        return Needs(self.reader_cpus or 0.0, self.reader_gpus or 0.0)

    @property
    def writer(self) -> Needs:
        return Needs(self.writer_cpus or 0.0, self.writer_gpus or 0.0)

    @property
    def cpus(self) -> int:
        """That a Ray of one machine has to count, so that all find a place, one writer more
        among them to repair memories."""
        readers, writers = self.readers * self.reader.cpus, (self.writers + 1) * self.writer.cpus
        return math.ceil(readers + writers) + _INGRESS_CPUS


def check_reach(installation: Installation, nodes: int) -> None:
    """Refuse files of one machine where there are several.

    Raises:
        InvalidInputError: what they cannot reach, and what to set.
    """
    if nodes <= 1:
        return
    local = []
    if installation.ledger_url.startswith("sqlite"):
        local.append("the ledger is a file of this machine: set MPLUS_LEDGER_URL to PostgreSQL")
    if "://" not in installation.store.url or installation.store.url.startswith("file:"):
        local.append("the store is a folder of this machine: set MPLUS_STORE_URL to a bucket")
    if local:
        raise InvalidInputError(
            f"the cluster has {nodes} nodes, and they cannot reach everything; {'; '.join(local)}"
        )


def free_port(host: str, port: int) -> int:
    """The port, which nobody else has at the moment; 0 takes any.

    That one is none of those that the system gives to connections, if possible: it is bound only
    when Ray has started, and Ray makes hundreds.

    Raises:
        InvalidInputError: it is taken, or the host is not this machine.
    """
    failed: Exception | None = None
    for one in [port] if port else [*random.sample(_UNASKED, _PORT_TRIES), 0]:
        try:
            return _bound(host, one)
        except (OSError, OverflowError) as error:
            failed = error
            if getattr(error, "errno", None) != errno.EADDRINUSE:
                break  # another port would not help
    raise InvalidInputError(
        f"cannot serve at {host}:{port}: {failed}; give another --port or --host"
    ) from failed


def check_open_files() -> None:
    """Whether this user may have as many files open as a service needs.

    Raises:
        InvalidInputError: fewer; says how to have more.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < _OPEN_FILES:
        raise InvalidInputError(
            f"this user may have {most} files and connections open, and the service needs "
            f"{_OPEN_FILES:,}; raise it with `ulimit -n 65536`, or LimitNOFILE=65536 in systemd"
        )


def _bound(host: str, port: int) -> int:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((host, port))
        return int(trial.getsockname()[1])
