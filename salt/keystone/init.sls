{%- set v = pillar.cloud["values"].keystone %}
include:
  - keystone.config

keystone-uwsgi:
  file.managed:
    - name: {{ v.uwsgi.ini }}
    - source: salt://openstack/files/uwsgi.ini.j2
    - template: jinja
    - mode: '0644'
    - context: {app: {{ v.uwsgi | tojson }}}
    - require:
      - pkg: keystone-packages

keystone-unit:
  file.managed:
    - name: /etc/systemd/system/keystone.service.d/saltern.conf
    - source: salt://openstack/files/uwsgi-unit.conf.j2
    - template: jinja
    - makedirs: true
    - context: {app: {{ v.uwsgi | tojson }}}

keystone-service:
  unit.running:
    - name: keystone
    - require:
      - file: keystone-config
      - file: keystone-uwsgi
      - file: keystone-unit
{%- for repository in v["keys"] %}
      - keystone_keys: {{ repository }}
{%- endfor %}

{#- For people on this node: `. /etc/saltern/openrc`, or `openstack --os-cloud admin`. #}
keystone-openrc:
  file.managed:
    - name: /etc/saltern/openrc
    - source: salt://keystone/files/openrc.j2
    - template: jinja
    - mode: '0600'
    - makedirs: true
    - show_changes: false
    - context: {admin: {{ v.admin | tojson }}}

keystone-clouds:
  file.managed:
    - name: /etc/openstack/clouds.yaml
    - source: salt://keystone/files/clouds.yaml.j2
    - template: jinja
    - mode: '0600'
    - makedirs: true
    - show_changes: false
    - context: {admin: {{ v.admin | tojson }}}
