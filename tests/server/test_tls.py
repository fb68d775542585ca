"""TLS as clients meet it: versions, certificates of both sides, and files that are not what they should be."""

import asyncio
import ssl
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from isthmus.errors import InvalidArgument
from isthmus.server.tls import Clients, server_context
from support.echo import echoing


class Files(NamedTuple):
    """What a server's operator has on disk, and the authority that made it."""

    authority: trustme.CA
    certificate: Path
    key: Path
    client_ca: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    certificate, key, client_ca = folder / "cert.pem", folder / "key.pem", folder / "ca.pem"
    server.cert_chain_pems[0].write_to_path(certificate)
    server.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(client_ca)
    return Files(authority, certificate, key, client_ca)


def client(files: Files, certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    """A client that trusts the authority."""
    context = ssl.create_default_context()
    files.authority.configure_trust(context)
    if certificate is not None:
        certificate.configure_cert(context)
    return context


def context_of(files: Files, clients: Clients) -> ssl.SSLContext:
    """A server that asks for certificates."""
    return server_context(files.certificate, files.key, files.client_ca, clients)


async def test_a_peer_over_tls_is_told_so(files: Files) -> None:
    async with echoing(tls=server_context(files.certificate, files.key)) as here:
        peer = await here.connect(ssl=client(files))

        assert await peer("who") == [f"None tls=True trusted=False 127.0.0.1 {here.listener.port}"]


async def test_large_answers_come_whole_over_tls(files: Files) -> None:
    async with echoing(tls=server_context(files.certificate, files.key)) as here:
        peer = await here.connect(ssl=client(files))
        peer.send("big 3000000\nclose\n")

        assert [len(await peer.line()), await peer.line()] == [3_000_000, "bye"]
        assert await peer.ended()


@pytest.mark.parametrize("clients", ["optional", "required"])
async def test_a_verified_certificate_says_who_the_peer_is(files: Files, clients: Clients) -> None:
    ada = files.authority.issue_cert("ada@example.org", common_name="ada")
    async with echoing(tls=context_of(files, clients)) as here:
        peer = await here.connect(ssl=client(files, ada))

        assert (await peer("who"))[0].startswith("ada tls=True")


async def test_without_a_certificate_who_may_is_nobody_yet(files: Files) -> None:
    async with echoing(tls=context_of(files, "optional")) as here:
        peer = await here.connect(ssl=client(files))

        assert (await peer("who"))[0].startswith("None tls=True")


@pytest.mark.parametrize("clients", ["optional", "required"])
async def test_a_certificate_of_somebody_else_is_refused(files: Files, clients: Clients) -> None:
    mallory = trustme.CA().issue_cert("ada@example.org", common_name="ada")
    async with echoing(tls=context_of(files, clients)) as here:
        assert await refused(here.listener.port, client(files, mallory))
        await here.until(lambda: not here.driver.connections)
        assert here.service.doors == []


async def test_no_certificate_is_refused_where_one_is_required(files: Files) -> None:
    async with echoing(tls=context_of(files, "required")) as here:
        assert await refused(here.listener.port, client(files))
        await here.until(lambda: not here.driver.connections)
        assert here.service.doors == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_versions_are_refused(files: Files) -> None:
    async with echoing(tls=server_context(files.certificate, files.key)) as here:
        context = client(files)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("DEFAULT:@SECLEVEL=0")

        assert await refused(here.listener.port, context)


async def test_who_speaks_no_tls_is_refused_and_who_says_nothing_is_counted(files: Files) -> None:
    async with echoing(tls=server_context(files.certificate, files.key)) as here:
        plain, silent = await here.connect(), await here.connect()
        plain.send("echo a\n")

        assert await plain.ended() or True
        await here.until(lambda: len(here.driver.connections) == 1)
        assert here.driver.admission.strangers == 1
        for connection in list(here.driver.connections):
            connection.abort("")
        assert await silent.ended()


@pytest.mark.parametrize(
    ("certificate", "key", "client_ca", "said"),
    [
        ("none.pem", "key.pem", None, "none.pem.*No such file"),
        ("key.pem", "key.pem", None, "tls_cert"),
        ("cert.pem", "ca.pem", None, "tls_cert"),
        ("cert.pem", None, None, "tls_cert"),
        ("cert.pem", "key.pem", "none.pem", "tls_client_ca.*No such file"),
        ("cert.pem", "key.pem", "key.pem", "tls_client_ca"),
    ],
)
def test_files_that_are_not_what_they_should_be_are_named(
    files: Files, certificate: str, key: str | None, client_ca: str | None, said: str
) -> None:
    folder = files.certificate.parent

    with pytest.raises(InvalidArgument, match=said):
        server_context(
            folder / certificate,
            None if key is None else folder / key,
            None if client_ca is None else folder / client_ca,
        )


async def refused(port: int, context: ssl.SSLContext) -> bool:
    """Whether a connection never gets as far as an answer."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    except (ssl.SSLError, ConnectionError):
        return True
    writer.write(b"who\n")
    try:
        return await reader.read() == b""
    except (ssl.SSLError, ConnectionError):  # TLS 1.3 tells a client only after it believes to be connected
        return True
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
