{%- set switch = pillar.cloud["values"].get("ovn", {}).get("switch", {}) %}
libvirt-packages:
  pkg.installed:
    - pkgs: [libvirt-daemon-system, libvirt-clients, qemu-system-x86, qemu-utils]

libvirt-qemu-config:
  file.managed:
    - name: /etc/libvirt/qemu.conf
    - source: salt://libvirt/files/qemu.conf.j2
    - template: jinja
    - context: {cgroups: {{ salt["hypervisor.cgroups"]() | tojson }}}
    - require:
      - pkg: libvirt-packages

{#- As packaged it ends after two idle minutes and comes back when somebody asks. #}
libvirt-default:
  file.managed:
    - name: /etc/default/libvirtd
    - contents: |
        # Written by Saltern.
        LIBVIRTD_ARGS=""
    - require:
      - pkg: libvirt-packages

libvirt-unit:
  file.managed:
    - name: /etc/systemd/system/libvirtd.service.d/saltern.conf
    - source: salt://openstack/files/unit.conf
    - makedirs: true

libvirt-hook:
{%- if switch.get("userspace") %}
  file.managed:
    - name: /etc/libvirt/hooks/qemu.d/saltern
    - source: salt://libvirt/files/taps-up.sh
    - mode: '0755'
    - makedirs: true
{%- else %}
  file.absent:
    - name: /etc/libvirt/hooks/qemu.d/saltern
{%- endif %}

libvirt-service:
  unit.running:
    - name: libvirtd
    - require:
      - file: libvirt-hook
      - file: libvirt-qemu-config
      - file: libvirt-default
      - file: libvirt-unit

{#- libvirt asks every emulator once what it can do, which takes seconds; better now than when Nova waits. #}
libvirt-capabilities:
  hypervisor.probed:
    - require:
      - unit: libvirt-service
