#!/usr/bin/env python3
"""A systemctl for a machine without systemd: does what units say, as far as those who install services ask for it.

    systemctl.py [--quiet|--system|...] start|stop|restart|reload|is-active|is-enabled|enable|disable|daemon-reload [UNIT]...
"""
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

UNITS = (pathlib.Path("/etc/systemd/system"), pathlib.Path("/lib/systemd/system"))
STATE = pathlib.Path("/run/systemctl")


def lines_of(unit, key):
    for directory in UNITS:
        if (directory / unit).exists():
            return re.findall(rf"^{key}=(.*)$", (directory / unit).read_text(), re.MULTILINE)
    sys.exit(f"systemctl: there is no {unit}")


def main_pid(unit):
    """The process of the service; None when it does not run."""
    try:
        pid = int((STATE / unit).read_text())
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return pid if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z" else None


def wait_for(reached, what):
    end = time.monotonic() + 40
    while not reached():
        if time.monotonic() > end:
            sys.exit(f"systemctl: {what}")
        time.sleep(0.05)


def start(unit):
    if main_pid(unit):
        return
    for directory in lines_of(unit, "RuntimeDirectory"):
        pathlib.Path("/run", directory).mkdir(mode=0o711, exist_ok=True)
    for directory in lines_of(unit, "StateDirectory"):
        pathlib.Path("/var/lib", directory).mkdir(mode=0o700, exist_ok=True)
    # As systemd does: in the machine's root directory, not in the caller's.
    machine = (STATE / "machine").read_text().strip()
    os.chroot(f"/proc/{machine}/root")
    os.chdir("/")
    log = open(f"/var/log/{unit}.log", "ab")
    environment = dict(os.environ)
    ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if "notify" in lines_of(unit, "Type"):
        environment["NOTIFY_SOCKET"] = str(STATE / (unit + ".notify"))
        pathlib.Path(environment["NOTIFY_SOCKET"]).unlink(missing_ok=True)
        ready.bind(environment["NOTIFY_SOCKET"])
        ready.settimeout(40)
    process = subprocess.Popen(shlex.split(lines_of(unit, "ExecStart")[0]), stdin=subprocess.DEVNULL, stdout=log,
                               stderr=log, start_new_session=True, env=environment)
    (STATE / unit).write_text(str(process.pid))
    while "NOTIFY_SOCKET" in environment and "READY=1" not in ready.recv(4096).decode().split("\n"):
        pass


def stop(unit):
    if pid := main_pid(unit):
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: main_pid(unit) is None, f"{unit} does not stop")


def reload(unit):
    pid = main_pid(unit)
    if pid is None:
        sys.exit(f"systemctl: {unit} is not active")
    command = lines_of(unit, "ExecReload")[0].replace("$MAINPID", str(pid))
    subprocess.run(shlex.split(command), check=True)


def main():
    if "--version" in sys.argv:
        print("systemd 252 (in words only)")
        return 0
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    if not words or words[0] in ("daemon-reload", "list-units", "enable", "disable"):
        return 0
    action = words[0]
    units = [unit if "." in unit else unit + ".service" for unit in words[1:]]
    for unit in units:
        if action in ("is-active", "is-enabled"):
            is_it = main_pid(unit) is not None if action == "is-active" else unit == "starling.service"
            if "-q" not in sys.argv and "--quiet" not in sys.argv:
                print({"is-active": ("active", "inactive"), "is-enabled": ("enabled", "disabled")}[action][not is_it])
            return 0 if is_it else 3
        if action == "restart":
            stop(unit)
            start(unit)
        else:
            {"start": start, "stop": stop, "reload": reload}[action](unit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
