"""Forecasts a pandas series with a regular or irregular DatetimeIndex.

Needs requests, and pandas for the series. TOWER_URL is the server, TOWER_TOKEN a key of scope `read`, if authentication
is on.
"""

import os

import pandas as pd
import requests

url = os.environ.get("TOWER_URL", "http://localhost:8000")
headers = {"X-API-Key": os.environ["TOWER_TOKEN"]} if "TOWER_TOKEN" in os.environ else {}


def forecast(series, horizon=24, interval_width=0.9):
    """A DataFrame with the columns value, lower and upper, indexed by time."""
    index = series.index.tz_localize("UTC") if series.index.tz is None else series.index
    answer = requests.post(
        f"{url}/api/v1/forecast",
        json={
            "values": [None if pd.isna(value) else float(value) for value in series],
            "timestamps": [time.isoformat() for time in index],
            "horizon": horizon,
            "interval_width": interval_width,
        },
        headers=headers,
        timeout=120,
    )
    if answer.status_code >= 400:
        raise RuntimeError(f"{answer.status_code}: {answer.json()['detail']}")
    rows = pd.DataFrame(answer.json()["forecast"])
    return rows.assign(timestamp=pd.to_datetime(rows["timestamp"])).set_index("timestamp")[["value", "lower", "upper"]]


if __name__ == "__main__":
    requests_per_hour = pd.read_csv("examples/data/requests.csv", index_col="time", parse_dates=True)["requests"]
    print(forecast(requests_per_hour, horizon=6).round(1))
