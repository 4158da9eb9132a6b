"""Payloads with secrets in them. All are made up when a test runs: none was ever anybody's, none stands in a file."""

from __future__ import annotations

import base64
import json
import random
import string
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

LETTERS = string.ascii_letters + string.digits
HEX = "0123456789abcdef"


@dataclass(frozen=True)
class Secret:
    """A secret, and the texts of which none may be found anywhere."""

    kind: str
    text: str
    needles: tuple[str, ...]
    named: bool = False
    """Whether only its name gives it away."""


@dataclass(frozen=True)
class Planted:
    """A payload with a secret in it."""

    secret: Secret
    way: str
    payload: Any
    needles: tuple[bytes, ...]


class Planter:
    """Makes payloads, the same ones for the same seed."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def planted(self, kind: str | None = None, way: str | None = None) -> Planted:
        """The next payload, of any kind and planted in any way unless told."""
        kind = kind or self._random.choice(KINDS)
        secret = getattr(self, f"_{kind}")()
        ways = NAMED_WAYS if secret.named else WAYS
        way = way or self._random.choice(ways)
        payload, more = getattr(self, f"_as_{way}")(secret)
        needles = {needle.encode() for needle in (*secret.needles, *more)}
        return Planted(secret, way, payload, tuple(sorted(needles)))

    def _word(self, alphabet: str, length: int) -> str:
        # A digit in each, as random ones nearly always have.
        word = "".join(self._random.choice(alphabet) for _ in range(length - 1))
        return word[:2] + self._random.choice("23456789") + word[2:]

    def _email(self) -> Secret:
        local = f"{self._word(string.ascii_lowercase, 10)}.{self._word(HEX, 6)}"
        text = f"{local}@{self._word(string.ascii_lowercase, 8)}.example"
        return Secret("email", text, (text, local))

    def _phone(self) -> Secret:
        digits = [str(self._random.randint(2, 9)) for _ in range(10)]
        a, b, c = "".join(digits[:3]), "".join(digits[3:6]), "".join(digits[6:])
        text = self._random.choice(
            [
                f"+1 {a} {b} {c}",
                f"+49 {a} {b}{c}",
                f"({a}) {b}-{c}",
                f"{a}-{b}-{c}",
                f"+44{a}{b}{c}",
                f"+33 {a[0]} {b[:2]} {c[:2]} {c[2:]} {a[1:]}",
            ]
        )
        return Secret("phone", text, (text,))

    def _card(self) -> Secret:
        head, length = self._random.choice([("4", 16), ("51", 16), ("37", 15), ("6011", 16), ("35", 16)])
        head = "3530" if head == "35" else head
        digits = head + "".join(self._random.choice(string.digits) for _ in range(length - 1 - len(head)))
        total = sum(sum(divmod(int(one) * (2 - place % 2), 10)) for place, one in enumerate(reversed(digits)))
        digits += str(-total % 10)
        gap = self._random.choice(["", " ", "-"])
        text = gap.join(digits[at : at + 4] for at in range(0, len(digits), 4))
        return Secret("card", text, (text,))

    def _iban(self) -> Secret:
        country, length = self._random.choice([("DE", 18), ("GB", 18), ("NL", 14), ("FR", 23)])
        body = "".join(self._random.choice(string.digits) for _ in range(length))
        if country in ("GB", "NL"):
            body = "BANK" + body[4:]
        turned = "".join(str(int(one, 36)) for one in f"{body}{country}00")
        whole = f"{country}{98 - int(turned) % 97:02}{body}"
        text = whole if self._random.random() < 0.5 else " ".join(whole[at : at + 4] for at in range(0, len(whole), 4))
        return Secret("iban", text, (text, text[4:]))

    def _key(self) -> Secret:
        # The heads are put together here, so that no scanner takes this file's own lines for keys.
        heads: list[tuple[str, str, int]] = [
            ("AK" + "IA", string.ascii_uppercase + "234567", 16),
            ("gh" + "p_", LETTERS, 36),
            ("github" + "_pat_", LETTERS + "_", 60),
            ("gl" + "pat-", LETTERS, 20),
            ("xo" + "xb-", string.digits + "-", 40),
            ("sk" + "_live_", LETTERS, 24),
            ("sk" + "-ant-api03-", LETTERS, 60),
            ("sk" + "-proj-", LETTERS, 48),
            ("AI" + "za", LETTERS, 35),
            ("h" + "f_", LETTERS, 34),
            ("np" + "m_", LETTERS, 36),
            ("py" + "pi-", LETTERS, 80),
            ("S" + "G.", LETTERS, 22),
            ("do" + "p_v1_", HEX, 64),
            ("sh" + "pat_", HEX, 32),
            ("hv" + "s.", LETTERS, 40),
            ("da" + "pi", HEX, 32),
            ("gs" + "k_", LETTERS, 52),
        ]
        head, alphabet, length = self._random.choice(heads)
        body = self._word(alphabet, length)
        if alphabet == string.ascii_uppercase + "234567":
            body = body.replace("8", "2").replace("9", "3")
        text = head + body + ("." + self._word(LETTERS, 43) if head == "S" + "G." else "")
        return Secret("key", text, (text, body[: length // 2], body[length // 2 :]))

    def _jwt(self) -> Secret:
        parts = [{"alg": "HS256", "typ": "JWT"}, {"sub": self._word(HEX, 12), "iat": self._random.randint(1, 10**9)}]
        first, second = (base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts)
        third = self._word(LETTERS, 43)
        return Secret("jwt", f"{first}.{second}.{third}", (second, third))

    def _private_key(self) -> Secret:
        kind = self._random.choice(["RSA ", "EC ", "OPENSSH ", ""])
        lines = [self._word(LETTERS + "+/", 64) for _ in range(self._random.randint(3, 25))]
        dashes = "-" * 5
        text = "\n".join([f"{dashes}BEGIN {kind}PRIVATE KEY{dashes}", *lines, f"{dashes}END {kind}PRIVATE KEY{dashes}"])
        return Secret("private_key", text, tuple(lines))

    def _auth(self) -> Secret:
        token = self._word(LETTERS, 32)
        if self._random.random() < 0.5:
            return Secret("auth", f"Bearer {token}", (token, token[:16], token[16:]))
        packed = base64.b64encode(f"user:{token}".encode()).decode()
        return Secret("auth", f"Basic {packed}", (packed, token))

    def _connection(self) -> Secret:
        password = self._word(LETTERS, 16)
        scheme = self._random.choice(["postgresql", "mysql", "mongodb+srv", "amqp", "redis", "https"])
        return Secret("password", f"{scheme}://app:{password}@db.internal:5432/main", (password, password[:8]))

    def _password(self) -> Secret:
        text = self._word(LETTERS + "!#%*", 14)
        return Secret("password", text, (text, text[:8]), named=True)

    def _random_key(self) -> Secret:
        text = self._word(LETTERS, 32)
        return Secret("secret", text, (text, text[:16], text[16:]), named=True)

    # Ways to plant one that gives itself away. Each answers the payload, and the secret in other writings.

    def _as_value(self, secret: Secret) -> tuple[Any, list[str]]:
        return {"note": secret.text, "limit": 10}, []

    def _as_sentence(self, secret: Secret) -> tuple[Any, list[str]]:
        return f"Please look at {secret.text} and tell me, by tomorrow.", []

    def _as_deep(self, secret: Secret) -> tuple[Any, list[str]]:
        value: Any = f"it was {secret.text}"
        for _ in range(self._random.randint(2, 12)):
            value = self._random.choice([{"inner": value}, [1, value], {"a": None, "items": [value]}])
        return value, []

    def _as_json(self, secret: Secret) -> tuple[Any, list[str]]:
        text = json.dumps({"rows": [{"note": secret.text}]})
        return {"body": text, "n": 1}, []

    def _as_json_in_json(self, secret: Secret) -> tuple[Any, list[str]]:
        return json.dumps({"body": json.dumps({"note": f"see {secret.text} there"})}), []

    def _as_dict_key(self, secret: Secret) -> tuple[Any, list[str]]:
        return {secret.text: 1, "other": {f"a {secret.text} b": 2}}, []

    def _as_bytes(self, secret: Secret) -> tuple[Any, list[str]]:
        data = f"data: {secret.text} ends".encode()
        return {"raw": data}, [data.hex(), secret.text.encode().hex()]

    def _as_base64(self, secret: Secret) -> tuple[Any, list[str]]:
        text = base64.b64encode(f"data: {secret.text} ends".encode()).decode()
        return {"content": text}, [text]

    def _as_url(self, secret: Secret) -> tuple[Any, list[str]]:
        coded = quote(secret.text, safe="")
        return {"url": f"https://example.com/find?q={coded}&page=2"}, [coded]

    def _as_long(self, secret: Secret) -> tuple[Any, list[str]]:
        # Before, across and after where a text is cut.
        before = self._random.choice([100, 15_000, 16_384 - len(secret.text) // 2, 16_380, 17_000, 30_000])
        return {"page": f"{'lorem ipsum, ' * (before // 13)} {secret.text} {'dolor sit ' * 500}"}, []

    def _as_object(self, secret: Secret) -> tuple[Any, list[str]]:
        return {"it": Thing(f"holds {secret.text} inside")}, []

    # Ways to plant one that only its name gives away.

    def _as_named(self, secret: Secret) -> tuple[Any, list[str]]:
        return {"user": "anna", self._name(secret): secret.text}, []

    def _as_named_deep(self, secret: Secret) -> tuple[Any, list[str]]:
        inner = {self._name(secret): secret.text}
        return {"servers": [{"config": {"host": "db", "access": inner}}]}, []

    def _as_named_json(self, secret: Secret) -> tuple[Any, list[str]]:
        return {"body": json.dumps({"login": {"user": "anna", self._name(secret): secret.text}})}, []

    def _as_text(self, secret: Secret) -> tuple[Any, list[str]]:
        name, text = self._name(secret), secret.text
        return self._random.choice(
            [
                f"export {name.upper()}={text}\nexport OTHER=1",
                f"host: db\n{name}: {text}\nport: 1",
                f"run --user anna --{name} {text} --verbose",
                f"the {name} is {text}",
                f"<{name}>{text}</{name}>",
                f"ALTER USER anna WITH {name} '{text}';",
                f"CREATE USER anna IDENTIFIED BY '{text}'",
                f"[('user', 'anna'), ('{name}', '{text}')]",
                f"[db]\n{name} = {text} and more\nport = 1",
                f"Config(user='anna', {name}='{text}')",
                f'{{"{name}": "{text}", "cut": "of',
                f'"{{\\"{name}\\": \\"{text}\\", \\"cut',
            ]
        ), []

    def _as_query(self, secret: Secret) -> tuple[Any, list[str]]:
        coded = quote(secret.text, safe="")
        return f"GET https://example.com/a?{self._name(secret)}={coded}&page=2", [coded]

    def _as_pair(self, secret: Secret) -> tuple[Any, list[str]]:
        name, text = self._name(secret), secret.text
        return self._random.choice(
            [
                {"headers": [["Accept", "*/*"], [name, text]]},
                {"env": [{"name": name, "value": text}]},
                {"argv": ["run", f"--{name}", text]},
                {"argv": ["run", f"--{name}={text}"]},
            ]
        ), []

    def _name(self, secret: Secret) -> str:
        names = [
            "password",
            "db_password",
            "apiKey",
            "X-Api-Key",
            "access_token",
            "client_secret",
            "auth_token",
            "passwd",
        ]
        return self._random.choice(names)


class Thing:
    """An agent's own object, whose repr holds what it should not."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Thing({self.text!r})"


NAMES = ("password", "db_password", "apiKey", "X-Api-Key", "access_token", "client_secret", "auth_token", "passwd")
KINDS = ("email", "phone", "card", "iban", "key", "jwt", "private_key", "auth", "connection", "password", "random_key")
WAYS = ("value", "sentence", "deep", "json", "json_in_json", "dict_key", "bytes", "base64", "url", "long", "object")
NAMED_WAYS = ("named", "named_deep", "named_json", "text", "query", "pair")
EVERY = [
    (kind, way) for kind in KINDS for way in (NAMED_WAYS if kind in ("password", "random_key") else WAYS)
]  # fmt: skip


def found(data: bytes, needles: tuple[bytes, ...]) -> list[bytes]:
    """Those of the needles that are in the data, as they are or as JSON writes them."""
    return [one for one in needles if one in data or json.dumps(one.decode())[1:-1].encode() in data]
