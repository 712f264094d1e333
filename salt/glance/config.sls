{#- Packages and configuration: what both the schema and the service stand on. #}
{%- set v = pillar.cloud["values"].glance %}

glance-packages:
  pkg.installed:
    - pkgs: [glance-api, python3-pymysql, python3-memcache, python3-swiftclient]

glance-config:
  file.managed:
    - name: /etc/glance/glance-api.conf
    - source: salt://glance/files/glance-api.conf.j2
    - template: jinja
    - user: root
    - group: glance
    - mode: '0640'
    - show_changes: false
    - context:
        workers: {{ v.workers | tojson }}
        sections: {{ v.sections | tojson }}
        overrides: {{ v.overrides["glance-api.conf"] | tojson }}
    - require:
      - pkg: glance-packages
