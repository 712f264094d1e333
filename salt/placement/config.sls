{#- Packages and configuration: what both the schema and the service stand on. #}
{%- set v = pillar.cloud["values"].placement %}

placement-packages:
  pkg.installed:
    - pkgs: [placement-api, uwsgi-core, uwsgi-plugin-python3, python3-pymysql, python3-memcache]

placement-config:
  file.managed:
    - name: /etc/placement/placement.conf
    - source: salt://openstack/files/service.conf.j2
    - template: jinja
    - user: root
    - group: placement
    - mode: '0640'
    - show_changes: false
    - context:
        sections: {{ v.sections | tojson }}
        overrides: {{ v.overrides["placement.conf"] | tojson }}
    - require:
      - pkg: placement-packages
