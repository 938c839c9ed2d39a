"""`mplus serve`: the query service, with readers and writers, on a Ray of this machine or any."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mplus_ray.services.cli.options import (
    CheckpointOption,
    DataOption,
    JsonOption,
    RayAddressOption,
    bounds,
)

if TYPE_CHECKING:
    from mplus_ray.services.serving.deployment import Address
    from mplus_ray.services.serving.first_keys import FirstKeys

_BYTES = re.compile(r"(\d{1,15})([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)
_UNITS = ("", "K", "M", "G", "T")


def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 for all of this machine.")
    ] = "127.0.0.1",
    readers: Annotated[
        str, typer.Option(metavar="MIN:MAX", help="Readers, as many as the questions want.")
    ] = "1:1",
    writers: Annotated[
        str,
        typer.Option(
            metavar="MIN:MAX",
            help="Writers, as many as the backlog wants; 0 if `mplus memorize` runs elsewhere.",
        ),
    ] = "1:1",
    slots: Annotated[
        int, typer.Option(min=1, max=1024, help="Questions that a reader answers at a time.")
    ] = 32,
    queue: Annotated[
        int, typer.Option(min=0, max=5000, help="Questions that may wait in a reader.")
    ] = 256,
    device_memory: Annotated[
        str | None,
        typer.Option(
            metavar="BYTES",
            help="Of tenants' memories on a reader's device (8G is 8 GiB); by default half of what "
            "weights leave free there, or an eighth of RAM.",
            show_default=False,
        ),
    ] = None,
    host_memory: Annotated[
        str | None,
        typer.Option(
            metavar="BYTES",
            help="Of tenants' memories in a reader's RAM; by default an eighth of it.",
            show_default=False,
        ),
    ] = None,
    reader_cpus: Annotated[
        float | None, typer.Option(min=0, help="Of one reader, for Ray.", show_default=False)
    ] = None,
    reader_gpus: Annotated[
        float | None, typer.Option(min=0, help="Of one reader, for Ray.", show_default=False)
    ] = None,
    writer_cpus: Annotated[
        float | None, typer.Option(min=0, help="Of one writer, for Ray.", show_default=False)
    ] = None,
    writer_gpus: Annotated[
        float | None, typer.Option(min=0, help="Of one writer, for Ray.", show_default=False)
    ] = None,
    ray_address: RayAddressOption = None,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Answer questions over HTTP and memorize what comes in, until Ctrl-C.

    The first start of an installation prints an operator's key and one of the tenant `default`;
    they are not shown again. Ctrl-C lets answers come to their end and writers commit; a second
    one does not wait.
    """
    from mplus_ray.services.serving.process.environment import set_serve_environment

    set_serve_environment(own_ray=ray_address is None)
    from mplus_ray.pipeline.workers.fleet import Scale
    from mplus_ray.services.cli.output import stderr
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.serving.application import Budget, Readership
    from mplus_ray.services.serving.deployment import Address
    from mplus_ray.services.serving.placement import ResourceRequest
    from mplus_ray.services.serving.process.signals import Signals
    from mplus_ray.services.serving.service import Service, ServiceSpec
    from mplus_ray.services.settings import Settings

    settings = Settings.read(data, checkpoint)
    budget = Budget(_size(device_memory), _size(host_memory), slots, queue)
    readership = Readership(*bounds("--readers", readers), budget=budget)
    smallest, largest = bounds("--writers", writers)
    scale = Scale(smallest, largest) if largest else None
    system = Embedded(settings)
    wanted = ServiceSpec(
        installation=system.installation,
        model_name=_check_checkpoint(settings.checkpoint),
        address=Address(host, port),
        readership=readership,
        writers=scale,
        demand=ResourceRequest(
            readership.largest, largest, reader_cpus, reader_gpus, writer_cpus, writer_gpus
        ),
        ray_address=ray_address,
        cross_origin=settings.cross_origin,
        webhook_hosts=settings.webhook_hosts,
    )
    console = stderr()
    told = _Told(json)
    with system, Signals() as signals:
        service = Service(wanted, system.ledger, signals, lambda text: console.print(text))
        try:
            service.run(told.keys, told.ready)
        except KeyboardInterrupt:
            console.print("stopped before it was ready")
            raise typer.Exit(130) from None
    console.print("stopped")


class _Told:
    """What the service says on standard output, for people or as JSON."""

    def __init__(self, json: str | None) -> None:
        self._json = json
        self._keys: FirstKeys | None = None

    def keys(self, keys: FirstKeys) -> None:
        """Once, and nowhere else."""
        self._keys = keys
        if self._json != "-":
            print(*keys.lines(), sep="\n", flush=True)

    def ready(self, address: Address) -> None:
        from mplus_ray.services.cli.output import human, write_json

        keys = self._keys
        found = {"operator_key": keys.operator, "api_key": keys.tenant} if keys else {}
        write_json(self._json, {"url": address.url, **found})
        sys.stdout.flush()
        out = human(self._json)
        out.print(f"mplus answers at {address.url}; try it:")
        out.print(
            f"  curl {address.url}/v1/query -H 'Authorization: Bearer '$MPLUS_API_KEY "
            '--json \'{"question": "Who lives in Dorvas?"}\'',
            markup=False,
        )
        out.file.flush()


def _check_checkpoint(source: str) -> str:
    """The model's name, if there is one; a later error would have started much in vain."""
    from mplus_ray.model.checkpoint.hub import checkpoint_name, find_checkpoint
    from mplus_ray.model.config import ModelConfig
    from mplus_ray.model.generation.tokenizer import TextTokenizer

    folder = find_checkpoint(source)
    ModelConfig.load(folder)
    TextTokenizer.load(folder)
    return checkpoint_name(source)


def _size(text: str | None) -> int | None:
    """Bytes, with a unit of 1024 or none."""
    from mplus_ray.model.errors import InvalidInputError

    if text is None:
        return None
    found = _BYTES.fullmatch(text.strip())
    if found is None:
        raise InvalidInputError(f"{text!r} is no size; give bytes, or for example 512M or 8G")
    return int(found[1]) << 10 * _UNITS.index(found[2].upper())
