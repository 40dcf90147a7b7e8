"""Evaluates the promotion gate for a model version. Exit code 0: it passes, 1: it does not.

    python3 gate.py churn-predictor 4 [rules.json]

Needs requests. TOWER_URL is the server, TOWER_TOKEN a key of scope `read`, if authentication is on.
"""

import json
import os
import sys

import requests

url = os.environ.get("TOWER_URL", "http://localhost:8000")
headers = {"X-API-Key": os.environ["TOWER_TOKEN"]} if "TOWER_TOKEN" in os.environ else {}


def evaluate_gate(model, version, rules=None):
    """The answer of the gate; without rules, those of the server's GATE_RULES_FILE."""
    answer = requests.post(
        f"{url}/model/{requests.utils.quote(model, safe='')}/{version}/gate",
        json={} if rules is None else {"rules": rules},
        headers=headers,
        timeout=60,
    )
    if answer.status_code >= 400:
        raise RuntimeError(f"{answer.status_code}: {answer.json()['detail']}")
    return answer.json()


if __name__ == "__main__":
    model, version, *more = sys.argv[1:]
    rules = None
    if more:
        with open(more[0], encoding="utf-8") as file:
            rules = json.load(file)["rules"]
    gate = evaluate_gate(model, version, rules)
    for rule in gate["rules"]:
        print("pass" if rule["passed"] else "fail", json.dumps(rule["rule"]), rule["reason"])
    sys.exit(0 if gate["status"] == "pass" else 1)
