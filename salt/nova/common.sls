{#- What every service of Nova on a controller reads. The computes' agent has a file of its own. -#}
{%- set v = pillar.cloud["values"].nova %}
nova-common-packages:
  pkg.installed:
    - pkgs: [nova-common, python3-pymysql]

nova-config:
  file.managed:
    - name: /etc/nova/nova.conf
    - source: salt://nova/files/nova.conf.j2
    - template: jinja
    - context: {v: {{ v | tojson }}}
    - user: root
    - group: nova
    - mode: '0640'
    - show_changes: false
    - require:
      - pkg: nova-common-packages
