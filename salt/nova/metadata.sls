{%- set app = pillar.cloud["values"].nova.metadata %}
include:
  - nova.common
  - nova.paste

nova-metadata-unit:
  file.managed:
    - name: /etc/systemd/system/nova-api-metadata.service.d/saltern.conf
    - source: salt://openstack/files/uwsgi-unit.conf.j2
    - template: jinja
    - context: {app: {{ app | tojson }}}
    - makedirs: true

nova-metadata-packages:
  pkg.installed:
    - pkgs: [nova-api]  # brings both APIs
    - require:
      - file: nova-config
      - file: nova-metadata-unit

nova-metadata-uwsgi:
  file.managed:
    - name: {{ app.ini }}
    - source: salt://openstack/files/uwsgi.ini.j2
    - template: jinja
    - context: {app: {{ app | tojson }}}
    - user: root
    - group: nova
    - mode: '0640'
    - require:
      - pkg: nova-metadata-packages

nova-metadata-service:
  unit.running:
    - name: nova-api-metadata
    - require:
      - file: nova-config
      - file: nova-api-paste
      - file: nova-metadata-unit
      - file: nova-metadata-uwsgi
