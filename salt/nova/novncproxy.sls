include:
  - nova.common

nova-novncproxy-unit:
  file.managed:
    - name: /etc/systemd/system/nova-novncproxy.service.d/saltern.conf
    - source: salt://openstack/files/unit.conf
    - makedirs: true

{#- As packaged it says spicehtml5, and then nova-novncproxy ends at once without a word. #}
nova-novncproxy-default:
  file.managed:
    - name: /etc/default/nova-consoleproxy
    - contents: |
        # Written by Saltern.
        NOVA_CONSOLE_PROXY_TYPE=novnc
        NOVA_SERIAL_PROXY_START=false

nova-novncproxy-packages:
  pkg.installed:
    - pkgs: [nova-consoleproxy, novnc]
    - require:
      - file: nova-config
      - file: nova-novncproxy-unit
      - file: nova-novncproxy-default

nova-novncproxy-service:
  unit.running:
    - name: nova-novncproxy
    - require:
      - file: nova-config
      - file: nova-novncproxy-unit
      - file: nova-novncproxy-default
      - pkg: nova-novncproxy-packages
