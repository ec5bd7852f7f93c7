"""What can be set about the edge.

In an Options class an annotation's first string is the setting's description; a second one, "secret", keeps its value
out of every listing. Units stand last in the names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """The edge's settings."""

    host: Annotated[str, "Address to listen on. Any other than a loopback one needs a key."] = "127.0.0.1"
    port: Annotated[int, "Port to listen on; 0 takes a free one."] = 8000
    allowed_hosts: Annotated[tuple[str, ...], "Names the gateway is reached under, separated by commas."] = ()
    allowed_origins: Annotated[tuple[str, ...], "Origins of other pages that may call it, separated by commas."] = ()
    # A conversation with several images is a few MiB; upstream accepts 32.
    body_mib: Annotated[int, "The largest request body, in MiB."] = 32
    body_silence_s: Annotated[float, "Seconds that a client may pause in the middle of its request."] = 10.0
    # More than a team's tools hold open; each idle stream takes about 36 kB.
    max_connections: Annotated[int, "Connections that may be open at the same time."] = 2000
    max_unknown_connections: Annotated[
        int, "Connections that one address may hold open without having shown a key; this machine's own are free."
    ] = 50
    trusted_proxies: Annotated[
        tuple[str, ...], "Addresses or networks of proxies whose X-Forwarded-For and -Proto count, separated by commas."
    ] = ()
    tls_cert: Annotated[Path | None, "Certificate chain (PEM) to serve HTTPS with; needs tls_key."] = None
    tls_key: Annotated[Path | None, "Private key (PEM) of the certificate."] = None
    tls_key_password: Annotated[str, "Password of that key, if it has one.", "secret"] = ""
    tls_client_ca: Annotated[
        Path | None, "Certificates (PEM) of those whose clients are let in: every client then needs a certificate."
    ] = None
    # Under the 15 s after which the strictest proxies give up, above the pace that makes clients count empty lines.
    heartbeat_s: Annotated[float, "Seconds of silence after which a stream gets a comment."] = 10.0
    drain_s: Annotated[float, "Seconds that running turns get at a shutdown."] = 30.0
