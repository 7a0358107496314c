"""A small shop. Everything that is wrong here is wrong on purpose: see tests/scans/planted.py."""

import hashlib
import os
import pickle
import sqlite3
import subprocess

import requests
import yaml
from flask import Flask, request

app = Flask(__name__)

PAYMENT_KEY = "@@stripe@@"
PASSWORD = os.environ.get("SHOP_PASSWORD", "")
# The checksum of the catalogue as it was delivered, no secret: @@sha256@@
CATALOGUE = "catalogue-2026-11.csv"
TENANT_ID = "0b0e5a3a-6d0e-4f5c-9a58-3c1d9b6a7e21"


def database() -> sqlite3.Connection:
    return sqlite3.connect("shop.db")


@app.get("/orders")
def orders() -> str:
    rows = database().execute("SELECT * FROM orders WHERE customer = '" + request.args["customer"] + "'")
    return str(rows.fetchall())


@app.get("/order")
def order() -> str:
    rows = database().execute("SELECT * FROM orders WHERE id = ?", (request.args["id"],))
    return str(rows.fetchall())


@app.get("/report")
def report() -> bytes:
    return subprocess.check_output("report --month " + request.args["month"], shell=True)


@app.get("/version")
def version() -> bytes:
    return subprocess.check_output(["git", "describe"])  # nosec B603 B607


@app.post("/import")
def upload() -> str:
    return str(yaml.load(request.data))


@app.post("/settings")
def settings() -> str:
    return str(yaml.safe_load(request.data))


@app.post("/restore")
def restore() -> str:
    return str(pickle.loads(request.data))


@app.post("/price")
def price() -> str:
    return str(eval(request.form["formula"]))


def fingerprint(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def cache_key(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def rates() -> object:
    return requests.get("https://rates.example.com", verify=False, timeout=5).json()


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=int(os.environ["PORT"]), debug=True)
