{%- set v = pillar.cloud["values"].placement %}
include:
  - placement.config

placement-uwsgi:
  file.managed:
    - name: {{ v.uwsgi.ini }}
    - source: salt://openstack/files/uwsgi.ini.j2
    - template: jinja
    - mode: '0644'
    - context: {app: {{ v.uwsgi | tojson }}}
    - require:
      - pkg: placement-packages

placement-unit:
  file.managed:
    - name: /etc/systemd/system/placement-api.service.d/saltern.conf
    - source: salt://openstack/files/uwsgi-unit.conf.j2
    - template: jinja
    - makedirs: true
    - context: {app: {{ v.uwsgi | tojson }}}

placement-service:
  unit.running:
    - name: placement-api
    - require:
      - file: placement-config
      - file: placement-uwsgi
      - file: placement-unit
