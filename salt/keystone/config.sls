{#- Packages, configuration and keys: what both the schema and the service stand on. #}
{%- set v = pillar.cloud["values"].keystone %}

keystone-packages:
  pkg.installed:
    - pkgs: [keystone, uwsgi-core, uwsgi-plugin-python3, uwsgi-plugin-apparmor, python3-pymysql, python3-memcache]

keystone-config:
  file.managed:
    - name: /etc/keystone/keystone.conf
    - source: salt://openstack/files/service.conf.j2
    - template: jinja
    - user: root
    - group: keystone
    - mode: '0640'
    - show_changes: false
    - context:
        sections: {{ v.sections | tojson }}
        overrides: {{ v.overrides["keystone.conf"] | tojson }}
    - require:
      - pkg: keystone-packages
{%- for repository in v["keys"] %}

keystone-keys-{{ repository.rsplit("/", 1)[-1] }}:
  keystone_keys.present:
    - name: {{ repository }}
    - pillar: cloud:values:keystone:keys:{{ repository }}
    - require:
      - pkg: keystone-packages
{%- endfor %}
