"""A small OpenID provider on loopback that says what it is told to say, true or not."""

import base64
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey


class Provider:
    """A small provider. `claims` are laid over the true ones of the next token; `key` signs it."""

    def __init__(self):
        self.good = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}, auto_kid=False)
        self.keys, self.key, self.header = [self.good], self.good, {"alg": "RS256", "kid": "one"}
        self.claims, self.codes, self.asked, self.calls = {}, {}, [], []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                provider.calls.append(self.path)
                if self.path == "/.well-known/openid-configuration":
                    self._tell(provider.metadata())
                elif self.path == "/keys":
                    self._tell(KeySet(provider.keys).as_dict(private=False))
                elif self.path.startswith("/login?"):  # a person who is known there already
                    asked = parse_qs(urlsplit(self.path).query)
                    self.send_response(302)
                    self.send_header("location", f"{asked['redirect_uri'][0]}?{urlencode(provider.login(self.path))}")
                    self.end_headers()
                else:
                    self.send_error(404)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                provider.asked.append((form, self.headers.get("authorization", "")))
                known = provider.codes.pop(form.get("code", ""), None)
                digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
                if known is None or base64.urlsafe_b64encode(digest).decode().rstrip("=") != known["code_challenge"]:
                    self._tell({"error": "invalid_grant"}, 400)
                    return
                self._tell({"access_token": "a", "token_type": "Bearer", "id_token": provider.token(known["nonce"])})

            def _tell(self, content, status=200):
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def metadata(self):
        ends = {"authorization_endpoint": "/login", "token_endpoint": "/token", "jwks_uri": "/keys"}
        return {"issuer": self.issuer, **{name: self.issuer + path for name, path in ends.items()}}

    def login(self, to):
        """What a person does there: the query with which the browser is sent back."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(to).query).items()}
        code = f"code{len(self.asked)}"
        self.codes[code] = asked
        return {"code": code, "state": asked["state"]}

    def token(self, nonce):
        now = int(time.time())
        true = {
            "iss": self.issuer, "sub": "8f1", "aud": "noctule", "exp": now + 300, "iat": now, "nonce": nonce,
            "preferred_username": "anna", "groups": ["lights"],
        }  # fmt: skip
        claims = {name: value for name, value in (true | self.claims).items() if value is not None}
        if self.header["alg"] == "none":
            parts = [json.dumps(part).encode() for part in (self.header, claims)]
            return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."
        return jwt.encode(self.header, claims, self.key, algorithms=[self.header["alg"]])
