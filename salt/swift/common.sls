{#- What storage and proxy share: the hash that names every partition, and the rings. #}
{%- set v = pillar.cloud["values"].swift %}

swift-packages:
  pkg.installed:
    - pkgs: [swift-proxy, swift-account, swift-container, swift-object, rsync, python3-memcache, python3-keystonemiddleware]

swift-config:
  file.managed:
    - name: /etc/swift/swift.conf
    - source: salt://swift/files/swift.conf.j2
    - template: jinja
    - user: root
    - group: swift
    - mode: '0640'
    - show_changes: false
    - context: {hash: {{ v["hash"] | tojson }}}
    - require:
      - pkg: swift-packages

swift-rings:
  swift_rings.present:
    - name: /etc/swift
    - rings: {{ v.rings | tojson }}
    - require:
      - pkg: swift-packages
