{%- set v = pillar.cloud["values"].neutron %}
{%- set workers = ["neutron-ovn-maintenance-worker", "neutron-periodic-workers"] %}
include:
  - neutron.common

neutron-api-unit:
  file.managed:
    - name: /etc/systemd/system/neutron-api.service.d/saltern.conf
    - source: salt://openstack/files/uwsgi-unit.conf.j2
    - template: jinja
    - context: {app: {{ v.api | tojson }}}
    - makedirs: true

{%- for worker in workers %}

{{ worker }}-unit:
  file.managed:
    - name: /etc/systemd/system/{{ worker }}.service
    - source: salt://neutron/files/worker.service.j2
    - template: jinja
    - context: {v: {{ {"config_files": v.config_files} | tojson }}, worker: {{ worker }}}
{%- endfor %}

neutron-packages:
  pkg.installed:
    - pkgs: {{ (["neutron-api"] + workers) | tojson }}
    - require:
      - file: neutron-config
      - file: neutron-ml2
      - file: neutron-api-unit
{%- for worker in workers %}
      - file: {{ worker }}-unit
{%- endfor %}

neutron-api-uwsgi:
  file.managed:
    - name: {{ v.api.ini }}
    - source: salt://openstack/files/uwsgi.ini.j2
    - template: jinja
    - context: {app: {{ v.api | tojson }}}
    - user: root
    - group: neutron
    - mode: '0640'
    - require:
      - pkg: neutron-packages

neutron-services:
  unit.running:
    - units: {{ (["neutron-api"] + workers) | tojson }}
    - require:
      - pkg: neutron-packages
      - file: neutron-config
      - file: neutron-ml2
      - file: neutron-api-unit
      - file: neutron-api-uwsgi
{%- for worker in workers %}
      - file: {{ worker }}-unit
{%- endfor %}
