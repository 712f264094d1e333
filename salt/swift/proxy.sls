{%- set v = pillar.cloud["values"].swift %}
include:
  - swift.common

swift-proxy-config:
  file.managed:
    - name: /etc/swift/proxy-server.conf
    - source: salt://swift/files/proxy-server.conf.j2
    - template: jinja
    - user: root
    - group: swift
    - mode: '0640'
    - show_changes: false
    - context:
        address: {{ v.address }}
        workers: {{ v.workers | tojson }}
        proxy: {{ v.proxy | tojson }}
        overrides: {{ v.overrides["proxy-server.conf"] | tojson }}
    - require:
      - pkg: swift-packages

swift-proxy-unit:
  file.managed:
    - name: /etc/systemd/system/swift-proxy.service.d/saltern.conf
    - source: salt://openstack/files/unit.conf
    - makedirs: true

swift-proxy-service:
  unit.running:
    - name: swift-proxy
    - require:
      - file: swift-config
      - file: swift-proxy-config
      - file: swift-proxy-unit
      - swift_rings: swift-rings
