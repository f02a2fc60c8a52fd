"""nginx, serving the documents as files: its configuration. As many workers as there are cores, nothing logged."""

from __future__ import annotations

import os
from pathlib import Path
from string import Template

from bench.documents import HEADERS

_CONFIG = Template("""\
daemon off;
${user}
pid $directory/nginx.pid;
error_log stderr error;
worker_processes auto;
events { worker_connections 1024; }
http {
    access_log off;
    default_type application/json;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    open_file_cache max=1000;
    client_body_temp_path $directory/body;
    proxy_temp_path $directory/proxy;
    fastcgi_temp_path $directory/fastcgi;
    uwsgi_temp_path $directory/uwsgi;
    scgi_temp_path $directory/scgi;
    server {
        listen 127.0.0.1:$port backlog=4096;
        root $directory/files;
$headers
    }
}
""")

_ITS_OWN = {"Content-Type", "ETag"}


def configuration(directory: Path, port: int) -> str:
    """The text of nginx.conf: files are beneath `directory`/files, everything it writes in `directory`."""
    headers = "\n".join(f"        add_header {name} {value};" for name, value in HEADERS if name not in _ITS_OWN)
    user = "user root;" if os.geteuid() == 0 else ""  # else its workers may not read what is ours
    return _CONFIG.substitute(directory=directory, port=port, headers=headers, user=user)
