"""``serve``: the memory over HTTP."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, List, Optional  # noqa: UP035

import typer

from bruno_memory_vec.surfaces.cli.options import Embedder, Json, Profile, Sessions, Store
from bruno_memory_vec.surfaces.cli.running import MISUSED, CliError, Out, execute

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastapi import FastAPI
    from starlette.routing import BaseRoute

    from bruno_memory_vec.memory import VectorMemory
    from bruno_memory_vec.surfaces.http.settings import ServerSettings
    from bruno_memory_vec.surfaces.http.tokens import Tokens

# Optional[X] and List[X]: typer evaluates these on Python 3.10 too.
# ruff: noqa: UP006, UP045


TokenFile = Annotated[
    Optional[Path],
    typer.Option(
        "--tokens",
        metavar="FILE",
        help="The file of tokens: who may call. Without it everybody who reaches the server may do "
        "everything, so it listens on this machine only.",
    ),
]


def serve(
    store: Store = None,
    sessions: Sessions = None,
    embedder: Embedder = None,
    profile: Profile = None,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=65535, help="0 for a free one.")
    ] = 8420,
    tokens: TokenFile = None,
    user: Annotated[
        Optional[str],
        typer.Option("--user", "-u", metavar="USER", help="Whose rows, where a call names nobody."),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Only read, beside a process that writes.")
    ] = False,
    allow_host: Annotated[
        Optional[List[str]],
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="A name by which the server is called, beside this machine's own; * for any.",
        ),
    ] = None,
    certificate: Annotated[
        Optional[Path],
        typer.Option("--certificate", metavar="FILE", help="A PEM file: speak TLS."),
    ] = None,
    certificate_key: Annotated[
        Optional[Path], typer.Option("--certificate-key", metavar="FILE", help="Its key.")
    ] = None,
    trust_proxy: Annotated[
        Optional[List[str]],
        typer.Option(
            "--trust-proxy",
            metavar="ADDRESS",
            help="The address or network of a proxy in front, whose X-Forwarded-For and "
            "X-Forwarded-Proto are believed; may be given several times.  [default: nobody's are]",
            show_default=False,
        ),
    ] = None,
    body_mb: Annotated[
        int, typer.Option("--body-mb", min=1, max=4096, help="The largest body of a call, in MiB.")
    ] = 8,
    upload_mb: Annotated[
        int, typer.Option("--upload-mb", min=1, help="The largest upload, in MiB.")
    ] = 1024,
    concurrent: Annotated[
        int, typer.Option("--concurrent", min=1, help="Calls of one token at once.")
    ] = 32,
    per_minute: Annotated[
        int, typer.Option("--per-minute", min=0, help="Calls of one token a minute; 0 for any.")
    ] = 0,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds until an answer begins.")
    ] = 60.0,
    metrics_port: Annotated[
        Optional[int],
        typer.Option(
            "--metrics-port",
            min=1,
            max=65535,
            help="Answer Prometheus on this port of the loopback too, without a token.",
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Show it in a browser.")] = False,
    json: Json = False,
) -> None:
    """Serve the memory over HTTP.

    It ends in order at Ctrl-C or SIGTERM: calls under way are answered, and what is pending is
    written. With --json one document says where it listens.
    """

    async def work(out: Out) -> int:
        from bruno_memory_vec.memory import VectorMemory
        from bruno_memory_vec.surfaces.cli.opening import bars, configuration
        from bruno_memory_vec.surfaces.cli.token import opened_tokens
        from bruno_memory_vec.surfaces.http import make_app, needs
        from bruno_memory_vec.surfaces.http.settings import MIB, ServerSettings

        needs("fastapi", "uvicorn")
        from bruno_memory_vec.surfaces.http.running import is_loopback, trusted

        proxies = trusted(trust_proxy or ())
        allowed = None if tokens is None else opened_tokens(out, tokens)
        reached = "the proxy passes calls on" if proxies else f"{host} can be reached"
        only_here = is_loopback(host) and not proxies
        _check(reached, allowed, only_here, certificate, certificate_key)
        settings = ServerSettings(
            hosts=(*(allow_host or ()), *(() if _is_any(host) else (host,))),
            body_bytes=body_mb * MIB,
            upload_bytes=upload_mb * MIB,
            concurrent=concurrent,
            per_minute=per_minute,
            timeout_s=timeout,
            user_id=user,
        )
        config = configuration(store, embedder, profile, sessions)
        config = config.model_copy(update={"read_only": read_only or config.read_only})
        if metrics_port is not None and config.metrics in (False, "process"):
            config = config.model_copy(update={"metrics": True})
        with bars(out) as progress:
            memory = VectorMemory(config=config, progress=progress)
            try:
                # Now, so that what is wrong with the store is told like in any other command.
                await memory.connect()
                routes = pages(memory, allowed, settings)
                app = make_app(memory, tokens=allowed, settings=settings, routes=routes)
                with _metrics_on(out, metrics_port, memory):
                    tls = (certificate, certificate_key)
                    await _serve(out, app, host, port, tls, proxies, open_page)
            finally:
                await memory.close()
        return 0

    execute(json, work)


def pages(
    memory: VectorMemory, tokens: Tokens | None, settings: ServerSettings
) -> Sequence[BaseRoute]:
    """The routes beside the API's: the pages of the inspector."""
    from bruno_memory_vec.surfaces.inspector import routes_of

    return routes_of(memory, tokens=tokens, user_id=settings.user_id)


@contextmanager
def _metrics_on(out: Out, port: int | None, memory: VectorMemory) -> Iterator[None]:
    """Around serving: scrapes are answered on a port of the loopback, where one is named."""
    if port is None:
        yield
        return
    from bruno_memory_vec.observability import serve_metrics

    chosen = memory.config.metrics
    try:
        end = serve_metrics(port, registry=None if chosen is True else chosen)
    except OSError as error:
        raise CliError(f"--metrics-port {port}: {error.strerror}", "Name another port.") from error
    if not out.as_json:
        out.say(f"metrics: http://127.0.0.1:{port}/metrics")
    try:
        yield
    finally:
        end()


async def _serve(
    out: Out,
    app: FastAPI,
    host: str,
    port: int,
    tls: tuple[Path | None, Path | None],
    proxies: Sequence[str],
    open_page: bool,
) -> None:
    from bruno_memory_vec.config import masked
    from bruno_memory_vec.surfaces.http.running import Server, address_of, listening

    store, tokens = masked(app.state.memory.config.url), app.state.tokens
    with listening(host, port) as sock:
        url = address_of(sock, host, tls=tls[0] is not None)

        def listens() -> None:
            if out.as_json:
                out.result(
                    {
                        "url": url,
                        "api": f"{url}/v1",
                        "pages": f"{url}/inspector/",
                        "store": store,
                    }
                )
            else:
                who = "everybody on this machine"
                if tokens is not None:
                    who = f"who has a token of {tokens.path}"
                out.say(f"{url}  serves {store}")
                out.say(f"Pages: {url}/inspector/")
                out.say(f"API: {url}/v1, described by {url}/openapi.json. Who may call: {who}.")
                out.say("Ctrl-C ends it.")
            if open_page:
                import webbrowser

                webbrowser.open(url)

        server = Server(app, listens, certificate=tls[0], certificate_key=tls[1], proxies=proxies)
        await server.serve([sock])
    if not out.as_json:
        out.say("ended; everything is written")


def _check(
    reached: str,
    tokens: Tokens | None,
    only_here: bool,
    certificate: Path | None,
    certificate_key: Path | None,
) -> None:
    if tokens is None and not only_here:
        raise CliError(
            f"{reached} from other machines, and nothing says who may call",
            "Make a token: bruno-memory-vec token --tokens FILE --user USER\n"
            "and serve with --tokens FILE, best behind TLS (--certificate, or a proxy)",
            code=MISUSED,
        )
    for option, path in (("--certificate", certificate), ("--certificate-key", certificate_key)):
        if path is not None and not path.is_file():
            raise CliError(f"{option}: there is no file {path}", code=MISUSED)
    if certificate_key is not None and certificate is None:
        raise CliError("--certificate-key needs --certificate", code=MISUSED)
    if certificate is not None:
        import ssl

        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, certificate_key)
        except ssl.SSLError:
            raise CliError(
                f"{certificate} holds no certificate in PEM form that goes with its key",
                "Give the certificate with its chain, and --certificate-key where the key is apart",
            ) from None


def _is_any(host: str) -> bool:
    """Whether an address stands for all of this machine's."""
    return host in ("0.0.0.0", "::", "")  # noqa: S104 - it is not listened on here
