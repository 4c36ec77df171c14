"""The sandbox-exec profile of macOS for a confinement.

Language: Apple's Sandbox Profile Language, version 1, as `sandbox-exec -p` takes it; the last rule that matches decides.
Paths are passed as parameters (`-D NAME=VALUE`), so a name cannot inject rules.
"""

from __future__ import annotations

from typing import Final

from spindle.actors.tools.sandbox.confinement import Confinement

PROGRAM: Final = "/usr/bin/sandbox-exec"
BASE: Final = """\
(version 1)
(deny default)
(allow process-exec process-fork)
(allow signal (target same-sandbox))
(allow process-info* (target same-sandbox))
(allow user-preference-read)
(allow sysctl-read)
(allow sysctl-write (sysctl-name "kern.grade_cputype"))
(allow iokit-open (iokit-registry-entry-class "RootDomainUserClient"))
(allow mach-lookup
  (global-name "com.apple.system.opendirectoryd.libinfo")
  (global-name "com.apple.system.opendirectoryd.membership")
  (global-name "com.apple.bsd.dirhelper")
  (global-name "com.apple.PowerManagement.control"))
(allow ipc-posix-sem)
(allow ipc-posix-shm-read* (ipc-posix-name-prefix "apple.cfprefs."))
(allow pseudo-tty)
(allow file-read-metadata)
(allow file-read* (literal "/"))
"""
DEVICES: Final = """\
(allow file-read* file-write-data file-ioctl
  (literal "/dev/null") (literal "/dev/zero") (literal "/dev/tty") (literal "/dev/ptmx"))
(allow file-read-data (literal "/dev/random") (literal "/dev/urandom") (subpath "/dev/fd"))
(allow file-read* file-write* (regex #"^/dev/ttys[0-9]+$"))
"""
"""After the rules, which deny writing everywhere."""
NETWORK: Final = """\
(allow network-outbound (remote ip))
(allow network-inbound (local ip))
(allow network-outbound (literal "/private/var/run/mDNSResponder"))
(allow system-socket (socket-domain AF_ROUTE))
(allow mach-lookup
  (global-name "com.apple.SecurityServer")
  (global-name "com.apple.networkd")
  (global-name "com.apple.ocspd")
  (global-name "com.apple.trustd.agent")
  (global-name "com.apple.SystemConfiguration.configd")
  (global-name "com.apple.SystemConfiguration.DNSConfiguration"))
"""


def profile(confinement: Confinement) -> tuple[str, dict[str, str]]:
    """The profile's text, and its parameters."""
    lines = [BASE]
    parameters: dict[str, str] = {}
    for number, rule in enumerate(confinement.rules):
        name = f"RULE_{number}"
        parameters[name] = rule.path
        where = f'(subpath (param "{name}"))'
        match rule.access:
            case "none":
                lines += [f"(deny file-read* file-write* {where})"] if number else []
                if confinement.opens(rule.path):  # a path below is resolved folder by folder
                    lines.append(f'(allow file-read-metadata (literal (param "{name}")))')
            case "read":
                lines += [f"(allow file-read* {where})", f"(deny file-write* {where})"]
            case "write":
                lines += [f"(allow file-read* file-write* {where})"]
    lines.append(DEVICES)
    # renaming a folder around a protected path would move it away
    for number, path in enumerate(confinement.pinned):
        parameters[f"PIN_{number}"] = path
        lines.append(f'(deny file-write-unlink (literal (param "PIN_{number}")))')
    if confinement.network:
        lines.append(NETWORK)
    return "\n".join(lines), parameters


def command(confinement: Confinement, argv: list[str]) -> list[str]:
    """`argv` under sandbox-exec."""
    text, parameters = profile(confinement)
    return [PROGRAM, "-p", text, *(f"-D{name}={value}" for name, value in parameters.items()), "--", *argv]
