include:
  - nova.common

nova-scheduler-unit:
  file.managed:
    - name: /etc/systemd/system/nova-scheduler.service.d/saltern.conf
    - source: salt://openstack/files/unit.conf
    - makedirs: true

nova-scheduler-packages:
  pkg.installed:
    - pkgs: [nova-scheduler]
    - require:
      - file: nova-config
      - file: nova-scheduler-unit

nova-scheduler-service:
  unit.running:
    - name: nova-scheduler
    - require:
      - file: nova-config
      - file: nova-scheduler-unit
      - pkg: nova-scheduler-packages
