{%- set v = pillar.cloud["values"].ovn.switch %}
{#- Files before packages: Debian starts the switch when it is installed. -#}

{#- Every start of the database copies this into external_ids. Without it the chassis would get a
    random name, and a new one would not be let in beside its own old one. #}
ovn-system-id:
  file.managed:
    - name: /etc/openvswitch/system-id.conf
    - contents: {{ v.system_id }}
    - makedirs: true

ovn-controller-unit:
  file.managed:
    - name: /etc/systemd/system/ovn-controller.service.d/saltern.conf
    - source: salt://openstack/files/unit.conf
    - makedirs: true

ovn-vswitchd-unit:
{%- if v.userspace %}
  file.managed:
    - name: /etc/systemd/system/ovs-vswitchd.service.d/saltern.conf
    - source: salt://ovn/files/vswitchd-userspace.conf
    - makedirs: true
{%- else %}
  file.absent:
    - name: /etc/systemd/system/ovs-vswitchd.service.d/saltern.conf
{%- endif %}

{%- for unit in ["ovs-vswitchd", "ovsdb-server"] %}

ovn-{{ unit }}-restart:
  file.managed:
    - name: /etc/systemd/system/{{ unit }}.service.d/saltern-restart.conf
    - source: salt://ovn/files/switch-unit.conf
    - makedirs: true
    - require_in:
      - pkg: ovn-controller-packages
{%- endfor %}

ovn-bridges-unit:
  file.managed:
    - name: /etc/systemd/system/saltern-bridges.service
    - source: salt://ovn/files/saltern-bridges.service.j2
    - template: jinja
    - context: {v: {{ v | tojson }}}

ovn-controller-packages:
  pkg.installed:
    - pkgs: [openvswitch-switch, ovn-host]
    - require:
      - file: ovn-system-id
      - file: ovn-controller-unit
      - file: ovn-vswitchd-unit

ovn-switch-service:
  unit.running:
    - name: openvswitch-switch
    - require:
      - pkg: ovn-controller-packages

ovn-switch-settings:
  ovs_db.settings:
    - external_ids: {{ v.external_ids | tojson }}
    - manager: {{ v.manager }}
    - require:
      - unit: ovn-switch-service

{%- for bridge, spec in v.bridges.items() %}

ovn-bridge-{{ bridge }}:
  ovs_db.bridge:
    - name: {{ bridge }}
    - datapath: {{ v.datapath }}
    - port: {{ spec.port }}
    - require:
      - unit: ovn-switch-service
    - require_in:
      - unit: ovn-bridges-service
{%- endfor %}

ovn-bridges-service:
  unit.running:
    - name: saltern-bridges
    - require:
      - file: ovn-bridges-unit
      - unit: ovn-switch-service

ovn-controller-service:
  unit.running:
    - name: ovn-host
    - require:
      - file: ovn-controller-unit
      - ovs_db: ovn-switch-settings
      - unit: ovn-bridges-service
