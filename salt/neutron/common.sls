{%- set v = pillar.cloud["values"].neutron %}
neutron-common-packages:
  pkg.installed:
    - pkgs: [neutron-common, python3-pymysql]

neutron-config:
  file.managed:
    - name: /etc/neutron/neutron.conf
    - source: salt://neutron/files/neutron.conf.j2
    - template: jinja
    - context: {v: {{ v | tojson }}}
    - user: root
    - group: neutron
    - mode: '0640'
    - show_changes: false
    - require:
      - pkg: neutron-common-packages

neutron-ml2:
  file.managed:
    - name: /etc/neutron/plugins/ml2/ml2_conf.ini
    - source: salt://openstack/files/service.conf.j2
    - template: jinja
    - context:
        sections: {{ v.ml2 | tojson }}
        overrides: {{ v.overrides["ml2_conf.ini"] | tojson }}
    - user: root
    - group: neutron
    - mode: '0640'
    - makedirs: true
    - require:
      - pkg: neutron-common-packages
