"""`serve`: an exported model behind HTTP."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from resgraph import limits
from resgraph.cli.common import require_file, say, warn
from resgraph.cli.inferring import InferDevice, Model, Tf32, Threads


def _limit(name: str, about: str) -> Any:
    return typer.Option(name, min=1, help=about)


MaxQueue = Annotated[int, _limit("--max-queue", "Images under way; then 503.")]
MaxBytes = Annotated[int, _limit("--max-bytes", "Of a request; then 413.")]
MaxPixels = Annotated[int, _limit("--max-pixels", "Of a picture; then 413.")]
MaxHeldBytes = Annotated[
    int,
    _limit("--max-held-bytes", "Of all bodies half here; then the slowest goes."),
]
MaxConnections = Annotated[
    int,
    _limit("--max-connections", "Kept waiting by clients; then the slowest goes."),
]
MaxPerAddress = Annotated[int, _limit("--max-per-address", "The same from one.")]
HeadTimeout = Annotated[
    float, _limit("--head-timeout", "Seconds for a request's head; then 408.")
]
BodyTimeout = Annotated[
    float, _limit("--body-timeout", "Seconds to send a body, or read an answer.")
]
MinRate = Annotated[float, _limit("--min-rate", "Bytes per second of a body.")]


def serve_command(
    model: Model,
    host: Annotated[
        str, typer.Option("--host", help="0.0.0.0 serves other machines too.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0 takes any free one.")
    ] = 8000,
    device: InferDevice = "auto",
    threads: Threads = None,
    tf32: Tf32 = False,
    max_batch: Annotated[
        int, typer.Option("--max-batch", min=1, help="Images computed together.")
    ] = 32,
    max_wait_ms: Annotated[
        float,
        typer.Option(
            "--max-wait-ms", min=0, help="How long an image waits for others."
        ),
    ] = 2.0,
    max_queue: MaxQueue = limits.SERVE_QUEUE,
    max_bytes: MaxBytes = limits.SERVE_REQUEST_BYTES,
    max_pixels: MaxPixels = limits.SERVE_PICTURE_PIXELS,
    max_held_bytes: MaxHeldBytes = limits.SERVE_HELD_BYTES,
    max_connections: MaxConnections = limits.SERVE_CONNECTIONS,
    max_per_address: MaxPerAddress = limits.SERVE_CONNECTIONS_PER_ADDRESS,
    head_timeout: HeadTimeout = limits.SERVE_HEAD_SECONDS,
    body_timeout: BodyTimeout = limits.SERVE_BODY_SECONDS,
    min_rate: MinRate = limits.SERVE_BODY_RATE,
) -> None:
    """Serve a model: POST /classify, GET /health, GET /metrics, and a page at /.

    Example: resgraph serve runs/demo/resnet20.onnx --port 8000
    """
    require_file(model)
    from resgraph.serve import require_extra

    require_extra()
    from resgraph.infer import Classifier
    from resgraph.serve.server import listen, serve
    from resgraph.serve.service import Settings

    settings = Settings(
        max_batch=max_batch,
        max_wait_ms=max_wait_ms,
        max_queue=max_queue,
        max_bytes=max_bytes,
        max_pixels=max_pixels,
        max_held_bytes=max_held_bytes,
        max_connections=max_connections,
        max_per_address=max_per_address,
        head_timeout=head_timeout,
        body_timeout=body_timeout,
        min_rate=min_rate,
    )
    listening = listen(host, port)
    classifier = Classifier(model, device, threads, tf32=tf32)
    for note in classifier.notes:
        warn(note)

    def started(address: str) -> None:
        say(f"{model.as_posix()} on {classifier.placement}")
        print(f"serving {address} (stop with Ctrl-C)", flush=True)

    serve(classifier, listening, settings, started)
    say("stopped")


COMMANDS = {"serve": serve_command}
