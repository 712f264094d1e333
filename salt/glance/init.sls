{%- set v = pillar.cloud["values"].glance %}
include:
  - glance.config
{%- if v.swift is defined %}

glance-swift:
  file.managed:
    - name: /etc/glance/glance-swift.conf
    - source: salt://openstack/files/service.conf.j2
    - template: jinja
    - user: root
    - group: glance
    - mode: '0640'
    - show_changes: false
    - context:
        sections: {{ v.swift | tojson }}
        overrides: {}
    - require:
      - pkg: glance-packages
    - require_in:
      - unit: glance-service
{%- endif %}

{#- Where an upload waits for its import, and what tasks keep: never shared, never large for long. #}
glance-folders:
  file.directory:
    - names:
      - /var/lib/glance/images
      - /var/lib/glance/staging
      - /var/lib/glance/tasks
    - user: glance
    - group: glance
    - mode: '0750'
    - require:
      - pkg: glance-packages

glance-unit:
  file.managed:
    - name: /etc/systemd/system/glance-api.service.d/saltern.conf
    - source: salt://openstack/files/unit.conf
    - makedirs: true

glance-service:
  unit.running:
    - name: glance-api
    - require:
      - file: glance-config
      - file: glance-folders
      - file: glance-unit
