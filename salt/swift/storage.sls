{%- set v = pillar.cloud["values"].swift %}
include:
  - swift.common
{%- for kind, port in v.ports.items() %}

swift-{{ kind }}-config:
  file.managed:
    - name: /etc/swift/{{ kind }}-server.conf
    - source: salt://swift/files/storage-server.conf.j2
    - template: jinja
    - user: root
    - group: swift
    - mode: '0640'
    - context:
        v: {address: {{ v.address }}, port: {{ port }}, devices: {{ v.devices }}, workers: {{ v.workers | tojson }}}
        kind: {{ kind }}
        overrides: {{ v.overrides[kind ~ "-server.conf"] | tojson }}
    - require:
      - pkg: swift-packages

swift-{{ kind }}-unit:
  file.managed:
    - name: /etc/systemd/system/swift-{{ kind }}.service.d/saltern.conf
    - source: salt://openstack/files/unit.conf
    - makedirs: true
{%- endfor %}

swift-device:
  file.directory:
    - name: {{ v.devices }}/{{ v.device }}
    - user: swift
    - group: swift
    - mode: '0750'
    - makedirs: true
    - require:
      - pkg: swift-packages

swift-rsync-unit:
  file.managed:
    - name: /etc/systemd/system/rsync.service.d/saltern.conf
    - source: salt://openstack/files/unit.conf
    - makedirs: true

swift-rsync-config:
  file.managed:
    - name: /etc/rsyncd.conf
    - source: salt://swift/files/rsyncd.conf.j2
    - template: jinja
    - context:
        v: {address: {{ v.address }}, devices: {{ v.devices }}, peers: {{ v.peers | tojson }}, kinds: {{ v.ports | list | tojson }}}

swift-storage-service:
  unit.running:
    - units: [rsync, swift-account, swift-container, swift-object]
    - require:
      - file: swift-config
      - file: swift-device
      - file: swift-rsync-config
      - file: swift-rsync-unit
      - swift_rings: swift-rings
{%- for kind in v.ports %}
      - file: swift-{{ kind }}-config
      - file: swift-{{ kind }}-unit
{%- endfor %}

{#- Copies are compared now and then by a job that ends, not by five daemons that wait. #}
{%- for job in ["replicate", "audit"] %}

swift-{{ job }}-job:
  file.managed:
    - name: /etc/systemd/system/saltern-swift-{{ job }}.service
    - source: salt://swift/files/{{ job }}.service

swift-{{ job }}-schedule:
  file.managed:
    - name: /etc/systemd/system/saltern-swift-{{ job }}.timer
    - source: salt://swift/files/{{ job }}.timer

swift-{{ job }}-timer:
  unit.running:
    - name: saltern-swift-{{ job }}.timer
    - require:
      - file: swift-{{ job }}-job
      - file: swift-{{ job }}-schedule
      - unit: swift-storage-service
{%- endfor %}
