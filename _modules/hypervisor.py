"""What this machine can do for instances: acceleration, control groups, emulators."""

import os
import pathlib

import salt.utils.path
from salt.exceptions import CommandExecutionError

__virtualname__ = "hypervisor"

KVM = "/dev/kvm"
CGROUPS = "/sys/fs/cgroup"
CAPABILITIES = "/var/cache/libvirt/qemu/capabilities"
PROBE = "saltern-probe"  # the transient unit in which libvirt is asked

#: MiB of translated code per emulated instance; QEMU's own default is a quarter of the host.
TRANSLATION_CACHE = 64


def __virtual__():
    if salt.utils.path.which("systemctl"):
        return __virtualname__
    return False, "hypervisor: this node is not run by systemd"


def accelerated():
    """
    Whether KVM works here: the device exists and opens.

    CLI Example:

    .. code-block:: bash

        salt 'cmp*' hypervisor.accelerated
    """
    try:
        os.close(os.open(KVM, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def virt(cpu="auto"):
    """
    Nova's ``[libvirt]`` options for this machine.

    cpu
        ``auto`` uses KVM where it works, ``qemu`` emulates everywhere.

    CLI Example:

    .. code-block:: bash

        salt 'cmp*' hypervisor.virt
    """
    if cpu == "auto" and accelerated():
        return {"virt_type": "kvm", "cpu_mode": "host-model"}
    return {"virt_type": "qemu", "cpu_mode": "none", "tb_cache_size": TRANSLATION_CACHE}


def cgroups():
    """
    Whether libvirt may make control groups here; it may not in most containers.

    CLI Example:

    .. code-block:: bash

        salt 'cmp*' hypervisor.cgroups
    """
    legacy = pathlib.Path(CGROUPS, "cpu")
    return os.access(legacy if legacy.is_dir() else CGROUPS, os.W_OK)


def probed():
    """
    Whether libvirt knows what the installed emulators can do: ``yes``, ``no``, or ``soon`` while it
    is finding out.

    CLI Example:

    .. code-block:: bash

        salt 'cmp*' hypervisor.probed
    """
    if __salt__["unit.show"]([PROBE])[PROBE]["coming"]:
        return "soon"
    return "yes" if any(pathlib.Path(CAPABILITIES).glob("*.xml")) else "no"


def probe():
    """
    Let libvirt find out what the emulators can do, which takes seconds, and do not wait for it.

    Raises CommandExecutionError when systemd does not take the job.

    CLI Example:

    .. code-block:: bash

        salt 'cmp*' hypervisor.probe
    """
    virsh = ("virsh", "-c", "qemu:///system", "capabilities")
    ret = __salt__["cmd.run_all"](
        ["systemd-run", f"--unit={PROBE}", "--collect", "--no-block", "--quiet", *virsh],
        python_shell=False,
        timeout=30,
        ignore_retcode=True,
    )
    if ret["retcode"]:
        raise CommandExecutionError(
            f"systemd-run virsh capabilities: {ret['stderr'] or ret['stdout']}"
        )
    return True
