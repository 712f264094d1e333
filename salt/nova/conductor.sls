include:
  - nova.common

nova-conductor-unit:
  file.managed:
    - name: /etc/systemd/system/nova-conductor.service.d/saltern.conf
    - source: salt://openstack/files/unit.conf
    - makedirs: true

nova-conductor-packages:
  pkg.installed:
    - pkgs: [nova-conductor]
    - require:
      - file: nova-config
      - file: nova-conductor-unit

nova-conductor-service:
  unit.running:
    - name: nova-conductor
    - require:
      - file: nova-config
      - file: nova-conductor-unit
      - pkg: nova-conductor-packages
