"""ClickHouse's HTTP interface over the embedded engine (chdb-core), for development and tests.

It owns one data folder and answers as a ClickHouse server does, as far as the `clickhouse` crate,
curl and a person with SQL need: /ping, the query in the URL or in the body, INSERT data in the
body, settings and parameters, exceptions with their code. Every request has an engine connection
of its own, so settings, the current database and read-only mode end with it, and queries run side
by side. What the real server would refuse (several statements, a write by GET) is refused here
too, so that nothing passes here which would fail there.

Not there: users and passwords (any are accepted), sessions, compression, streamed results. With
--role everybody has the rights that a file of SQL grants to that role, and no others; with --backups
BACKUP and RESTORE may use a folder.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import uuid
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from chdb.state.sqlitelike import Connection

BODY_BYTES_MAX = 256 * 1024 * 1024
QUERIES_AT_ONCE_MAX = 16
QUERY_SLOT_WAIT_S = 60
CLIENT_IDLE_S = 300

# Small pools: the engine shares a development machine with everything else.
ENGINE_OPTIONS = {
    "max_threads": "2",
    "background_pool_size": "2",
    "background_merges_mutations_concurrency_ratio": "2",
    "background_schedule_pool_size": "4",
    "background_common_pool_size": "2",
    "background_move_pool_size": "1",
    "background_fetches_pool_size": "1",
    "max_server_memory_usage": str(3 * 1024**3),
    "mark_cache_size": str(64 * 1024**2),
    # The embedded engine reads a bare expression as a SELECT; the server does not.
    "implicit_select": "0",
}

# Query parameters of the interface itself; every other name is a setting.
NOT_SETTINGS = {
    "query", "database", "default_format", "user", "password", "quota_key", "query_id", "role",
    "session_id", "session_timeout", "session_check", "wait_end_of_query", "buffer_size",
    "stacktrace", "compress", "decompress", "enable_http_compression",
}

SYNTAX_ERROR = 62
NOT_IMPLEMENTED = 48
TOO_MANY_SIMULTANEOUS_QUERIES = 202

# As ClickHouse maps exception codes to statuses; every other code is a 500.
STATUS_BY_CODE = {
    **dict.fromkeys([6, 26, 27, 33, 36, 38, 41, 43, 53, 62, 69, 70, 72, 117, 130, 131], 400),
    **dict.fromkeys([46, 47, 50, 56, 60, 73, 81, 115], 404),
    48: 501,
    159: 408,
}

INSERT = re.compile(rb"\s*INSERT\s+INTO\s", re.IGNORECASE)
INSERT_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)[ \t]*;?(?:\r?\n|\s|$)", re.IGNORECASE)
INSERT_HAS_OWN_DATA = re.compile(rb"\b(?:SELECT|VALUES|INFILE|WATCH)\b", re.IGNORECASE)
OUTPUT_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
# Quoted text and comments, in which a semicolon means nothing, and the semicolon itself.
QUOTED_OR_SEMICOLON = re.compile(
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`|--[^\n]*|/\*.*?\*/|;""", re.DOTALL
)
BLANK = re.compile(r"(?:\s|;|--[^\n]*|/\*.*?\*/)*", re.DOTALL)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
EXCEPTION_CODE = re.compile(r"Code: (\d+)")


class EngineError(Exception):
    """An exception as ClickHouse reports it: a code and a text that begins with it."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code

    @classmethod
    def of(cls, code, message, name):
        return cls(code, f"Code: {code}. DB::Exception: {message} ({name})")

    @classmethod
    def from_engine(cls, error):
        text = str(error)
        found = EXCEPTION_CODE.search(text)
        # The engine's wrappers put words of their own before the exception.
        return cls(int(found[1]), text[found.start():]) if found else cls(1000, text)


class BodyTooLarge(Exception):
    pass


class Answer:
    def __init__(self, body, output_format, summary):
        self.body = body
        self.output_format = output_format
        self.summary = summary


class Engine:
    """The data folder, opened once by this process."""

    def __init__(self, folder, settings):
        options = "&".join(f"{name}={value}" for name, value in ENGINE_OPTIONS.items())
        self.connection_string = f"{folder}?{options}{settings}"
        self.inserts = os.path.join(folder, "inserts")
        # A process that was killed leaves its files behind.
        shutil.rmtree(self.inserts, ignore_errors=True)
        os.makedirs(self.inserts)
        self.slots = threading.BoundedSemaphore(QUERIES_AT_ONCE_MAX)
        # Held open for as long as the process lives: with the last connection the engine would go.
        self.anchor = Connection(self.connection_string)
        self.version = self.anchor.query("SELECT version()", "TSV").bytes().decode().strip()

    def execute(self, request):
        if not self.slots.acquire(timeout=QUERY_SLOT_WAIT_S):
            raise EngineError.of(TOO_MANY_SIMULTANEOUS_QUERIES, "Too many simultaneous queries.",
                                 "TOO_MANY_SIMULTANEOUS_QUERIES")
        try:
            connection = Connection(self.connection_string)
            try:
                return self._execute(connection, request)
            except EngineError:
                raise
            except Exception as error:  # The engine raises RuntimeError and its own class alike.
                raise EngineError.from_engine(error) from None
            finally:
                connection.close()
        finally:
            self.slots.release()

    def _execute(self, connection, request):
        if request.database:
            connection.query("USE `{}`".format(request.database.replace("`", "\\`")))
        if request.settings:
            connection.query("SET " + ", ".join(
                f"{name} = {quoted(value)}" for name, value in request.settings.items()))
        if request.read_only:
            connection.query("SET readonly = 2")
        insert = split_insert(request.query, request.body)
        if insert is not None:
            return run_insert(connection, self.inserts, *insert)
        return run_statement(connection, request)


def rights_of(role, roles, folder):
    """The configuration that gives everybody the rights of a role. The embedded engine has no place for roles,
    but keeps to the grants of its one user, which are in a file."""
    with open(roles, encoding="utf-8") as file:
        granted = re.findall(rf"^(GRANT [^;]*?) TO {role};$", file.read(), re.MULTILINE)
    if not granted:
        raise SystemExit(f"{roles} grants nothing to {role}")
    users = os.path.join(folder, "users.xml")
    grants = "".join(f"<query>{grant}</query>" for grant in granted)
    with open(users, "w", encoding="utf-8") as file:
        file.write(
            "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users><default>"
            "<password/><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>"
            f"<grants>{grants}</grants></default></users></clickhouse>")
    return f"<users_config>{users}</users_config>"


def backups_in(folder):
    return f"<backups><allowed_path>{os.path.abspath(folder)}/</allowed_path></backups>"


def configured(parts, folder):
    """The option that has the engine read these parts of a configuration."""
    if not parts:
        return ""
    configuration = os.path.join(folder, "configuration.xml")
    with open(configuration, "w", encoding="utf-8") as file:
        file.write(f"<clickhouse>{''.join(parts)}</clickhouse>")
    return f"&config-file={configuration}"


def run_insert(connection, folder, statement, data_format, data):
    # By way of a file: the engine's streaming insert swallows what goes wrong once it writes, such as too many
    # parts, and counts no rows.
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(data)
        file.flush()
        result = connection.query(
            f"{statement} FROM INFILE {quoted(file.name)} COMPRESSION 'none' FORMAT {data_format}")
    return Answer(b"", data_format, {"written_rows": result.rows_read(), "written_bytes": len(data)})


def run_statement(connection, request):
    text = (request.query + b"\n" + request.body if request.query else request.body)
    try:
        text = text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EngineError.of(SYNTAX_ERROR, f"The query is not valid UTF-8: {error}", "SYNTAX_ERROR")
    if BLANK.fullmatch(text):
        raise EngineError.of(SYNTAX_ERROR, "Syntax error: Empty query", "SYNTAX_ERROR")
    refuse_several_statements(text)
    named = OUTPUT_FORMAT.search(text)
    output_format = named[1] if named else request.default_format
    result = connection.query(text, request.default_format, params=request.parameters)
    summary = {"read_rows": result.storage_rows_read(), "read_bytes": result.storage_bytes_read(),
               "result_rows": result.rows_read()}
    return Answer(result.bytes(), output_format, summary)


def split_insert(query, body):
    """(statement, format, data) of an INSERT whose rows come in the body, else None."""
    head, in_url = (query, True) if query.strip() else (body, False)
    if not INSERT.match(head):
        return None
    found = INSERT_FORMAT.search(head)
    statement = head[: found.start()] if found else head
    if INSERT_HAS_OWN_DATA.search(statement) or not (found or in_url):
        return None
    data = head[found.end():] if found else b""
    if in_url:
        data += body
    data_format = found[1].decode() if found else "Values"
    return statement.decode("utf-8", "replace"), data_format, data


def refuse_several_statements(text):
    for token in QUOTED_OR_SEMICOLON.finditer(text):
        if token[0] == ";" and not BLANK.fullmatch(text, token.end()):
            raise EngineError.of(
                SYNTAX_ERROR,
                f"Syntax error (Multi-statements are not allowed): failed at position "
                f"{token.start() + 1} (end of query)", "SYNTAX_ERROR")


def quoted(value):
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


class QueryRequest:
    """What one HTTP request asks of the engine."""

    def __init__(self, pairs, body, read_only):
        self.body = body
        self.read_only = read_only
        self.query = b""
        self.database = ""
        self.default_format = "TabSeparated"
        self.parameters = {}
        self.settings = {}
        for name, value in pairs:
            if name == "query":
                self.query = value.encode()
            elif name == "database":
                self.database = value
            elif name == "default_format":
                self.default_format = value
            elif name.startswith("param_"):
                self.parameters[name[len("param_"):]] = value
            elif name in ("compress", "decompress") and value not in ("", "0"):
                raise EngineError.of(NOT_IMPLEMENTED, "The local server does not compress.",
                                     "NOT_IMPLEMENTED")
            elif name not in NOT_SETTINGS:
                if not NAME.fullmatch(name):
                    raise EngineError.of(115, f"Unknown setting {quoted(name)}.", "UNKNOWN_SETTING")
                self.settings[name] = value


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # Headers and body leave in one write.
    timeout = CLIENT_IDLE_S

    def do_GET(self):
        path, pairs = self.target()
        if path in ("/ping", "/replicas_status") or (path == "/" and not pairs):
            self.answer(200, b"Ok.\n", {})
        else:
            self.query(path, pairs, b"", read_only=True)

    do_HEAD = do_GET

    def do_POST(self):
        path, pairs = self.target()
        try:
            body = self.read_body()
        except BodyTooLarge:
            self.close_connection = True
            self.answer(413, b"the body is too large for the local server\n", {})
            return
        content_type = self.headers.get("Content-Type", "")
        if content_type.lower().startswith("multipart/form-data"):
            pairs, body = pairs + form_fields(content_type, body), b""
        self.query(path, pairs, body, read_only=False)

    def target(self):
        parts = urlsplit(self.path)
        return parts.path, parse_qsl(parts.query, keep_blank_values=True)

    def query(self, path, pairs, body, read_only):
        if path not in ("/", "/query"):
            self.answer(404, f"There is no handle {path}\n".encode(), {})
            return
        query_id = dict(pairs).get("query_id") or str(uuid.uuid4())
        headers = {"X-ClickHouse-Server-Display-Name": "wattline-local",
                   "X-ClickHouse-Query-Id": query_id}
        started = time.monotonic_ns()
        try:
            if self.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise EngineError.of(NOT_IMPLEMENTED, "The local server takes no compressed body.",
                                     "NOT_IMPLEMENTED")
            if database := self.headers.get("X-ClickHouse-Database"):
                pairs = [("database", database), *pairs]
            answer = self.server.engine.execute(QueryRequest(pairs, body, read_only))
        except EngineError as error:
            headers["X-ClickHouse-Exception-Code"] = str(error.code)
            text = str(error).rstrip()
            if "(version " not in text:
                text += f" (version {self.server.engine.version})"
            self.answer(STATUS_BY_CODE.get(error.code, 500), text.encode() + b"\n", headers)
            return
        summary = {**answer.summary, "elapsed_ns": time.monotonic_ns() - started}
        headers["X-ClickHouse-Summary"] = json.dumps({k: str(v) for k, v in summary.items()})
        headers["X-ClickHouse-Format"] = answer.output_format
        self.answer(200, answer.body, headers)

    def read_body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            length = int(self.headers.get("Content-Length") or 0)
            if length > BODY_BYTES_MAX:
                raise BodyTooLarge
            return self.read_exactly(length)
        chunks, total = [], 0
        while size := self.read_chunk_size():
            total += size
            if total > BODY_BYTES_MAX:
                raise BodyTooLarge
            chunks.append(self.read_exactly(size))
            self.rfile.readline(16)
        while self.rfile.readline(65536).strip():
            pass  # Trailers carry nothing here.
        return b"".join(chunks)

    def read_chunk_size(self):
        line = self.rfile.readline(1024)
        if not line:
            raise ConnectionAbortedError("the client went away between two chunks")
        return int(line.split(b";")[0], 16)

    def read_exactly(self, size):
        data = self.rfile.read(size)
        if len(data) != size:
            # A body cut short must insert nothing.
            raise ConnectionAbortedError("the client went away in the middle of a body")
        return data

    def answer(self, status, body, headers):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_request(self, code="-", size="-"):
        # Only what failed: a line for every insert would bury it.
        if not str(int(code)).startswith("2"):
            super().log_request(code, size)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address, engine):
        self.engine = engine
        super().__init__(address, Handler)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, socket.timeout)):
            super().handle_error(request, client_address)


def form_fields(content_type, body):
    form = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    return [
        (part.get_param("name", header="content-disposition"),
         part.get_payload(decode=True).decode("utf-8"))
        for part in form.get_payload()
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    parser.add_argument("--data", required=True, help="folder of the data; made when absent")
    parser.add_argument("--role", help="whose rights everybody has; everything is allowed without it")
    parser.add_argument("--roles", help="the file of SQL that says what a role may do")
    parser.add_argument("--backups", help="a folder that BACKUP may write to and RESTORE may read")
    arguments = parser.parse_args()

    data = os.path.abspath(arguments.data)
    os.makedirs(data, exist_ok=True)
    parts = [rights_of(arguments.role, arguments.roles, data)] if arguments.role else []
    parts += [backups_in(arguments.backups)] if arguments.backups else []
    server = Server(("127.0.0.1", arguments.port), Engine(data, configured(parts, data)))
    # shutdown() waits for the serving loop, which is this very thread: it must come from another.
    stop = lambda *_: threading.Thread(target=server.shutdown, daemon=True).start()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"ClickHouse {server.engine.version} on 127.0.0.1:{arguments.port}", flush=True)
    server.serve_forever()
    server.server_close()
    # An insert that was answered is on disk already; unanswered ones may end here.
    os._exit(0)


if __name__ == "__main__":
    main()
