"""Receives webhooks, verifies their signatures, and prints them. Needs only the standard library.

    WEBHOOK_SECRET=whsec_... python3 receive_webhooks.py [port]

The signature follows https://www.standardwebhooks.com.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

secret = os.environ.get("WEBHOOK_SECRET")
seen = set()


def is_signed(headers, body):
    message_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not sent_at.isdigit() or abs(time.time() - int(sent_at)) > 300:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message_id}.{sent_at}.".encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(digest).decode()
    return any(hmac.compare_digest(expected, given) for given in headers.get("webhook-signature", "").split())


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if secret and not is_signed(self.headers, body):
            self.send_response(401)
            self.end_headers()
            return
        self.send_response(204)
        self.end_headers()
        # Deliveries are sent at least once, under the same id.
        if self.headers["webhook-id"] in seen:
            return
        seen.add(self.headers["webhook-id"])
        message = json.loads(body)
        data = message["data"]
        print(message["type"], data.get("name", ""), data.get("version", ""), data.get("reason", ""), flush=True)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    print(f"waiting for webhooks on http://127.0.0.1:{port}", flush=True)
    HTTPServer(("127.0.0.1", port), Receiver).serve_forever()
