"""
systemd units as the model wants them. Nothing here ever restarts what runs.

.. code-block:: yaml

    keystone-service:
      unit.running:
        - name: keystone
        - require:
          - file: keystone-config

    nova-services:                  # side by side: slow starters do not wait for each other
      unit.running:
        - units: [nova-conductor, nova-scheduler]

    galera-service:                 # formed by the deploy, started again at boot
      unit.enabled:
        - name: mariadb
"""

from salt.exceptions import CommandExecutionError
from saltern.converge import converge

__virtualname__ = "unit"


def __virtual__():
    if "unit.show" in __salt__:
        return __virtualname__
    return False, "unit: the execution module did not load"


def _converge(name, units, wanted, act):
    """Bring about ``wanted`` (fact of ``unit.show`` -> value) for all units, with one look at all.

    ``act`` gets the units of which each fact differs, as ``{fact: [unit, ...]}``.
    """
    keys = {f"{unit} {fact}": (unit, fact) for unit in units for fact in wanted}

    def observe():
        shown = __salt__["unit.show"](units)
        return {key: shown[unit][fact] for key, (unit, fact) in keys.items()}

    def grouped(changes):
        return {fact: [u for u in units if f"{u} {fact}" in changes] for fact in wanted}

    return converge(
        name,
        desired={key: wanted[fact] for key, (_, fact) in keys.items()},
        observe=observe,
        act=lambda changes: act(grouped(changes)),
        test=__opts__["test"],
        errors=(CommandExecutionError,),
    )


def running(name, units=None, enable=True, wait=True, timeout=120):
    """
    Ensure units run, start at boot and are known to systemd as they are on disk.

    A unit that runs is never restarted: new files make it *pending* (``unit.pending``).

    name
        The unit, ``.service`` may be left out.

    units
        Several units instead, started side by side; ``name`` is then only a title.

    enable
        False leaves alone whether they start at boot.

    wait
        False is content with a start that is queued or under way: only the health gate then
        tells whether it came up.

    timeout
        Seconds until a unit that is not up counts as failed.
    """
    up = "up" if wait else "coming"
    wanted = {"masked": False, **({"enabled": True} if enable else {}), "needs_reload": False}

    def act(different):
        if enable and different["enabled"]:  # what is masked is not enabled; it reads all files too
            __salt__["unit.enable"](different["enabled"])
        elif different["masked"]:
            __salt__["unit.unmask"](different["masked"])
        elif different["needs_reload"]:
            __salt__["unit.reload"]()
        if different[up]:
            __salt__["unit.start"](different[up], wait=wait, timeout=timeout)

    ret = _converge(name, [name] if units is None else units, {**wanted, up: True}, act)
    if ret["result"] and ret["changes"] and not wait:
        ret["comment"] += "; starting, not yet seen running"
    return ret


def enabled(name, units=None):
    """
    Ensure units start at boot, and leave alone whether they run now.

    For members of a quorum: the deploy forms them, a boot brings them back.

    name
        The unit, ``.service`` may be left out.

    units
        Several units instead; ``name`` is then only a title.
    """

    def act(different):
        if different["enabled"]:
            __salt__["unit.enable"](different["enabled"])
        elif different["needs_reload"]:
            __salt__["unit.reload"]()

    return _converge(
        name, [name] if units is None else units, {"enabled": True, "needs_reload": False}, act
    )


def dead(name, units=None):
    """
    Ensure units neither run nor start at boot.

    name
        The unit, ``.service`` may be left out. One that does not exist is dead.

    units
        Several units instead; ``name`` is then only a title.
    """

    def act(different):
        if different["enabled"]:
            __salt__["unit.disable"](different["enabled"])
        if different["coming"]:
            __salt__["unit.stop"](different["coming"])

    return _converge(
        name, [name] if units is None else units, {"enabled": False, "coming": False}, act
    )


def masked(name, units=None, stop=True):
    """
    Ensure units cannot be started, whoever asks; also before they are installed.

    name
        The unit, ``.service`` may be left out.

    units
        Several units instead; ``name`` is then only a title. An empty list is content.

    stop
        Also stop what runs. False leaves a running unit alone until somebody stops it.
    """

    def act(different):
        if stop and different["coming"]:
            __salt__["unit.stop"](different["coming"])
        if different["masked"]:
            __salt__["unit.mask"](different["masked"])

    wanted = {"masked": True, **({"coming": False} if stop else {})}
    return _converge(name, [name] if units is None else units, wanted, act)
