"""Runs the cookbook's snippets for DuckDB and for Polars, in a session of each, in the current folder.

Reads a JSON array of {"engine", "code", "answers"} and writes one of answers: {"columns", "rows"} with texts,
or null where a snippet prepares something. A snippet of Polars leaves its answer in `answer`.
"""

import datetime
import decimal
import json
import sys

import duckdb

ZERO = datetime.timedelta(0)


def text(value):
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else repr(value)
    if isinstance(value, decimal.Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, datetime.datetime):
        assert value.utcoffset() in (None, ZERO), value
        return value.strftime("%Y-%m-%d %H:%M:%S")
    assert isinstance(value, (str, int, datetime.date)), type(value)
    return str(value)


def table(columns, rows):
    return {"columns": columns, "rows": [[text(value) for value in row] for row in rows]}


def main():
    connection = duckdb.connect()
    # What is not in the package is not fetched.
    connection.execute("SET autoinstall_known_extensions = false")
    names = {}
    answers = []
    for snippet in json.load(sys.stdin):
        if snippet["engine"] == "duckdb":
            asked = connection.execute(snippet["code"])
            is_answer = snippet["answers"]
            columns = [column[0] for column in asked.description or []]
            answers.append(table(columns, asked.fetchall()) if is_answer else None)
        else:
            names.pop("answer", None)
            exec(snippet["code"], names)
            answer = names.get("answer")
            answers.append(table(answer.columns, answer.rows()) if snippet["answers"] else None)
    json.dump(answers, sys.stdout)


main()
