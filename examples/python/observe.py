"""Posts metrics and feature samples of a model in production, after a batch job.

Needs requests. TOWER_URL is the server, TOWER_TOKEN a key of scope `operate`, if authentication is on.
"""

import datetime
import os

import requests

url = os.environ.get("TOWER_URL", "http://localhost:8000")
headers = {"X-API-Key": os.environ["TOWER_TOKEN"]} if "TOWER_TOKEN" in os.environ else {}


def observe(model, version, metrics, features=None, at=None, dataset=None):
    """Posts one value per metric and one distribution per feature.

    Posting the same again changes nothing: pass the time of the batch as `at`, so that a job may be repeated.

    metrics: {"accuracy": 0.93}
    features: {"age": [31, 45, 52]} (a sample) or {"country": {"DE": 120, "FR": 80}} (counts per category)
    """
    common = {"at": (at or datetime.datetime.now(datetime.timezone.utc)).isoformat()}
    if dataset is not None:
        common["dataset"] = dataset
    observations = [{"metric": name, "value": value, **common} for name, value in metrics.items()]
    for name, values in (features or {}).items():
        if isinstance(values, dict):
            observations.append({"feature": name, "histogram": {"categories": values}, **common})
        else:
            observations.append({"feature": name, "samples": list(values), **common})
    answer = requests.post(
        f"{url}/model/{requests.utils.quote(model, safe='')}/{version}/observations",
        json={"observations": observations},
        headers=headers,
        timeout=30,
    )
    if answer.status_code >= 400:
        raise RuntimeError(f"{answer.status_code}: {answer.json()['detail']}")
    return answer.json()


if __name__ == "__main__":
    age = [31, 45, 52, 38, 27, 61] * 10
    print(observe("churn-predictor", "4", {"accuracy": 0.841}, {"age": age, "country": {"DE": 120, "FR": 80}}))
