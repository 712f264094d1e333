{%- set v = pillar.cloud["values"].haproxy %}
# The unit's drop-in and its helper come before the package: Debian starts HAProxy while installing it.
haproxy-helper:
  file.managed:
    - name: /usr/local/sbin/saltern-haproxy
    - source: salt://haproxy/files/saltern-haproxy
    - mode: '0755'

haproxy-dropin:
  file.managed:
    - name: /etc/systemd/system/haproxy.service.d/saltern.conf
    - source: salt://haproxy/files/saltern.conf
    - makedirs: true
    - mode: '0644'

haproxy-package:
  pkg.installed:
    - name: haproxy
    - require:
      - file: haproxy-helper
      - file: haproxy-dropin

haproxy-config:
  file.managed:
    - name: /etc/haproxy/haproxy.cfg
    - source: salt://haproxy/files/haproxy.cfg.j2
    - template: jinja
    - user: root
    - group: haproxy
    - mode: '0640'
    - context:
        v: {{ v | tojson }}
    - check_cmd: haproxy -c -f
    - require:
      - pkg: haproxy-package

haproxy-service:
  unit.running:
    - name: haproxy
    - require:
      - file: haproxy-config

haproxy-loaded:
  haproxy_config.loaded:
    - name: /etc/haproxy/haproxy.cfg
    - require:
      - unit: haproxy-service
