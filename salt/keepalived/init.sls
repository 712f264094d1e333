{%- set v = pillar.cloud["values"].keepalived %}
keepalived-dropin:
  file.managed:
    - name: /etc/systemd/system/keepalived.service.d/saltern.conf
    - source: salt://keepalived/files/saltern.conf
    - makedirs: true
    - mode: '0644'

keepalived-package:
  pkg.installed:
    - name: keepalived
    - require:
      - file: keepalived-dropin

keepalived-config:
  file.managed:
    - name: /etc/keepalived/keepalived.conf
    - source: salt://keepalived/files/keepalived.conf.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0640'
    - context:
        v: {{ v | tojson }}
    - check_cmd: keepalived -t -f
    - require:
      - pkg: keepalived-package

keepalived-service:
  unit.running:
    - name: keepalived
    - require:
      - file: keepalived-config

keepalived-loaded:
  keepalived_config.loaded:
    - name: /etc/keepalived/keepalived.conf
    - require:
      - unit: keepalived-service
