{%- set app = pillar.cloud["values"].nova.api %}
include:
  - nova.common
  - nova.paste

nova-api-unit:
  file.managed:
    - name: /etc/systemd/system/nova-api.service.d/saltern.conf
    - source: salt://openstack/files/uwsgi-unit.conf.j2
    - template: jinja
    - context: {app: {{ app | tojson }}}
    - makedirs: true

nova-api-packages:
  pkg.installed:
    - pkgs: [nova-api]
    - require:
      - file: nova-config
      - file: nova-api-unit

nova-api-uwsgi:
  file.managed:
    - name: {{ app.ini }}
    - source: salt://openstack/files/uwsgi.ini.j2
    - template: jinja
    - context: {app: {{ app | tojson }}}
    - user: root
    - group: nova
    - mode: '0640'
    - require:
      - pkg: nova-api-packages

nova-api-service:
  unit.running:
    - name: nova-api
    - require:
      - file: nova-config
      - file: nova-api-paste
      - file: nova-api-unit
      - file: nova-api-uwsgi
