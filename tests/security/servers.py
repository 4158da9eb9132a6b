"""A broker that lets in only who proves who it is, by each way that there is, and the server that gives tokens."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import trustme
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from runwatch.stack import kafka
from runwatch.stack.jars import kafka_jars
from runwatch.stack.ports import any_free

USERS = ("agents", "processors", "sink", "console", "alerts", "operator")
ISSUER, AUDIENCE, KEY_ID = "https://tokens.test", "kafka", "test"
KEY_PASSWORD = "key-5f1d8e"


def password(user: str) -> str:
    """What is looked for in logs afterwards: it stands nowhere by chance."""
    return f"hush-{user}-9c27"


@dataclass(frozen=True)
class Papers:
    """An authority, and certificates of its making, as PEM files."""

    folder: Path
    ca: Path
    server: Path
    """Key and certificate of 127.0.0.1."""
    others_ca: Path
    """Another authority, which has vouched for nobody."""

    def cert(self, user: str) -> Path:
        return self.folder / f"{user}.pem"

    def key(self, user: str) -> Path:
        """Sealed with `KEY_PASSWORD`."""
        return self.folder / f"{user}.key"

    def open_key(self, user: str) -> Path:
        return self.folder / f"{user}.open.key"


def make_papers(folder: Path) -> Papers:
    folder.mkdir()
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    papers = Papers(folder, folder / "ca.pem", folder / "server.pem", folder / "others.pem")
    authority.cert_pem.write_to_path(papers.ca)
    trustme.CA().cert_pem.write_to_path(papers.others_ca)
    server = authority.issue_cert("127.0.0.1")
    papers.server.write_bytes(pkcs8(server) + chain(server))
    for user in USERS:
        cert = authority.issue_cert(f"{user}.test", common_name=user)
        papers.cert(user).write_bytes(chain(cert))
        papers.key(user).write_bytes(pkcs8(cert, KEY_PASSWORD.encode()))
        papers.open_key(user).write_bytes(pkcs8(cert))
    return papers


def chain(cert: trustme.LeafCert) -> bytes:
    return b"".join(blob.bytes() for blob in cert.cert_chain_pems)


def pkcs8(cert: trustme.LeafCert, secret: bytes | None = None) -> bytes:
    """The one form of key that brokers read."""
    key = serialization.load_pem_private_key(cert.private_key_pem.bytes(), None)
    sealed = serialization.BestAvailableEncryption(secret) if secret else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed)


class Tokens:
    """OAuth's token endpoint for client credentials, over TLS."""

    def __init__(self, papers: Papers) -> None:
        self.lasting_s = 300
        self.asked: list[str] = []
        """Who asked, in order, and with which scope: `sink:` or `sink:scope`."""
        self.answer: tuple[int, bytes] | None = None
        """Instead of a token."""
        self._key = rsa.generate_private_key(65537, 2048)
        numbers = self._key.public_key().public_numbers()
        self.jwks = papers.folder / "jwks.json"
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": b64(number(numbers.n)),
               "e": b64(number(numbers.e))}  # fmt: skip
        self.jwks.write_text(json.dumps({"keys": [key]}))
        tokens = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                status, body = tokens.answered(self.headers.get("Authorization", ""), form)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(papers.server)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}/token"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answered(self, authorization: str, form: dict[str, list[str]]) -> tuple[int, bytes]:
        if self.answer is not None:
            return self.answer
        user, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if form.get("grant_type") != ["client_credentials"] or user not in USERS or secret != password(user):
            return 401, b'{"error": "invalid_client"}'
        self.asked.append(f"{user}:{''.join(form.get('scope', []))}")
        found = {"access_token": self.token(user), "token_type": "Bearer", "expires_in": self.lasting_s}
        return 200, json.dumps(found).encode()

    def token(self, user: str) -> str:
        now = int(time.time())
        head = {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
        claims = {"sub": user, "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + self.lasting_s}
        signed = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
        return f"{signed}.{b64(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


@dataclass(frozen=True)
class Secured:
    """The broker, up. On each listener everybody is who the papers, the password or the token say."""

    papers: Papers
    tokens: Tokens
    tls: str
    """Asks for a certificate."""
    sasl: str
    """Asks for a password or a token, encrypted."""
    bare: str
    """The same, not encrypted."""
    admin: dict[str, Any]
    """Settings of a client that may do everything."""
    log: Path

    def by(self, way: str, user: str) -> dict[str, str]:
        """`Access`'s fields, for this user to come in this way: a mechanism, `SSL`, or `bare` and a mechanism."""
        bare, mechanism = way.startswith("bare "), way.removeprefix("bare ")
        found = {"bootstrap": self.bare, "security": "SASL_PLAINTEXT"} if bare else {"bootstrap": self.sasl}
        if not bare:
            found["ca_file"] = str(self.papers.ca)
        if mechanism == "SSL":
            cert, key = str(self.papers.cert(user)), str(self.papers.key(user))
            return found | {"bootstrap": self.tls, "cert_file": cert, "key_file": key, "key_password": KEY_PASSWORD}
        if mechanism == "OAUTHBEARER":
            return found | {
                "oauth_url": self.tokens.url,
                "oauth_client": user,
                "oauth_secret": password(user),
                "oauth_ca_file": str(self.papers.ca),
            }
        return found | {"mechanism": mechanism, "user": user, "password": password(user)}

    def environ(self, way: str, user: str) -> dict[str, str]:
        """The same as environment variables."""
        found = self.by(way, user)
        address = found.pop("bootstrap")
        return {"RUNWATCH_KAFKA": address} | {f"RUNWATCH_KAFKA_{name.upper()}": value for name, value in found.items()}


@contextmanager
def secured(folder: Path) -> Iterator[Secured]:
    """Starts it all, and ends it."""
    papers = make_papers(folder / "papers")
    tokens = Tokens(papers)
    node, jars = kafka.Node(1, any_free(), any_free()), kafka_jars(lambda _text: None)
    tls, sasl, bare = (f"127.0.0.1:{any_free()}" for _ in range(3))
    home = folder / "kafka"
    with kafka.write_config(home, node, [node]).open("a") as file:
        # A later line of the same name counts.
        file.writelines(f"{name}={value}\n" for name, value in _config(node, tls, sasl, bare, papers, tokens).items())
    kafka.format_storage(home, jars, kafka.new_cluster_id())
    allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={tokens.jwks.as_uri()}"
    files = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.files={tokens.jwks}"
    java, *rest = kafka.broker_command(home, jars, 256)
    log = folder / "kafka.log"
    with log.open("wb") as out:
        process = subprocess.Popen([java, allowed, files, *rest], stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 90
        while not kafka.is_ready(node.bootstrap, 1.0):
            assert time.monotonic() < deadline and process.poll() is None, log.read_text()[-4000:]
            time.sleep(0.1)
        admin = {"bootstrap.servers": node.bootstrap, "log_level": 0}
        _make_users(admin)
        yield Secured(papers, tokens, tls, sasl, bare, admin, log)
    finally:
        process.kill()
        process.wait(30)
        tokens.close()


def _config(node: kafka.Node, tls: str, sasl: str, bare: str, papers: Papers, tokens: Tokens) -> dict[str, Any]:
    listeners = {"PLAINTEXT": node.bootstrap, "TLS": tls, "SASL": sasl, "BARE": bare}
    shown = [f"{name}://{place}" for name, place in listeners.items()]
    found: dict[str, Any] = {
        "listeners": ",".join([*shown, f"CONTROLLER://{node.host}:{node.controller_port}"]),
        "advertised.listeners": ",".join(shown),
        "listener.security.protocol.map":
            "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,TLS:SSL,SASL:SASL_SSL,BARE:SASL_PLAINTEXT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": papers.server,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": papers.ca,
        "listener.name.tls.ssl.client.auth": "required",
        "listener.name.tls.ssl.principal.mapping.rules": r"RULE:^CN=([^,]+).*$/$1/",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # Who comes in by the listener that asks for nothing: the broker itself, and the test as its administrator.
        "super.users": "User:ANONYMOUS",
    }  # fmt: skip
    security = "org.apache.kafka.common.security"
    users = " ".join(f'user_{user}="{password(user)}"' for user in USERS)
    mechanisms = {
        "plain": f"{security}.plain.PlainLoginModule required {users};",
        "scram-sha-256": f"{security}.scram.ScramLoginModule required;",
        "scram-sha-512": f"{security}.scram.ScramLoginModule required;",
        "oauthbearer": f"{security}.oauthbearer.OAuthBearerLoginModule required;",
    }
    for listener in ("sasl", "bare"):
        name = f"listener.name.{listener}"
        found[f"{name}.sasl.enabled.mechanisms"] = ",".join(mechanisms).upper()
        for mechanism, module in mechanisms.items():
            found[f"{name}.{mechanism}.sasl.jaas.config"] = module
        found |= {
            f"{name}.oauthbearer.sasl.server.callback.handler.class":
                f"{security}.oauthbearer.OAuthBearerValidatorCallbackHandler",
            f"{name}.sasl.oauthbearer.jwks.endpoint.url": tokens.jwks.as_uri(),
            f"{name}.sasl.oauthbearer.expected.issuer": ISSUER,
            f"{name}.sasl.oauthbearer.expected.audience": AUDIENCE,
        }  # fmt: skip
    return found


def _make_users(admin: dict[str, Any]) -> None:
    client = AdminClient(admin)
    # A broker takes one change of a user at a time.
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        how = ScramCredentialInfo(mechanism, 4096)
        changes = [UserScramCredentialUpsertion(user, how, password(user).encode()) for user in USERS]
        for done in client.alter_user_scram_credentials(changes).values():
            done.result(10)
