"""Whom a container runs as: user, group, capabilities, and whether it may get more. For setpriv.

Rules: what the container says goes before what the pod says; root has the capabilities that runtimes give by default,
less what is dropped; anybody else has none. Seccomp and AppArmor profiles are not played.
"""

from proxy.injector.document import Object, section, texts

_DEFAULT = (
    *("chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "net_bind_service"),
    *("net_raw", "sys_chroot", "mknod", "audit_write", "setfcap"),
)


def setpriv(container: Object, pod: Object) -> list[str]:
    """The command that becomes this user, and goes on with what follows."""
    own = section(container, "securityContext")
    shared = section(section(pod, "spec"), "securityContext")
    user, group = (own.get(key, shared.get(key, 0)) for key in ("runAsUser", "runAsGroup"))
    assert not (own.get("runAsNonRoot", shared.get("runAsNonRoot")) and user == 0), "it must not run as root"
    bounding = ",".join(["-all", *(f"+{each}" for each in _capabilities(own))])
    groups = f"--groups={shared['fsGroup']}" if "fsGroup" in shared else "--clear-groups"
    command = ["setpriv", f"--reuid={user}", f"--regid={group}", groups, f"--bounding-set={bounding}"]
    command += ["--inh-caps=-all", "--ambient-caps=-all"]
    if own.get("allowPrivilegeEscalation") is False:
        command.append("--no-new-privs")
    return [*command, "env"]  # setpriv itself still has its capabilities when it looks for what it starts


def _capabilities(context: Object) -> list[str]:
    capabilities = section(context, "capabilities")
    dropped = [each.lower() for each in texts(capabilities, "drop")]
    kept = [] if "all" in dropped else [each for each in _DEFAULT if each not in dropped]
    return [*kept, *(each.lower() for each in texts(capabilities, "add") if each.lower() not in kept)]
