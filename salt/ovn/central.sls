{%- set v = pillar.cloud["values"].ovn.central %}
{%- set databases = {"ovn-ovsdb-server-nb": "ovnnb_db.db", "ovn-ovsdb-server-sb": "ovnsb_db.db"} %}
ovn-central-options:
  file.managed:
    - name: /etc/default/ovn-central
    - source: salt://ovn/files/ovn-central.j2
    - template: jinja
    - context: {v: {{ v | tojson }}}

{%- for unit, file in databases.items() %}

{{ unit }}-unit:
  file.managed:
    - name: /etc/systemd/system/{{ unit }}.service.d/saltern.conf
    - source: salt://ovn/files/database-unit.conf.j2
    - template: jinja
    - context: {file: {{ file }}}
    - makedirs: true
{%- endfor %}

ovn-northd-unit:
  file.managed:
    - name: /etc/systemd/system/ovn-northd.service.d/saltern.conf
    - source: salt://openstack/files/unit.conf
    - makedirs: true

ovn-central-packages:
  pkg.installed:
    - pkgs: [ovn-central]
    - require:
      - file: ovn-central-options
      - file: ovn-northd-unit
{%- for unit in databases %}
      - file: {{ unit }}-unit
{%- endfor %}

{#- Started by the deploy when it has looked at all members; a boot starts it again. #}
ovn-central-enabled:
  unit.enabled:
    - name: ovn-central
    - require:
      - pkg: ovn-central-packages
